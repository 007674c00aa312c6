"""Scores of a network on held-out people, decoded frame by frame as in use, by one process or shared out among many."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import facs
from ..evaluation.decoding import Gather, alone, decoded_columns, frame_scores
from ..metrics import f1_score
from .trainees import Trainee
from .training_data import Batch


def evaluate(
    trainee: Trainee,
    batches: Iterable[Batch],
    meshes: Callable[[Batch], Batch],
    gather: Gather = alone,
) -> dict[str, Any]:
    """Autoregressive decoding with the model's own generation settings.

    Frames count where a batch's `scored` (B, T) bool says so, or else its `frame_mask`; unknown labels (-1) do not.

    Args:
        batches: of this process (`sampling.SharedBatches`), as `data.collate_clips` makes them.
        meshes: adds the meshes to a batch, on its device.
        gather: between processes. All return the same scores then, and the same ones however many they are.

    Returns:
        Per AU (by label) and as means what `frame_scores` gives, at the model's thresholds, None where there is nothing
        to tell; where batches have `true_vertices`, in
        millimetres, over frames that are valid: `coarse_error_mm` and `refined_error_mm` to the true mesh,
        corresponding vertices; and the number of `frames`.
    """
    whole = decoded_columns(trainee.network, trainee.decode, batches, meshes, gather, errors=True)
    scores = frame_scores(whole)
    names = [facs.label(unit) for unit in trainee.network.config.action_units]
    result: dict = {f"{name}_mean": _mean(value) for name, value in scores.items()}
    for name in ("coarse_error", "refined_error"):
        if name in whole:
            result[f"{name}_mm"] = float(whole[name].mean(dtype=np.float64)) if len(whole[name]) else None
    result["frames"] = len(whole["labels"])
    result["by_au"] = {au: {name: _number(value[k]) for name, value in scores.items()} for k, au in enumerate(names)}
    return result


def best_thresholds(
    trainee: Trainee,
    batches: Iterable[Batch],
    meshes: Callable[[Batch], Batch],
    gather: Gather = alone,
) -> list[float]:
    """The probability, per AU, from which calling it present gives the highest F1 on these batches.

    Candidates are 0.20, 0.25, ..., 0.90: less than that is no decision that a person would understand, even where F1
    would gain by it. Ties go to the one nearest to 0.5, which is also the answer for an AU that never occurs. Measure
    on other people than those that scores are reported on. Args as of `evaluate`.
    """
    whole = decoded_columns(trainee.network, trainee.decode, batches, meshes, gather)
    candidates = sorted((round(0.2 + 0.05 * k, 2) for k in range(15)), key=lambda value: abs(value - 0.5))
    scores = [np.nan_to_num(f1_score(whole["probabilities"] >= value, whole["labels"])) for value in candidates]
    return [candidates[best] for best in np.stack(scores).argmax(0)]  # of (candidates, N)


def summary(step: int, scores: dict[str, Any]) -> str:
    """One line for people."""
    text = (
        f"step {step}: F1 {scores['f1_mean']} (always positive {scores['always_positive_f1_mean']}), "
        f"ROC area {scores['roc_area_mean']}"
    )
    if scores.get("refined_error_mm") is not None:
        text += f", mesh {scores['refined_error_mm']:.3f} mm (coarse {scores['coarse_error_mm']:.3f})"
    return text


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
