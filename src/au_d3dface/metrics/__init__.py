"""Scores: action units (F1, ROC area), mesh distances, jitter."""

from .action_units import always_positive_f1, f1_score, roc_area
from .mesh import jitter, vertex_error

__all__ = ["always_positive_f1", "f1_score", "jitter", "roc_area", "vertex_error"]
