"""From batches of whole runs to columns of frames, and from columns to the scores of each action unit."""

from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..data.network_inputs import Batch, coefficients, reconstruction_inputs
from ..metrics import always_positive_f1, f1_score, icc_3_1, matthews_correlation, pearson, roc_area, vertex_error
from ..mlp_baseline import AUD3DFaceMLP

Columns = dict[str, np.ndarray]
Gather = Callable[[list[Columns]], list[list[Columns]]]
"""From what this process has of every batch to what each process has, in their order."""


def alone(parts: list[Columns]) -> list[list[Columns]]:
    """Gathers from the only process."""
    return [parts]


def decide(network: PreTrainedModel, batch: Batch) -> Any:
    """What a network says by itself: `au_probabilities`, `au_labels`, perhaps `au_intensities`, `vertices`.

    Frame by frame with its generation settings, or of each frame alone, if it is an MLP.

    Args:
        batch: with meshes, on the network's device.
    """
    if isinstance(network, AUD3DFaceMLP):
        return network.decide(coefficients(batch), batch["frame_mask"].bool())
    return network.generate(**reconstruction_inputs(batch, network.config.use_video))


@torch.no_grad()
def decoded_columns(
    network: PreTrainedModel,
    decode: Callable[[Batch], Any],
    batches: Iterable[Batch],
    meshes: Callable[[Batch], Batch],
    gather: Gather = alone,
    errors: bool = False,
) -> Columns:
    """Columns of the frames that count, M each, in the order of the data set: `labels` (-1 unknown), `decisions`,
    `probabilities`, and where the network has them `intensities` and its `estimates`, all (M, N).

    Frames count where a batch's `scored` (B, T) bool says so, or else its `frame_mask`.

    Args:
        decode: of a batch, as `decide`. batches: of this process. meshes: adds the meshes to a batch on its device.
        gather: between processes.
        errors: adds `coarse_error` and `refined_error` (M',) millimetres of valid frames where true meshes are known.
    """
    was_training = network.training
    network.eval()
    parts: list[Columns] = []
    for batch in batches:
        batch = meshes({name: value.to(network.device, non_blocking=True) for name, value in batch.items()})
        mask = batch["frame_mask"].bool()
        counted = batch["scored"].bool() if "scored" in batch else mask
        output = decode(batch)
        # A frame that counts although it has no face is one of which nothing was found.
        probabilities = output["au_probabilities"].masked_fill(~mask[..., None], 0.0)
        rows: dict[str, Tensor] = {
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
    network.train(was_training)
    return joined(gather(parts))


def joined(parts: list[list[Columns]]) -> Columns:
    """The columns of all processes' batches, in the order of the data set: dealt out in turn, taken back in turn."""
    ordered = [part for part in chain(*zip_longest(*parts)) if part is not None]
    return {name: np.concatenate([part[name] for part in ordered]) for name in ordered[0]}


def frame_scores(columns: Columns) -> dict[str, np.ndarray]:
    """(N,) scores over the known labels of all rows, NaN where one is not defined.

    Returns:
        `f1` of the decisions, `always_positive_f1` (the floor beside it), `roc_area` of the probabilities,
        `matthews_correlation` of the decisions; with intensities also `intensity_r` (Pearson) and `intensity_icc`
        (ICC(3,1)).
    """
    labels, decisions = columns["labels"], columns["decisions"] >= 0.5
    scores = {
        "f1": f1_score(decisions, labels),
        "always_positive_f1": always_positive_f1(labels),
        "roc_area": roc_area(columns["probabilities"], labels),
        "matthews_correlation": matthews_correlation(decisions, labels),
    }
    if "estimates" in columns:
        scores["intensity_r"] = pearson(columns["estimates"], columns["intensities"])
        scores["intensity_icc"] = icc_3_1(columns["estimates"], columns["intensities"])
    return scores
