"""Scores of a network on held-out synthetic people, decoded frame by frame as in use."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from .. import facs
from ..metrics import always_positive_f1, f1_score, pearson, roc_area, vertex_error
from .trainees import Trainee
from .training_data import Batch


@torch.no_grad()
def evaluate(trainee: Trainee, batches: Iterable[dict[str, Tensor]], meshes: Callable[[Batch], Batch]) -> dict:
    """Autoregressive decoding with the model's own generation settings.

    Args:
        batches: as `data.collate_clips` makes them. meshes: adds the meshes to a batch, on its device.

    Returns:
        Per AU (by label) and as means: `f1` at the model's thresholds, `always_positive_f1` (the floor), `roc_area`,
        `intensity_r` (Pearson); and in millimetres, over valid frames: `coarse_error` and `refined_error` to the true
        mesh, corresponding vertices.
    """
    model = trainee.network
    was_training = model.training
    model.eval()
    columns: dict[str, list[np.ndarray]] = {}
    errors = {"coarse_error": [], "refined_error": []}
    for batch in batches:
        batch = meshes({name: value.to(model.device) for name, value in batch.items()})
        mask = batch["frame_mask"].bool()
        output = trainee.decode(batch)
        rows = {
            "labels": batch["au_labels"],
            "intensities": batch["au_intensity_labels"],
            "decisions": output["au_labels"],
            "probabilities": output["au_probabilities"],
            "estimates": output.get("au_intensities"),
        }
        for name, value in rows.items():
            if value is not None:
                columns.setdefault(name, []).append(value[mask].float().cpu().numpy())
        for name, vertices in (("coarse_error", batch["vertices"]), ("refined_error", output.get("vertices"))):
            if vertices is None or "true_vertices" not in batch:
                continue
            errors[name].append(vertex_error(vertices, batch["true_vertices"])[mask].cpu())
    model.train(was_training)

    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    labels = whole["labels"]
    scores = {
        "f1": f1_score(whole["decisions"] >= 0.5, labels),
        "always_positive_f1": always_positive_f1(labels),
        "roc_area": roc_area(whole["probabilities"], labels),
    }
    if "estimates" in whole:
        scores["intensity_r"] = pearson(whole["estimates"], whole["intensities"])
    names = [facs.label(unit) for unit in model.config.action_units]
    result: dict = {f"{name}_mean": _mean(value) for name, value in scores.items()}
    result |= {f"{name}_mm": float(torch.cat(parts).mean()) for name, parts in errors.items() if parts}
    result["frames"] = len(labels)
    result["by_au"] = {au: {name: _number(value[k]) for name, value in scores.items()} for k, au in enumerate(names)}
    return result


@torch.no_grad()
def best_thresholds(
    trainee: Trainee, batches: Iterable[dict[str, Tensor]], meshes: Callable[[Batch], Batch]
) -> list[float]:
    """The probability, per AU, from which calling it present gives the highest F1 on these batches.

    Candidates are 0.20, 0.25, ..., 0.90: less than that is no decision that a person would understand, even where F1
    would gain by it. Ties go to the one nearest to 0.5, which is also the answer for an AU that never occurs. Measure
    on other people than those that scores are reported on.
    """
    model = trainee.network
    was_training = model.training
    model.eval()
    probabilities, labels = [], []
    for batch in batches:
        batch = meshes({name: value.to(model.device) for name, value in batch.items()})
        mask = batch["frame_mask"].bool()
        output = trainee.decode(batch)
        probabilities.append(output["au_probabilities"][mask].float().cpu().numpy())
        labels.append(batch["au_labels"][mask].cpu().numpy())
    model.train(was_training)
    given, truth = np.concatenate(probabilities), np.concatenate(labels)
    candidates = sorted((round(0.2 + 0.05 * k, 2) for k in range(15)), key=lambda value: abs(value - 0.5))
    scores = np.stack([np.nan_to_num(f1_score(given >= value, truth)) for value in candidates])  # (candidates, N)
    return [candidates[best] for best in scores.argmax(0)]


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
