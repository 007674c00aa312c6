"""Measuring a checkpoint on real video: agreement with another tool's action units, and what the frame rate changes."""
