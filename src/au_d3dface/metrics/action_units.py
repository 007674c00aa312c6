"""Scores of action-unit detection, per AU, over known labels only."""

import numpy as np


def f1_score(decisions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """F1 = 2 TP / (2 TP + FP + FN) of each AU, pooled over all rows.

    Args:
        decisions: (M, N) predicted presence, bool or 0/1.
        labels: (M, N) 0, 1, or -1 for unknown, which is left out.

    Returns:
        (N,) float64; NaN where an AU is neither labelled nor predicted present in any known row.
    """
    decisions, labels = np.asarray(decisions).astype(bool), np.asarray(labels)
    known, present = labels >= 0, labels == 1
    hits = (decisions & present).sum(0)
    misses = (~decisions & present).sum(0)
    alarms = (decisions & known & ~present).sum(0)
    total = 2 * hits + misses + alarms
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), np.nan)


def always_positive_f1(labels: np.ndarray) -> np.ndarray:
    """F1 of saying "present" everywhere, 2 r / (1 + r) for a positive rate r: the floor beside any F1. (N,)."""
    return f1_score(np.ones_like(np.asarray(labels)), labels)


def roc_area(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each AU: the chance that a present row scores above an absent one, ties half.

    Computed from ranks (the Mann-Whitney statistic).

    Args:
        scores: (M, N) probabilities or any increasing function of them.
        labels: (M, N) 0, 1, or -1 for unknown, which is left out.

    Returns:
        (N,) float64; NaN where an AU is present, or absent, in every known row.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    areas = np.full(labels.shape[1], np.nan)
    for k in range(labels.shape[1]):
        known = labels[:, k] >= 0
        present = labels[known, k] == 1
        positives, negatives = int(present.sum()), int((~present).sum())
        if not positives or not negatives:
            continue
        _, group, sizes = np.unique(scores[known, k], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]  # from 1, the mean rank for ties
        areas[k] = (ranks[present].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return areas
