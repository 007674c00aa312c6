"""A pool of fitted synthetic sequences, and the training clips cut from it.

Fitting a sequence costs more than a training step, so a pool is made once, in parallel, and kept as coefficients (some
20 kB a sequence); clips are coefficients too, of which `SequencePool.meshes` makes vertices on the device. Like
everything here, the same seed gives the same pool.
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from ... import facs
from ...coarse import CoarseReconstructor
from ...errors import InputError
from ...geometry import similarity_alignment
from ..clip_meshes import ClipMeshes
from .sequences import TrackedSequence
from .tracker_response import load_tracker_response
from .trajectories import PRESENCE_THRESHOLD


class PoolBeside(Protocol):
    """More about the sequences of a pool."""

    def clip(self, index: int, frames: slice) -> dict[str, Tensor]: ...


class SequenceSource(Protocol):
    """Sequences by index: `SequenceSampler` (fast) or `StoredSequences` (rendered and tracked).

    Attributes:
        provenance: what they are made from; anything that JSON can hold.
    """

    provenance: dict

    def __call__(self, index: int) -> TrackedSequence: ...


@dataclass
class SequencePool:
    """n fitted sequences of T frames each.

    vertices = neutral + expression · expression_basis, the coarse meshes S_j. The true mesh is what the tracker says of
    the person at rest plus the true displacement, in the head frame of the fit: one similarity a sequence (`alignment`,
    scale times rotation) takes it there, for neither the scale of a single view nor the frame of the template is to be
    learned. What the reconstructor adds to what the tracker says at rest, the same for all frames, is added to the true
    mesh as well: it is not to be learned again.

    Attributes:
        neutral: (n, V, 3) metres, S̄, as the coarse reconstructor estimated it from the sequence.
        expression: (n, T, E).
        valid: (n, T) bool.
        intensity: (n, T, 19, 2) float16 of facs.ALL, left and right.
        true_neutral: (n, V, 3), aligned to S̄, with the same correction as S̄.
        alignment: (n, 3, 3).
        weights: (n, T, 57) float16 of ICT-FaceKit's expression shapes.
        expression_basis: (E, V, 3), of the face model.
        geometry: (57, V, 3) true displacement at weight 1 of each shape.
        frame_rate: samples a second.
        provenance: what it was made from, a part for each source, for the checkpoint's record.
    """

    neutral: Tensor
    expression: Tensor
    valid: Tensor
    intensity: Tensor
    true_neutral: Tensor
    alignment: Tensor
    weights: Tensor
    expression_basis: Tensor
    geometry: Tensor
    frame_rate: float
    provenance: list[dict]

    _PER_SEQUENCE = ("neutral", "expression", "valid", "intensity", "weights", "true_neutral", "alignment")

    def __len__(self) -> int:
        return len(self.neutral)

    @property
    def num_frames(self) -> int:
        return self.expression.shape[1]

    def vertices(self, index: int, frames: slice = slice(None)) -> Tensor:
        """(T, V, 3) coarse meshes."""
        return self.neutral[index] + torch.tensordot(self.expression[index, frames], self.expression_basis, dims=1)

    def true_vertices(self, index: int, frames: slice = slice(None)) -> Tensor:
        """(T, V, 3) true meshes in the head frame of the coarse ones."""
        displacement = torch.tensordot(self.weights[index, frames].float(), self.geometry, dims=1)
        return self.true_neutral[index] + displacement @ self.alignment[index].mT

    @property
    def meshes(self) -> ClipMeshes:
        """Makes the meshes of a batch of `SyntheticClips`."""
        return ClipMeshes(self.expression_basis, self.geometry)

    def head(self, count: int) -> "SequencePool":
        """The first `count` sequences."""
        return replace(self, **{name: getattr(self, name)[:count] for name in self._PER_SEQUENCE})

    @classmethod
    def cat(cls, pools: Sequence["SequencePool"]) -> "SequencePool":
        """One after the other.

        Raises:
            InputError: they differ in length of sequences, rate or face model.
        """
        first = pools[0]
        for other in pools[1:]:
            if (other.num_frames, other.frame_rate) != (first.num_frames, first.frame_rate):
                raise InputError(
                    f"sequences of {other.num_frames} frames at {other.frame_rate:g} a second cannot be joined with "
                    f"those of {first.num_frames} at {first.frame_rate:g}; make both alike"
                )
            if not all(torch.equal(getattr(other, n), getattr(first, n)) for n in ("expression_basis", "geometry")):
                raise InputError("sequences fitted with another face model cannot be joined; fit both anew")
        parts = {n: torch.cat([getattr(p, n) for p in pools]) for n in cls._PER_SEQUENCE}
        return replace(first, **parts, provenance=[part for pool in pools for part in pool.provenance])

    def positive_rates(self, action_units: Sequence[int]) -> list[float]:
        """Share of valid frames in which each AU is present."""
        present = self.intensity.amax(-1) >= PRESENCE_THRESHOLD
        rates = present[self.valid].float().mean(0)
        return [float(rates[facs.ALL.index(au)]) for au in action_units]

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        path = Path(path)
        tensors = {name: value.contiguous() for name, value in vars(self).items() if isinstance(value, Tensor)}
        metadata = {"frame_rate": json.dumps(self.frame_rate), "provenance": json.dumps(self.provenance)}
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            save_file(tensors, temporary, metadata)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "SequencePool":
        """Reads a pool.

        Raises:
            InputError: the file is missing, damaged or not a pool.
        """
        try:
            with safe_open(path, "pt") as archive:
                metadata = {name: json.loads(text) for name, text in (archive.metadata() or {}).items()}
                return cls(**{name: archive.get_tensor(name) for name in archive.keys()}, **metadata)  # noqa: SIM118
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is not a pool of synthetic sequences ({error}); delete it to make it anew"
            ) from error


def build_pool(
    source: SequenceSource,
    reconstructor: CoarseReconstructor,
    count: int,
    workers: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> SequencePool:
    """Takes and fits the first `count` sequences of a source.

    Args:
        workers: processes; 1 works in this one. The result does not depend on it.
        progress: called with 1 for every sequence done.
    """
    basis = reconstructor.face_model.expression_basis.float().cpu()
    if workers <= 1:
        rows = []
        for index in range(count):
            rows.append(_fit(source, reconstructor, basis, index))
            progress(1)
    else:
        rows = []
        with ProcessPoolExecutor(
            workers, get_context("spawn"), _start_worker, (source, reconstructor, basis)
        ) as executor:
            for row in executor.map(_fit_in_worker, range(count), chunksize=8):
                rows.append({name: torch.from_numpy(value) for name, value in row.items()})
                progress(1)
    return SequencePool(
        **{name: torch.stack([row[name] for row in rows]) for name in rows[0]},
        expression_basis=basis,
        geometry=load_tracker_response().true_expression,
        frame_rate=float(1 / np.diff(source(0).times).mean()),
        provenance=[
            {
                **source.provenance,
                "sequences": count,
                "coarse": reconstructor.name,
                "face_model": reconstructor.face_model.name,
            }
        ],
    )


def _fit(source: SequenceSource, reconstructor: CoarseReconstructor, basis: Tensor, index: int) -> dict[str, Tensor]:
    sequence = source(index)
    if not sequence.face.valid.any():
        return _unseen(sequence, reconstructor.face_model.template.float().cpu(), len(basis))
    coarse = reconstructor(sequence.face)
    neutral = coarse.neutral_vertices.float()
    correction = torch.zeros_like(neutral) if coarse.rest_correction is None else coarse.rest_correction.float()
    true_neutral = torch.from_numpy(sequence.neutral)
    rotation, scale, translation = similarity_alignment(true_neutral, neutral - correction)
    alignment = scale * rotation
    return {
        "neutral": neutral,
        "expression": coarse.expression.float(),
        "valid": coarse.valid.bool(),
        "intensity": torch.from_numpy(sequence.intensity).half(),
        "true_neutral": true_neutral @ alignment.mT + translation + correction,
        "alignment": alignment,
        "weights": torch.from_numpy(sequence.weights).half(),
    }


def _unseen(sequence: TrackedSequence, template: Tensor, num_coefficients: int) -> dict[str, Tensor]:
    """The row of a person whom the tracker never found: no frame of it counts."""
    frames = len(sequence.times)
    return {
        "neutral": template,
        "expression": torch.zeros(frames, num_coefficients),
        "valid": torch.zeros(frames, dtype=torch.bool),
        "intensity": torch.from_numpy(sequence.intensity).half(),
        "true_neutral": template,
        "alignment": torch.eye(3),
        "weights": torch.from_numpy(sequence.weights).half(),
    }


_worker: tuple = ()


def _start_worker(*arguments) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = arguments


def _fit_in_worker(index: int) -> dict[str, np.ndarray]:
    # numpy travels between processes as bytes; tensors would need shared memory, which containers keep small.
    return {name: value.numpy() for name, value in _fit(*_worker, index).items()}


class SyntheticClips(Dataset):
    """Training clips cut from a pool: a map-style dataset, the same for the same seed, epoch and index.

    Every sequence gives one clip an epoch, at a random phase. Now and then S̄ is made worse than the fitting left it, by
    a part of an expression of the same person, because real people relax less than synthetic ones. `mixing`, `noise`
    and `offset` bend what the coarse fit says of the face, not the truth: real faces answer in ways that no source of
    responses has, so nothing finer than what survives this may be relied upon.

    Args:
        clip_length: frames; longer than the network's window, so that the state in the middle of a long video is
            trained and not only the begin token. None gives whole sequences from their start, with S̄ as it was fitted.
        neutral_error: probability of a worse S̄.
        mixing: largest size of a random linear map of the expression coefficients, drawn for every clip and added.
        noise, offset: mean standard deviation of what is added to the coefficients, drawn for every frame and for every
            clip, in units of the face model's coefficients.
        taught: marks the clips for a teacher of their AU targets.
        beside: pools about the same sequences (`PicturePool`, `CropPool`, `FeaturePool`), whose tensors are then in the
            clips too.
    """

    def __init__(
        self,
        pool: SequencePool,
        action_units: Sequence[int] = facs.ALL,
        clip_length: int | None = None,
        neutral_error: float = 0.0,
        mixing: float = 0.0,
        noise: float = 0.0,
        offset: float = 0.0,
        seed: int = 0,
        taught: bool = False,
        beside: Sequence[PoolBeside] = (),
    ) -> None:
        self.pool, self.clip_length, self.neutral_error, self.seed = pool, clip_length, neutral_error, seed
        self.mixing, self.noise, self.offset = mixing, noise, offset
        self.columns = [facs.ALL.index(au) for au in action_units]
        self.taught, self.beside, self.epoch = taught, beside, 0

    def begin_epoch(self, epoch: int) -> None:
        """Draws other phases; called before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """expression (T, E), rest_vertices (V, 3), weights (T, 57), true_neutral (V, 3) and alignment (3, 3), which
        `SequencePool.meshes` takes; neutral_vertices (V, 3), au_labels (T, N) int64 in {0, 1}, au_intensity_labels
        (T, N) in 0-5, frame_mask (T,) bool, taught () bool; what the pools beside add."""
        pool, rng = self.pool, np.random.default_rng([self.seed, self.epoch, index])
        frames = slice(0, pool.num_frames)
        neutral = pool.neutral[index]
        if self.clip_length is not None and self.clip_length < pool.num_frames:
            start = int(rng.integers(pool.num_frames - self.clip_length + 1))
            frames = slice(start, start + self.clip_length)
        if rng.random() < self.neutral_error:
            other = pool.expression[index, int(rng.integers(pool.num_frames))]
            share = float(rng.uniform(-0.2, 0.5))
            neutral = neutral + share * torch.tensordot(other, pool.expression_basis, dims=1)
        intensity = pool.intensity[index, frames][:, self.columns].float().amax(-1)
        expression = self._bent(rng, pool.expression[index, frames])
        clip = {
            "expression": expression,
            "rest_vertices": pool.neutral[index],
            "neutral_vertices": neutral,
            "weights": pool.weights[index, frames].float(),
            "true_neutral": pool.true_neutral[index],
            "alignment": pool.alignment[index],
            "au_labels": (intensity >= PRESENCE_THRESHOLD).long(),
            "au_intensity_labels": intensity,
            "frame_mask": pool.valid[index, frames],
            "taught": torch.tensor(self.taught),
        }
        for pool_beside in self.beside:
            clip |= pool_beside.clip(index, frames)
        return clip

    def _bent(self, rng: np.random.Generator, expression: Tensor) -> Tensor:
        """(T, E) coefficients as a stranger's face might have given them."""
        frames, count = expression.shape

        def draw(*shape: int) -> Tensor:
            return torch.from_numpy(rng.standard_normal(shape, np.float32))

        if self.mixing:
            expression = expression + self.mixing * rng.random() / count**0.5 * (expression @ draw(count, count))
        if self.noise:
            expression = expression + 2 * self.noise * rng.random() * draw(frames, count)
        if self.offset:
            expression = expression + 2 * self.offset * rng.random() * draw(1, count)
        return expression
