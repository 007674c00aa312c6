"""Scores: action units (F1, ROC area, MCC, r, ICC, kappa), calibration, events, meshes, jitter, lag, face regions."""

from .action_units import (
    IntensityScores,
    always_positive_f1,
    cohen_kappa,
    f1_by_intensity,
    f1_score,
    icc_3_1,
    matthews_correlation,
    pearson,
    roc_area,
)
from .calibration import Reliability, brier_score, reliability
from .events import EventScores, event_intervals, event_scores, event_scores_by_au, match_events, pooled_event_scores
from .mesh import displacement_distance, displacement_error, jitter, lag, vertex_distance, vertex_error
from .regions import REGIONS, facemesh_regions, region_means
from .surface import DistanceSummary, summarize_distances, vertex_to_surface

__all__ = [
    "REGIONS",
    "DistanceSummary",
    "EventScores",
    "IntensityScores",
    "Reliability",
    "always_positive_f1",
    "brier_score",
    "cohen_kappa",
    "displacement_distance",
    "displacement_error",
    "event_intervals",
    "event_scores",
    "event_scores_by_au",
    "f1_by_intensity",
    "f1_score",
    "facemesh_regions",
    "icc_3_1",
    "jitter",
    "lag",
    "match_events",
    "matthews_correlation",
    "pearson",
    "pooled_event_scores",
    "region_means",
    "reliability",
    "roc_area",
    "summarize_distances",
    "vertex_distance",
    "vertex_error",
    "vertex_to_surface",
]
