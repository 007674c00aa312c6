"""Scores of action units, per AU, over known labels only: F1, ROC area, Matthews correlation, kappa, F1 by intensity,
and of intensities Pearson's r and the intraclass correlation ICC(3,1).
"""

from typing import NamedTuple

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


def matthews_correlation(decisions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Matthews correlation of each AU, (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)), over all rows.

    As for `pearson`, of which it is the case of two values, a decision that never changes has correlation 0.

    Args:
        decisions: (M, N) predicted presence, bool or 0/1.
        labels: (M, N) 0, 1, or -1 for unknown, which is left out.

    Returns:
        (N,) float64 in [-1, 1]; NaN where an AU is present, or absent, in every known row, or no row is known.
    """
    decisions, labels = np.asarray(decisions).astype(bool), np.asarray(labels)
    absent, present = labels == 0, labels == 1
    hits, misses = ((said & present).sum(0).astype(np.float64) for said in (decisions, ~decisions))
    alarms, rejections = ((said & absent).sum(0).astype(np.float64) for said in (decisions, ~decisions))
    said = np.sqrt(hits + alarms) * np.sqrt(misses + rejections)  # products of four counts would overflow integers
    true = np.sqrt(hits + misses) * np.sqrt(alarms + rejections)
    covariance = hits * rejections - alarms * misses
    result = np.where(said > 0, covariance / np.where(said * true > 0, said * true, 1.0), 0.0)
    return np.where(true > 0, np.clip(result, -1, 1), np.nan)


def pearson(estimates: np.ndarray, intensities: np.ndarray) -> np.ndarray:
    """Pearson's r of each AU's estimate with its intensity.

    An estimate that never changes follows nothing: its r is 0, not undefined, so that a mean over AUs cannot gain from
    an AU that was given up.

    Args:
        estimates: (M, N) intensities or probabilities.
        intensities: (M, N) 0-5; negative or NaN for unknown, which is left out.

    Returns:
        (N,) float64 in [-1, 1]; NaN where the known intensities never change or there are none.
    """
    estimates, intensities = np.asarray(estimates, np.float64), np.asarray(intensities, np.float64)
    result = np.full(intensities.shape[1], np.nan)
    for k in range(intensities.shape[1]):
        known = intensities[:, k] >= 0
        x, y = estimates[known, k], intensities[known, k]
        if not len(y) or np.ptp(y) == 0:
            continue
        if np.ptp(x) == 0:
            result[k] = 0.0
            continue
        x, y = x - x.mean(), y - y.mean()
        x, y = x / np.abs(x).max(), y / np.abs(y).max()  # squares of tiny numbers would vanish
        result[k] = np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1)
    return result


def icc_3_1(estimates: np.ndarray, intensities: np.ndarray) -> np.ndarray:
    """Intraclass correlation ICC(3,1) of each AU's estimate with its intensity: agreement but for a constant offset.

    The two are k = 2 fixed judges of the rows, and ICC = (MSR - MSE) / (MSR + (k - 1) MSE), with the mean squares
    between rows and of the residual of a two-way analysis of variance: Shrout and Fleiss, "Intraclass correlations:
    uses in assessing rater reliability" (1979). Unlike Pearson's r it falls where the estimate is too strong or too
    weak. An estimate that never changes has 0.

    Args:
        estimates: (M, N) intensities, or (J, M, N) those of several judges; then k = J + 1.
        intensities: (M, N) 0-5; negative or NaN for unknown, which is left out.

    Returns:
        (N,) float64 in [-1 / (k - 1), 1]; NaN where the known intensities never change or there are none.

    Raises:
        ValueError: the shapes do not fit.
    """
    intensities = np.asarray(intensities, np.float64)
    estimates = np.asarray(estimates, np.float64)
    if estimates.ndim not in (2, 3) or estimates.shape[-2:] != intensities.shape:
        raise ValueError(f"estimates {estimates.shape} do not fit intensities {intensities.shape}")
    judges = np.concatenate([estimates if estimates.ndim == 3 else estimates[None], intensities[None]])  # (k, M, N)
    result = np.full(intensities.shape[1], np.nan)
    for k in range(intensities.shape[1]):
        ratings = judges[:, intensities[:, k] >= 0, k]  # (k, rows)
        if not ratings.shape[1] or np.ptp(ratings[-1]) == 0:
            continue
        others, rows = ratings.shape[0] - 1, ratings.shape[1]
        ratings = ratings - ratings.mean(1, keepdims=True)  # less each judge's mean, so the grand mean is 0
        of_rows = ratings.mean(0)
        between = (others + 1) * (of_rows @ of_rows) / (rows - 1)
        residual = ((ratings - of_rows) ** 2).sum() / (others * (rows - 1))
        result[k] = (between - residual) / (between + others * residual)
    return result


def cohen_kappa(decisions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cohen's kappa of each AU, (agreement - chance) / (1 - chance), between two runs or a run and labels.

    Args:
        decisions, others: (M, N) bool, 0/1, or -1 for unknown in either, which is left out.

    Returns:
        (N,) float64, at most 1; NaN where both say the same one thing in every known row, or no row is known.
    """
    decisions, others = np.asarray(decisions).astype(np.int64), np.asarray(others).astype(np.int64)
    known = (decisions >= 0) & (others >= 0)
    rows = np.maximum(known.sum(0), 1)
    agreement = ((decisions == others) & known).sum(0) / rows
    rates = ((decisions == 1) & known).sum(0) / rows, ((others == 1) & known).sum(0) / rows
    chance = rates[0] * rates[1] + (1 - rates[0]) * (1 - rates[1])
    defined = known.any(0) & (chance < 1)
    return np.where(defined, (agreement - chance) / np.where(defined, 1 - chance, 1.0), np.nan)


class IntensityScores(NamedTuple):
    """What `f1_by_intensity` gives; rows are the intensities 1 to 5, columns the AUs.

    Attributes:
        recall: (5, N) share of the level's rows that are predicted present; NaN where there are none.
        f1: (5, N) F1 with the level's rows as positives and the absent rows as negatives; NaN as for `recall`.
        rows: (5, N) int64, how many rows have that intensity.
    """

    recall: np.ndarray
    f1: np.ndarray
    rows: np.ndarray


def f1_by_intensity(decisions: np.ndarray, intensities: np.ndarray) -> IntensityScores:
    """Recall and F1 of each AU by its true intensity: how faint a motion is still seen.

    Intensities are rounded down to a level, 5 and more being 5; from 1 on an AU is present, below 1 absent. The absent
    rows are the negatives of every level, so that F1 falls for rare levels whatever the recall: read both.

    Args:
        decisions: (M, N) predicted presence, bool or 0/1.
        intensities: (M, N) 0-5; negative or NaN for unknown, which is left out.
    """
    decisions, intensities = np.asarray(decisions).astype(bool), np.asarray(intensities, np.float64)
    absent = (intensities >= 0) & (intensities < 1)
    recall, f1, rows = [], [], []
    for level in range(1, 6):
        at_level = (intensities >= level) & ((intensities < level + 1) | (level == 5))
        count = at_level.sum(0)
        hits = (decisions & at_level).sum(0)
        recall.append(np.where(count > 0, hits / np.maximum(count, 1), np.nan))
        f1.append(f1_score(decisions, np.where(at_level, 1, np.where(absent, 0, -1))))
        f1[-1][count == 0] = np.nan
        rows.append(count)
    return IntensityScores(np.stack(recall), np.stack(f1), np.stack(rows))
