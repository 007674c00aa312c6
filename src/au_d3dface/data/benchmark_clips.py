"""BP4D and DISFA in memory as coefficients and labels: clips to train on, whole runs to score on.

140,000 frames are some 140 MB as coefficients. A sequence is divided into runs, and runs into phases, as in `clips`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..face_models import FaceModel
from ..video.pictures import read_picture
from .benchmark_crops import SequenceCrops
from .benchmark_features import SequenceFeatures
from .benchmark_files import UNKNOWN
from .benchmark_rows import LabelledSequence
from .benchmark_views import SequenceViews
from .clips import Clip, clips_of, drawn_phase
from .prepared import PreparedCoefficients, fitted_face_model, read_prepared_coefficients

MOST_ENTRIES = 600
"""Of a run that is decoded at once, a minute at 10 a second: bounds memory. Longer ones are cut into pieces."""

MOST_CROPS = 100
"""The same where there are crops, of which one at 224 pixels takes as much as 200 frames of coefficients."""


@dataclass
class CoefficientSequence:
    """One sequence, T labelled frames.

    Attributes:
        name: `F001_T1`, `SN001`. subject: `F001`, `SN001`.
        clips: every phase of every run as one clip (`clips.clips_of` without a length), whose rows are of the T frames.
        timestamps: (T,) seconds. times_from: where they come from, see `LabelledSequence`.
        expression (T, E), pose (T, P) or None: 0 where not usable. shape (S,), neutral_vertices (V, 3) metres.
        usable: (T,) bool, whether the face was reconstructed.
        counted: (T,) bool, the frames that count.
        au_labels: (T, N) int8, -1 unknown. au_intensity: (T, N) float32, -1 unknown.
        crops: reads pictures where the network reads video, else None.
        features: in place of `crops` where the network's video branch is frozen, else None.
        views: what L_img and L_lmk compare with, where a weight asks for it, else None.
    """

    name: str
    subject: str
    clips: list[Clip]
    timestamps: np.ndarray
    times_from: str
    expression: Tensor
    pose: Tensor | None
    shape: Tensor
    neutral_vertices: Tensor
    usable: Tensor
    counted: Tensor
    au_labels: Tensor
    au_intensity: Tensor
    crops: SequenceCrops | None = None
    features: SequenceFeatures | None = None
    views: SequenceViews | None = None

    @property
    def coefficients(self) -> Tensor:
        """(frames, E + P) of the usable frames: expression, and the pose where there is one."""
        parts = [self.expression] if self.pose is None else [self.expression, self.pose]
        return torch.cat(parts, -1)[self.usable]

    def clip(
        self, rows: np.ndarray, scored: np.ndarray | None = None, place: tuple[int, int] = (0, 0)
    ) -> dict[str, Tensor]:
        """A clip as `collate_clips` and the makers of meshes take it.

        Args:
            rows: (L,) of the T frames, -1 where there is none.
            scored: (L,) bool, passed through; None for a clip to train on, which has what the losses compare with.
            place: which of `clips` the rows are of, and with which of its entries they begin.

        Returns:
            `expression` (L, E), and `pose` (L, P) and `shape` (S,) where the model has joints, else `rest_vertices`
            (V, 3); `neutral_vertices` (V, 3); `frame_mask` (L,) bool; `au_labels` (L, N) int64 and
            `au_intensity_labels` (L, N), -1 where unknown; `crops` (L, 3, S, S) uint8 where the network reads video, or
            `video_features` (L, F); and what `views` gives.
        """
        at = torch.from_numpy(rows)
        there, at = at >= 0, at.clamp_min(0)
        mask = there & self.usable[at]
        clip = {
            "expression": self.expression[at].where(mask[:, None], 0.0),
            "neutral_vertices": self.neutral_vertices,
            "frame_mask": mask,
            "au_labels": self.au_labels[at].long().where(there[:, None], UNKNOWN),
            "au_intensity_labels": self.au_intensity[at].where(there[:, None], float(UNKNOWN)),
        }
        if self.pose is None:
            clip["rest_vertices"] = self.neutral_vertices
        else:
            clip |= {"shape": self.shape, "pose": self.pose[at].where(mask[:, None], 0.0)}
        read = read_picture
        if self.crops is not None and self.views is not None and scored is None:
            read = cache(read_picture)  # both look at the same pictures
        if self.crops is not None:
            clip["crops"] = self.crops(at, mask, read)
        if self.features is not None:
            clip["video_features"] = self.features(*place, len(rows))
        if self.views is not None and scored is None:
            clip |= self.views(at, mask, clip, read)
        if scored is not None:
            clip["scored"] = torch.from_numpy(scored)
        return clip


def read_coefficient_sequences(
    sequences: Iterable[LabelledSequence], face_model: FaceModel, frame_rate: float, crop_size: int | None = None
) -> tuple[list[CoefficientSequence], str]:
    """Reads the coefficients of sequences that were joined with prepared faces.

    Args:
        face_model: that was prepared with.
        frame_rate: of the network, entries a second of clips.
        crop_size: pixels a side of face crops, for a network that reads video.

    Returns:
        The sequences, and the name of the reconstructor that prepared them all.

    Raises:
        InputError: a file is missing or damaged, was made with another face model or another reconstructor than the
            others, nobody's face was reconstructed, or times are no good for clips.
    """
    read = []
    for one in sequences:
        if one.prepared is None:
            raise InputError(f"{one.files.name} was not joined with coarse faces; give the folder of prepared faces")
        found = read_prepared_coefficients(one.prepared, face_model)
        read.append((one, found, _phases(one, frame_rate)))
    named = [(Path(str(one.prepared)), found) for one, found, _ in read]
    first = next(((path, found) for path, found in named if found.expression is not None), None)
    if first is None:
        raise InputError(f"no face was reconstructed in any of the {len(read)} prepared files; prepare the data again")
    for path, found in named:
        _check_alike(*first, path, found)
    aligned = [_aligned(*one, first[1], face_model) for one in read]
    if crop_size is not None:
        for sequence, (one, _, _) in zip(aligned, read, strict=True):
            sequence.crops = SequenceCrops(one, face_model, crop_size)
    return aligned, first[1].coarse


def counts(sequences: Sequence[CoefficientSequence]) -> dict[str, int]:
    """How many people, sequences and frames that count, and how many of those have no reconstructed face."""
    return {
        "subjects": len({one.subject for one in sequences}),
        "sequences": len(sequences),
        "frames": sum(int(one.counted.sum()) for one in sequences),
        "frames_without_face": sum(int((one.counted & ~one.usable).sum()) for one in sequences),
    }


def expression_basis(face_model: FaceModel, coarse: str, sequences: Sequence[CoefficientSequence]) -> Tensor:
    """(E, V, 3) metres: what the expression coefficients of linear sequences move.

    Raises:
        InputError: the face model has fewer modes.
    """
    count, basis = sequences[0].expression.shape[1], fitted_face_model(face_model, coarse).expression_basis
    if count > len(basis):
        raise InputError(
            f"the prepared faces have {count} expression coefficients, but {face_model.name} has {len(basis)} modes; "
            "prepare the data with this face model"
        )
    return basis[:count]


def _phases(one: LabelledSequence, frame_rate: float) -> list[Clip]:
    try:
        return clips_of(one.labels.frames, one.timestamps, None, frame_rate)
    except ValueError as error:
        raise InputError(f"{one.files.name} cannot be cut into clips: {error}") from error


def _check_alike(first: Path, known: PreparedCoefficients, path: Path, found: PreparedCoefficients) -> None:
    def kind(one: PreparedCoefficients) -> list:
        values = (one.shape, one.expression, one.pose)
        return [None if value is None else value.shape[-1] for value in values]

    if found.coarse != known.coarse or (found.expression is not None and kind(found) != kind(known)):
        raise InputError(
            f"{first} and {path} were prepared in different ways ({known.coarse} and {found.coarse}, {kind(known)} and "
            f"{kind(found)} coefficients of shape, expression and pose); prepare the whole data set in one way"
        )


def _aligned(
    one: LabelledSequence,
    found: PreparedCoefficients,
    clips: list[Clip],
    other: PreparedCoefficients,
    face_model: FaceModel,
) -> CoefficientSequence:
    """Coefficients by labelled frame, of which each is usable only if it has a row with a face."""
    usable, at = torch.from_numpy(one.usable), torch.from_numpy(one.prepared_rows).clamp_min(0)

    def by_frame(values: Tensor | None, width: int) -> Tensor:
        if values is None:
            return torch.zeros(len(at), width)
        return values[at].where(usable[:, None], 0.0)

    assert other.shape is not None
    assert other.expression is not None
    return CoefficientSequence(
        name=one.files.name,
        subject=one.files.subject,
        clips=clips,
        timestamps=one.timestamps,
        times_from=one.times_from,
        expression=by_frame(found.expression, other.expression.shape[1]),
        pose=None if other.pose is None else by_frame(found.pose, other.pose.shape[1]),
        shape=torch.zeros_like(other.shape) if found.shape is None else found.shape,
        neutral_vertices=face_model.template.cpu() if found.neutral_vertices is None else found.neutral_vertices,
        usable=usable,
        counted=torch.from_numpy(one.counted),
        au_labels=torch.from_numpy(one.labels.au_labels),
        au_intensity=torch.from_numpy(one.labels.au_intensity),
    )


class TrainingRuns(Dataset[dict[str, Tensor]]):
    """Clips of L frames to train on, the same for the same seed, epoch and index.

    Every epoch takes one phase of every run, and divides it from a random frame on into as many whole clips as fit; a
    run that is shorter than a clip is one, padded. Runs without a face or a frame that counts are left out.

    Args:
        sequences: of training people. clip_length: L. seed: of phases and starts.
    """

    def __init__(self, sequences: Sequence[CoefficientSequence], clip_length: int, seed: int = 0) -> None:
        self.clip_length, self.seed = clip_length, seed
        self.runs: list[tuple[CoefficientSequence, list[int]]] = []  # a sequence, and numbers of its clips
        self.places: list[tuple[int, int]] = []  # run and clip in it
        for one in sequences:
            for run in sorted({clip.run for clip in one.clips}):
                phases = [number for number, clip in enumerate(one.clips) if clip.run == run]
                frames = np.unique(np.concatenate([one.clips[number].rows for number in phases]))
                frames = frames[frames >= 0]
                if not (one.usable[frames] & one.counted[frames]).any():
                    continue
                shortest = min(len(one.clips[number].rows) for number in phases)  # phases differ by an entry
                self.places += [(len(self.runs), number) for number in range(max(1, shortest // clip_length))]
                self.runs.append((one, phases))
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        """Draws phases and starts; the same ones in every process."""
        self.drawn: list[tuple[int, int]] = []  # the number of a clip of the sequence, and the first entry
        for number, (one, phases) in enumerate(self.runs):
            run, lengths = one.clips[phases[0]].run, [len(one.clips[phase].rows) for phase in phases]
            drawn = drawn_phase(one.name, run, len(phases), epoch, self.seed)
            spare = lengths[drawn] - min(lengths) // self.clip_length * self.clip_length
            begins = spare < lengths[drawn]
            start = np.random.default_rng([self.seed, epoch, number]).integers(spare + 1) if begins else 0
            self.drawn.append((phases[drawn], int(start)))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """As of `CoefficientSequence.clip`."""
        run, number = self.places[index]
        one, (drawn, start) = self.runs[run][0], self.drawn[run]
        start += number * self.clip_length
        rows = one.clips[drawn].rows[start : start + self.clip_length]
        padding = np.full(self.clip_length - len(rows), -1, np.int64)
        return one.clip(np.concatenate([rows, padding]), place=(drawn, start))


class ScoredPiece(NamedTuple):
    """What is decoded at once: L entries of one phase of one run.

    Attributes:
        sequence: whose. rows: (L,) of its frames, -1 where there is none.
        scored: (L,) bool, entries that are scored here and in no other piece.
        shown: (L,) bool, entries of frames that count, in the other phases too; without those that only warm up.
        clip: number of the phase among the sequence's `clips`. start: of the piece in it.
    """

    sequence: CoefficientSequence
    rows: np.ndarray
    scored: np.ndarray
    shown: np.ndarray
    clip: int
    start: int


class ScoredRuns(Dataset[dict[str, Tensor]]):
    """Whole runs to be decoded, every phase of each: together they score every frame that counts exactly once.

    A run of more than MOST_ENTRIES (MOST_CROPS with video) is cut into pieces. Each begins `warm_up` entries early,
    which are decoded but not scored, so that it is as warm as after what came before. The longest come first, so that
    batches hold alike lengths.

    Args:
        sequences: to score on. warm_up: entries, some windows of the network.
    """

    def __init__(self, sequences: Sequence[CoefficientSequence], warm_up: int) -> None:
        self.pieces: list[ScoredPiece] = []
        for one in sequences:
            counted, most = one.counted.numpy(), MOST_ENTRIES if one.crops is None else MOST_CROPS
            for number, clip in enumerate(one.clips):
                shown = (clip.rows >= 0) & counted[clip.rows]
                scored = clip.scored & shown
                for start in range(0, len(clip.rows), most):
                    at = slice(max(0, start - warm_up), start + most)
                    warm = np.arange(at.start, at.start + len(clip.rows[at])) >= start
                    if (scored[at] & warm).any():
                        piece = (clip.rows[at], scored[at] & warm, shown[at] & warm)
                        self.pieces.append(ScoredPiece(one, *piece, number, at.start))
        self.pieces.sort(key=lambda piece: -len(piece.rows))

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """As of `CoefficientSequence.clip`, with `scored` (T,)."""
        piece = self.pieces[index]
        return piece.sequence.clip(piece.rows, piece.scored, (piece.clip, piece.start))
