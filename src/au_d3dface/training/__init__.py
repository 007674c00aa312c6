"""Training: arguments, the loop, evaluation, and `accelerate launch -m au_d3dface.training --config default`."""
