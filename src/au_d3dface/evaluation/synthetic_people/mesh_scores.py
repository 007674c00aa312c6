"""Errors of coarse and refined meshes against the truth, millimetres: one sequence's, and the means over many.

Everything is measured at the network's samples that show the person, and means are over samples, every one alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...data.synthetic.sequences import TrackedSequence
from ...metrics import (
    REGIONS,
    displacement_distance,
    jitter,
    lag,
    region_means,
    vertex_distance,
    vertex_to_surface,
)
from ..reports import number
from .calibration import Decoded
from .true_meshes import KitTruth, TrackedRestTruth, TrueMeshes

ERRORS = {
    "whole": "whole face, tracked rest",
    "displacement": "displacement, tracked rest",
    "kit_whole": "whole face, kit's points",
    "kit_displacement": "displacement, kit's points",
    "kit_surface": "vertex to kit's surface",
}
"""Names of the errors, and what tables call them; those that begin with kit need ICT-FaceKit. See `true_meshes`."""

STILL_VELOCITY = STILL_ACCELERATION = 0.05
"""Millimetres a sample, and a sample squared, up to which the true motion counts as none: means over the vertices of
the size of the central and of the second difference of the true displacement."""

MAX_LAG = 5
"""Samples. The lag is measured over the longest stretch of a sequence without a gap."""


@dataclass(frozen=True)
class MeshMean:
    """A mean and what it is over: `values` (2 meshes coarse and refined, ...) millimetres, `count` samples."""

    values: np.ndarray
    count: int

    @classmethod
    def over(cls, parts: Iterable["MeshMean"]) -> "MeshMean":
        """The mean over all samples; NaN where there are none."""
        parts = [part for part in parts if part.count]
        count = sum(part.count for part in parts)
        if not count:
            return cls(np.full(2, np.nan), 0)
        return cls(np.sum([part.count * part.values for part in parts], 0) / count, count)


@dataclass(frozen=True)
class MeshScores:
    """One sequence, or several.

    Attributes:
        errors: by name of `ERRORS`, as far as known, values (2, 8): by region, and all last.
        regions: the 8 names.
        jitter: values (2,), mean acceleration at the samples where the true motion is near zero.
        lags: (S, 2) samples by which coarse and refined displacement come after the true one, a row a sequence; NaN
            where the face does not move, or is not seen for long enough.
        sizes: (S,) of `TrueMeshes.size`.
    """

    errors: dict[str, MeshMean]
    regions: tuple[str, ...]
    jitter: MeshMean
    lags: np.ndarray
    sizes: np.ndarray

    @classmethod
    def over(cls, parts: list["MeshScores"]) -> "MeshScores":
        return cls(
            {name: MeshMean.over(part.errors[name] for part in parts) for name in ERRORS if name in parts[0].errors},
            parts[0].regions,
            MeshMean.over(part.jitter for part in parts),
            np.concatenate([part.lags for part in parts]),
            np.concatenate([part.sizes for part in parts]),
        )

    @property
    def known_lags(self) -> np.ndarray:
        """(S', 2), of the sequences in which both are known."""
        return self.lags[~np.isnan(self.lags).any(1)]

    @property
    def size_error(self) -> float:
        """Mean share by which the estimated face at rest is too large or too small."""
        return float(np.abs(self.sizes - 1).mean())

    def numbers(self) -> dict:
        """Everything, for JSON."""
        lags = self.known_lags
        return {
            "size_error": number(self.size_error),
            "errors_mm": {
                name: {"samples": error.count}
                | {region: _pair(error.values[:, k]) for k, region in enumerate(self.regions)}
                for name, error in self.errors.items()
                if error.count
            },
            "jitter_mm": {"samples": self.jitter.count} | _pair(self.jitter.values),
            "lag_samples": {
                "sequences": len(lags),
                **{
                    name: {
                        "mean": number(column.mean() if len(column) else np.nan),
                        "within_one": number((np.abs(column) <= 1).mean() if len(column) else np.nan),
                        "largest": number(np.abs(column).max() if len(column) else np.nan),
                    }
                    for name, column in zip(("coarse", "refined"), lags.T, strict=True)
                },
            },
        }


def mesh_scores(
    sequence: TrackedSequence,
    decoded: Decoded,
    tracked_rest: TrackedRestTruth,
    kit: KitTruth | None,
    surface_every: int,
) -> MeshScores:
    """The scores of one sequence.

    Args:
        kit: None where there is none: the errors that need it are then left out.
        surface_every: the distance to the surface is measured at every so-manieth sample that shows the person.
    """
    valid = torch.from_numpy(decoded.valid)
    frames = np.maximum(decoded.frames, 0)
    truth = tracked_rest(sequence, decoded.neutral, decoded.rest_correction)
    errors = _errors("", decoded, truth, valid, frames)
    if kit is not None:
        errors |= _errors("kit_", decoded, kit(sequence, decoded.neutral), valid, frames)
        some = torch.nonzero(valid)[::surface_every, 0]
        surface = kit.surface(sequence, decoded.neutral, frames[some.numpy()])
        both = torch.cat([decoded.coarse[some], decoded.vertices[some]], 1)  # in one go: the search tree is made once
        coarse, refined = vertex_to_surface(both, surface, kit.kit.faces).chunk(2, 1)
        errors["kit_surface"] = _region_mean(coarse, refined)
    displacement = truth.displacement[frames]
    return MeshScores(
        errors,
        (*REGIONS, "all"),
        _jitter(decoded, displacement, valid),
        np.array([_lags(decoded, displacement, decoded.valid)]),
        np.array([truth.size]),
    )


def _errors(prefix: str, decoded: Decoded, truth: TrueMeshes, valid: Tensor, frames: np.ndarray) -> dict[str, MeshMean]:
    true_vertices = (truth.rest + truth.displacement[frames])[valid]
    meshes = [decoded.coarse[valid], decoded.vertices[valid]]
    return {
        f"{prefix}whole": _region_mean(*(vertex_distance(mesh, true_vertices) for mesh in meshes)),
        f"{prefix}displacement": _region_mean(
            *(displacement_distance(mesh, decoded.neutral, true_vertices, truth.rest) for mesh in meshes)
        ),
    }


def _region_mean(coarse: Tensor, refined: Tensor) -> MeshMean:
    """Of (M, 468) distances."""
    means = [[float(values.mean()) for values in region_means(distance).values()] for distance in (coarse, refined)]
    return MeshMean(np.array(means), len(coarse))


def _jitter(decoded: Decoded, displacement: Tensor, valid: Tensor) -> MeshMean:
    """`displacement` (K, 468, 3) true, at the samples."""
    if len(valid) < 3:
        return MeshMean(np.full(2, np.nan), 0)
    velocity = vertex_distance(displacement[2:], displacement[:-2]).mean(-1) / 2
    acceleration = vertex_distance(displacement[2:] + displacement[:-2], 2 * displacement[1:-1]).mean(-1)
    still = (velocity <= STILL_VELOCITY) & (acceleration <= STILL_ACCELERATION)
    still &= valid[2:] & valid[1:-1] & valid[:-2]
    values = [float(jitter(vertices, still)) for vertices in (decoded.coarse, decoded.vertices)]
    return MeshMean(np.array(values), int(still.sum()))


def _lags(decoded: Decoded, displacement: Tensor, valid: np.ndarray) -> tuple[float, float]:
    stretch = longest_stretch(valid)
    if stretch.stop - stretch.start < MAX_LAG + 3:
        return float("nan"), float("nan")
    true = displacement[stretch]
    coarse, refined = (mesh[stretch] - decoded.neutral for mesh in (decoded.coarse, decoded.vertices))
    return lag(coarse, true, MAX_LAG), lag(refined, true, MAX_LAG)


def longest_stretch(holds: np.ndarray) -> slice:
    """The longest run of true in (T,) bool, the first of equals; empty where nothing holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return slice(0, 0)
    longest = int((ends - starts).argmax())
    return slice(int(starts[longest]), int(ends[longest]))


def refined_share(values: np.ndarray) -> np.ndarray:
    """Refined as a share of coarse, of (2, ...) values; NaN where coarse is 0."""
    return np.divide(values[1], values[0], out=np.full_like(values[1], np.nan), where=values[0] != 0)


def _pair(values: np.ndarray) -> dict[str, float | None]:
    """Coarse, refined, and refined as a share of coarse, of (2,) values."""
    coarse, refined = map(float, values)
    return {"coarse": number(coarse), "refined": number(refined), "ratio": number(float(refined_share(values)))}
