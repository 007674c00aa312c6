"""One method's meshes of one sequence, aligned to the true surfaces and measured: the one way of tables and figures.

Which vertices are the face says the topology (`FacePart`), once for all frames; from it ICP has its start, and
`tables.sequence_distances` aligns and measures. Table 1 pools what comes of it, and the figure of errors draws it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry import ICPSettings, Similarity, TriangleSurface, icp
from .face_parts import FacePart, named_mask
from .methods import Method, MethodMeshes
from .tables import SequenceDistances, sequence_distances
from .truths import TrueSurfaces, Truth


@dataclass(frozen=True)
class Measuring:
    """How meshes are aligned and measured.

    Attributes:
        align: "rigid", "scale", or "none": the meshes are measured where they are.
        align_regions: the regions that are aligned; None for all that is measured.
        measure: "face", the vertices of all regions, or "all" of the mesh.
        region_wise: whether each region is aligned and measured by itself too.
        max_iterations: of ICP.
        skip_missing: leaves frames out that a method lacks; else they are an error.
        multirex: folder of MultiREX's assets, for its protocol beside; or None.
    """

    align: str = "rigid"
    align_regions: tuple[str, ...] | None = None
    measure: str = "face"
    region_wise: bool = False
    max_iterations: int = 100
    skip_missing: bool = False
    multirex: Path | None = None

    @property
    def icp(self) -> ICPSettings:
        return ICPSettings(with_scale=self.align == "scale", max_iterations=self.max_iterations)

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        icp = None if self.align == "none" else {"kind": "vertex to surface, Huber"} | asdict(self.icp)
        return asdict(self) | {"multirex": None if self.multirex is None else str(self.multirex), "icp": icp}


@dataclass(frozen=True)
class AlignedMeshes:
    """One method in T frames of one sequence.

    Attributes:
        frames: T numbers, increasing.
        vertices: (T, V, 3) metres, the whole meshes as they lay. part: their face.
        rows: (n,) the vertices that are measured, increasing.
        true: the surfaces of these frames.
        distances: (T, n) of the rows, and how they were aligned.
    """

    frames: list[int]
    vertices: np.ndarray
    part: FacePart
    rows: np.ndarray
    true: TrueSurfaces
    distances: SequenceDistances

    def placed(self, row: int) -> np.ndarray:
        """(V, 3) metres: the whole mesh of the frame in this row, where it was measured."""
        if not self.distances.transforms:
            return self.vertices[row]
        return self.distances.transforms[row](self.vertices[row].astype(np.float64))


def align(truth: Truth, method: Method, meshes: MethodMeshes, measuring: Measuring) -> AlignedMeshes:
    """Aligns and measures the meshes of all frames of the truth.

    Args:
        meshes: what the method says of them, and perhaps of others.

    Raises:
        InputError: frames that differ, a true mesh that is missing or damaged, no face, or regions that do not fit.
        UsageError: a region to align that the method's meshes do not have.
    """
    name = f"{truth.name}, {method.name}"
    frames = _frames(truth, meshes, measuring.skip_missing, name)
    meshes = meshes.at(frames)
    true = truth.load(frames)
    part = method.part(meshes, measuring.measure == "face")
    count = meshes.vertices.shape[1]
    rows = part.rows(count) if measuring.measure == "face" else np.arange(count)
    mask = named_mask(part.regions, measuring.align_regions, count, method.name)[rows]
    vertices = meshes.vertices[:, rows]
    align = measuring.align != "none"
    start = _start(truth, frames[0], part, vertices, true, measuring) if align else None
    region = None if mask.all() else mask
    found = sequence_distances(vertices, true.vertices, true.faces, measuring.icp, region, start, align, name)
    return AlignedMeshes(frames, meshes.vertices, part, rows, true, found)


def _frames(truth: Truth, meshes: MethodMeshes, skip: bool, name: str) -> list[int]:
    """The wanted frames that have a mesh."""
    there = set(meshes.frames.tolist())
    frames = [number for number in truth.frames if number in there]
    lacking = [number for number in truth.frames if number not in there and number not in meshes.unseen]
    if lacking and not skip:
        raise InputError(
            f"{name}: {len(lacking)} of {len(truth.frames)} frames of the truth have no mesh (the first is "
            f"{lacking[0]}); give the same frames, or --missing skip to measure those that all methods have"
        )
    if not frames:
        raise InputError(f"{name}: no frame of the truth has a mesh, so there is nothing to measure")
    return frames


def _start(
    truth: Truth, frame: int, part: FacePart, vertices: np.ndarray, true: TrueSurfaces, measuring: Measuring
) -> Similarity:
    """Where ICP starts: by the two faces where both are known, else as the meshes lie or by their axes."""
    if part.to_head is not None:
        return truth.to_head(frame).inverse().after(part.to_head)
    surface = TriangleSurface(true.vertices[0], true.faces)
    settings = measuring.icp
    try:
        options = [Similarity(), Similarity.of_axes(vertices[0], surface, settings.with_scale, settings.huber)]
        return min(options, key=lambda start: icp(vertices[0], surface, None, start, settings).residual)
    except ValueError as error:
        raise InputError(f"{truth.name}: {error}") from error
