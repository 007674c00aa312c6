"""Scores of networks, and of other tools' csv files, on the people of one part of your own copy of BP4D or DISFA.

Whole runs are decoded frame by frame as in use, at the network's own rate, every phase of each, so that every frame
that counts is scored once. Events are those of a phase: what the network says in succession.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from ... import facs
from ...checkpoints import give_face_model
from ...configuration_au_d3dface import AUD3DFaceConfig
from ...data import collate_clips
from ...data.benchmark_clips import (
    CoefficientSequence,
    ScoredPiece,
    ScoredRuns,
    counts,
    expression_basis,
    read_coefficient_sequences,
)
from ...data.benchmark_rows import LabelledSequence
from ...data.clip_meshes import ClipMeshes, FLAMEClipMeshes
from ...data.clips import runs
from ...data.folds import Fold
from ...data.loading import benchmark_builder
from ...errors import CheckpointError, InputError, UsageError
from ...face_models import FaceModel, load_face_model
from ...metrics import EventScores, event_scores_by_au, pooled_event_scores
from ...mlp_baseline import AUD3DFaceMLP
from ..decoding import Columns, decide, decoded_columns, frame_scores
from .table import PartScores
from .tool_tables import said_of_frames, table_files

_TOGETHER = 4
"""Pieces that are decoded at once; meshes of one may take 36 MB (FLAME's, a minute at 10 a second)."""


@dataclass
class BenchmarkPart:
    """The tested people of one part, read as far as they are asked for.

    Args:
        benchmark: "bp4d" or "disfa". data_dir: your copy. prepared: what `au-d3dface prepare` made of it, or None,
            which is enough for csv files of other tools.
        part: that is tested, or "all".
        settings: of `benchmark_builder.BenchmarkConfig`: folds, frames, missing, frame_rate, and DISFA's.

    Raises:
        UsageError: a setting that makes no sense, or no such part.
        InputError: sequences of the tested people are missing, or there is none, or no frame counts.
    """

    benchmark: str
    data_dir: str
    prepared: str | None
    part: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.builder = benchmark_builder(
            self.benchmark, self.data_dir, self.part, prepared=self.prepared, **self.settings
        )
        self.fold: Fold = self.builder.fold
        names = self.builder.sequences_of(self.fold.test)
        if not names:
            raise InputError(
                f"{self.builder.layout.root} has no sequence of the tested part {self.part!r}; choose another"
            )
        self.labelled: list[LabelledSequence] = list(self.builder.labelled_sequences(names))
        self.action_units = self.builder.settings.action_units
        if not any(one.counted.any() for one in self.labelled):
            raise InputError(
                f"no frame of the part {self.part} in {self.builder.layout.root} counts: none of the "
                f"{len(names)} sequences has a known label of these action units; copy the labels again"
            )
        self._read: dict[tuple, tuple[FaceModel, list[CoefficientSequence], str]] = {}

    def coefficients(self, config: Any) -> tuple[FaceModel, list[CoefficientSequence], str]:
        """Face model, sequences and the name of the coarse reconstructor, as a network of this config reads them.

        Raises:
            UsageError: nothing was prepared.
            InputError: files are missing or damaged, or were prepared otherwise.
        """
        if self.prepared is None:
            raise UsageError("a checkpoint reads coarse faces: give --prepared, the folder that `prepare` wrote")
        crop_size = config.image_size if config.use_video else None
        key = config.face_model, float(config.frame_rate), crop_size
        if key not in self._read:
            face_model = load_face_model(config.face_model)
            read, coarse = read_coefficient_sequences(self.labelled, face_model, config.frame_rate, crop_size)
            self._read[key] = face_model, read, coarse
        return self._read[key]


def network_scores(
    network: PreTrainedModel, part: BenchmarkPart, progress: Callable[[int, int], None] | None = None
) -> PartScores:
    """Decodes the tested people and scores them, at the network's own thresholds.

    Args:
        progress: called with how many pieces are done, and of how many.

    Raises:
        UsageError: the network reads none of the benchmark's action units.
        InputError: as of `BenchmarkPart.coefficients`, or another reconstructor than an MLP was trained on.
        CheckpointError: the face model is not the network's.
    """
    config = network.config
    face_model, sequences, coarse = part.coefficients(config)
    units = [unit for unit in config.action_units if unit in part.action_units]
    if not units:
        raise UsageError(
            f"the checkpoint reads none of the action units of {part.benchmark.upper()}: it reads "
            f"{', '.join(map(facs.label, config.action_units))}"
        )
    if isinstance(network, AUD3DFaceMLP):
        width = sequences[0].expression.shape[1] + (0 if sequences[0].pose is None else sequences[0].pose.shape[1])
        if (config.coarse, config.num_coefficients) != (coarse, width):
            raise InputError(
                f"{part.prepared} was prepared by {coarse}, {width} coefficients a frame, but the MLP reads "
                f"{config.num_coefficients} of {config.coarse}; prepare the data with that"
            )
    elif face_model.licensed:
        give_face_model(network, face_model)  # type: ignore[arg-type]
    elif config.num_vertices != len(face_model.template):
        raise CheckpointError(f"the checkpoint has {config.num_vertices} vertices, {face_model.name} another number")
    meshes = (
        ClipMeshes(expression_basis(face_model, coarse, sequences).cpu())
        if sequences[0].pose is None
        else FLAMEClipMeshes(face_model)
    ).to(network.device)
    scored = ScoredRuns(sequences, 2 * getattr(config, "attention_window", 0))  # an MLP has none

    def batches():
        for start in range(0, len(scored), _TOGETHER):
            if progress is not None:
                progress(start, len(scored))
            yield collate_clips([piece.sequence.clip(piece.rows, piece.shown) for piece in _some(scored, start)])

    columns = decoded_columns(
        network, lambda batch: decide(network, batch), _relabelled(batches(), part, config), meshes
    )
    at = [config.action_units.index(unit) for unit in units]
    columns = {name: values[:, at] for name, values in columns.items()}
    counted = np.concatenate([piece.scored[piece.shown] for piece in scored.pieces])
    events = events_of_pieces(scored.pieces, columns)
    found = counts(sequences)
    return _part_scores(part, units, {name: values[counted] for name, values in columns.items()}, events, found)


def tool_scores(folder: Path, part: BenchmarkPart, camera: str = "left") -> PartScores:
    """Scores of another tool's csv files, as `tool_tables.said_of_frames` reads them.

    Raises:
        InputError: a sequence has no csv, or it cannot be read or belongs to other frames.
    """
    files = table_files(folder, part.benchmark, camera)
    missing = [one.files.name for one in part.labelled if one.files.name not in files]
    if missing:
        raise InputError(f"{folder} has no csv of {missing[0]} ({len(missing)} of {len(part.labelled)} are missing)")
    read = [said_of_frames(files[one.files.name], one, part.action_units) for one in part.labelled]
    known = [k for k in range(len(part.action_units)) if all(k in said.known for said in read)]
    units = [part.action_units[k] for k in known]
    if not units:
        raise InputError(f"the csv files in {folder} have no action unit of {part.benchmark.upper()} in common")
    chosen = [name for name in ("probabilities", "decisions", "estimates") if all(name in s.columns for s in read)]
    columns: Columns = {
        "labels": np.concatenate([one.labels.au_labels[one.counted] for one in part.labelled])[:, known],
        "intensities": np.concatenate([one.labels.au_intensity[one.counted] for one in part.labelled])[:, known],
        **{
            name: np.concatenate(
                [said.columns[name][one.counted] for said, one in zip(read, part.labelled, strict=True)]
            )[:, known]
            for name in chosen
        },
    }
    by_sequence = []
    for said, one in zip(read, part.labelled, strict=True):
        for run in runs(one.labels.frames):
            rows = np.flatnonzero(one.counted[run]) + run.start
            by_sequence.append(
                event_scores_by_au(
                    said.columns["decisions"][rows][:, known] >= 0.5,
                    one.labels.au_labels[rows][:, known],
                    one.timestamps[rows],
                )
            )
    events = [pooled_event_scores(scores) for scores in zip(*by_sequence, strict=True)]
    found = {
        "subjects": len({one.files.subject for one in part.labelled}),
        "frames": int(sum(one.counted.sum() for one in part.labelled)),
        "frames_without_face": int(
            sum((one.counted & ~said.seen).sum() for said, one in zip(read, part.labelled, strict=True))
        ),
    }
    return _part_scores(part, units, columns, events, found)


def about(network: PreTrainedModel) -> dict[str, Any]:
    """What is said of a network beside its scores: its input and modules in Table 4's words, and its face model."""
    config = network.config
    if not isinstance(config, AUD3DFaceConfig):
        return {"input": "coefficients", "modules": "MLP", "face_model": config.face_model}
    inputs = [name for name in ("mesh", "video") if getattr(config, f"use_{name}")]
    modules = [name for name in ("temporal", "spatial") if getattr(config, f"use_{name}")]
    return {"input": " + ".join(inputs), "modules": " + ".join(modules), "face_model": config.face_model}


def _some(scored: ScoredRuns, start: int) -> list[ScoredPiece]:
    return scored.pieces[start : start + _TOGETHER]


def _relabelled(batches, part: BenchmarkPart, config: Any):
    """The batches with the labels in the order of the network's action units, unknown for those not labelled."""
    order = [part.action_units.index(unit) if unit in part.action_units else -1 for unit in config.action_units]
    index, unlabelled = torch.tensor(order).clamp_min(0), torch.tensor(order) < 0
    for batch in batches:
        for name in ("au_labels", "au_intensity_labels"):
            batch[name] = batch[name][..., index].masked_fill(unlabelled, -1)
        yield batch


def events_of_pieces(pieces: Sequence[ScoredPiece], columns: Columns) -> list[EventScores]:
    """Of every action unit, over all phases of all runs; the pieces of a phase are put together again."""
    bounds = np.cumsum([0, *(int(piece.shown.sum()) for piece in pieces)])
    phases: dict[tuple[str, int], list[tuple[np.ndarray, slice]]] = {}
    sequences = {piece.sequence.name: piece.sequence for piece in pieces}
    for piece, start, end in zip(pieces, bounds[:-1], bounds[1:], strict=True):
        rows = piece.rows[piece.shown]
        phases.setdefault((piece.sequence.name, piece.clip), []).append((rows, slice(int(start), int(end))))
    by_phase = []
    for (name, _), parts in phases.items():
        rows = np.concatenate([rows for rows, _ in parts])
        at = np.concatenate([np.arange(part.start, part.stop) for _, part in parts])
        rows, first = np.unique(rows, return_index=True)  # in time; a slow video shows a frame twice
        at = at[first]
        by_phase.append(
            event_scores_by_au(columns["decisions"][at] >= 0.5, columns["labels"][at], sequences[name].timestamps[rows])
        )
    return [pooled_event_scores(scores) for scores in zip(*by_phase, strict=True)]


def _part_scores(
    part: BenchmarkPart,
    units: Sequence[int],
    columns: Columns,
    events: Sequence[EventScores],
    found: dict[str, int],
) -> PartScores:
    scores = frame_scores(columns)
    scores |= {
        "event_f1": np.array([score.f1 for score in events]),
        "onset_error": np.array([score.onset_error for score in events]),
        "offset_error": np.array([score.offset_error for score in events]),
    }
    by_au = {
        facs.label(unit): {name: None if np.isnan(value[k]) else float(value[k]) for name, value in scores.items()}
        for k, unit in enumerate(units)
    }
    return PartScores(found["subjects"], found["frames"], found["frames_without_face"], by_au)
