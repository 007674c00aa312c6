"""Labelled synthetic sequences: trajectories of action units, the tracker's answers to them, pools of fitted clips."""
