"""Scores of a network on held-out people, decoded frame by frame as in use, by one process or shared out among many."""

from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch

from .. import facs
from ..metrics import always_positive_f1, f1_score, pearson, roc_area, vertex_error
from .sampling import to_device
from .trainees import Trainee
from .training_data import Batch

Columns = dict[str, np.ndarray]
Gather = Callable[[list[Columns]], list[list[Columns]]]
"""From what this process has of every batch to what each process has, in their order."""


def alone(parts: list[Columns]) -> list[list[Columns]]:
    """Gathers from the only process."""
    return [parts]


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
        Per AU (by label) and as means: `f1` at the model's thresholds, `always_positive_f1` (the floor), `roc_area`,
        `intensity_r` (Pearson), None where there is nothing to tell; where batches have `true_vertices`, in
        millimetres, over frames that are valid: `coarse_error_mm` and `refined_error_mm` to the true mesh,
        corresponding vertices; and the number of `frames`.
    """
    whole = _decode(trainee, batches, meshes, gather, errors=True)
    labels = whole["labels"]
    scores = {
        "f1": f1_score(whole["decisions"] >= 0.5, labels),
        "always_positive_f1": always_positive_f1(labels),
        "roc_area": roc_area(whole["probabilities"], labels),
    }
    if "estimates" in whole:
        scores["intensity_r"] = pearson(whole["estimates"], whole["intensities"])
    names = [facs.label(unit) for unit in trainee.network.config.action_units]
    result: dict = {f"{name}_mean": _mean(value) for name, value in scores.items()}
    for name in ("coarse_error", "refined_error"):
        if name in whole:
            result[f"{name}_mm"] = float(whole[name].mean(dtype=np.float64)) if len(whole[name]) else None
    result["frames"] = len(labels)
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
    whole = _decode(trainee, batches, meshes, gather)
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


def joined(parts: list[list[Columns]]) -> Columns:
    """The columns of all processes' batches, in the order of the data set: dealt out in turn, taken back in turn."""
    ordered = [part for part in chain(*zip_longest(*parts)) if part is not None]
    return {name: np.concatenate([part[name] for part in ordered]) for name in ordered[0]}


@torch.no_grad()
def _decode(
    trainee: Trainee,
    batches: Iterable[Batch],
    meshes: Callable[[Batch], Batch],
    gather: Gather,
    errors: bool = False,
) -> Columns:
    """Columns of the frames that count, M each, in the order of the data set."""
    model = trainee.network
    was_training = model.training
    model.eval()
    parts: list[Columns] = []
    for batch in batches:
        batch = meshes(to_device(batch, model.device))
        mask = batch["frame_mask"].bool()
        counted = batch["scored"].bool() if "scored" in batch else mask
        output = trainee.decode(batch)
        # A frame that counts although it has no face is one of which nothing was found.
        probabilities = output["au_probabilities"].masked_fill(~mask[..., None], 0.0)
        rows = {
            "labels": batch["au_labels"][counted],
            "decisions": output["au_labels"][counted],
            "probabilities": probabilities[counted],
        }
        if (estimates := output.get("au_intensities")) is not None:
            rows |= {"intensities": batch["au_intensity_labels"][counted], "estimates": estimates[counted]}
        if errors and "true_vertices" in batch and (refined := output.get("vertices")) is not None:
            for name, vertices in (("coarse_error", batch["vertices"]), ("refined_error", refined)):
                rows[name] = vertex_error(vertices, batch["true_vertices"])[mask & counted]
        parts.append({name: value.float().cpu().numpy() for name, value in rows.items()})
    model.train(was_training)
    return joined(gather(parts))


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
