"""One step in bfloat16 against float32: no term of the loss and no gradient is further off than rounding explains."""

from statistics import median

import pytest
import torch
from half_precision import Stepper, difference, gradient_errors, term_errors
from small_trainings import settings

from au_d3dface.training.arguments import parse

pytest.importorskip("accelerate")

WIDER = {"num_temporal_layers": 2, "num_spatial_layers": 2, "hidden_dropout": 0.1, "hidden_size": 32}
KINDS = {
    "plain": {},
    "whitened": {"whitening": 1e-4},
    "within the face model's motions": {"whitening": 1e-4, "motion_span": True},
    "fed its own decisions": {"scheduled_sampling": 1.0, "scheduled_sampling_ramp": 0.0},
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return tmp_path_factory.mktemp("pool")


def stepper(pool, **training) -> Stepper:
    content = settings(pool / "unused", pool, WIDER, {"sequences": 8, "held_out": 1}, **training)
    return Stepper(parse(content), pool)


@pytest.mark.parametrize("kind", KINDS)
def test_no_term_is_off_by_more_than_rounding_explains(pool, kind):
    """At first and after some steps, when the mesh moves and terms of the gradient cancel."""
    network = stepper(pool, **KINDS[kind])
    for steps in (0, 20):
        network.learn(steps)
        batch = network.batch(3)
        exact, half = network.step(batch), network.step(batch, half=True)
        errors, gradients = term_errors(exact, half), gradient_errors(exact, half)
        assert set(errors) == {"loss", "smooth", "au", "intensity", "vertices"}
        assert 0 < max(errors.values()) < 1, errors  # measured: 0.5; with whitened layers in bfloat16 1.5 and 3.9
        assert median(gradients.values()) < 0.06, gradients  # 0.04; 0.16
        assert difference(exact, half) < 0.04  # 0.024; 0.18


def test_weights_that_were_cast_without_gradients_do_not_reach_the_pass_that_learns(pool):
    """PyTorch before 2.10 would keep them, and the temporal module would learn nothing."""
    network, seen = stepper(pool, **KINDS["fed its own decisions"]), []

    def look(*_) -> None:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()))

    network.trainee.network.model.temporal.register_forward_pre_hook(look)
    _, half = network.step(network.batch(), half=True)
    assert seen == [(False, True, False), (False, True, False), (True, True, True)]
    _, exact = network.step(network.batch())
    learned = {name for name, value in exact.items() if value.any() and not name.endswith("key.bias")}
    assert "model.temporal.layers.1.attention.query.weight" in learned
    assert all(half[name].any() for name in learned)
