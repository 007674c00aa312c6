"""Which vertices of a mesh are the face, in which regions, and how it is turned: what Table 1 aligns and measures.

A face model says it by its landmarks; a mesh of another program by its shape, on which the bundled face is laid
(`data.multiface.head_frame`); or the user by files of regions:

    regions.json   {"mouth": [3, 17, ...], "nose": [...]}      vertices, counted from 0
    regions.npz    an array a region: integers, vertices; or bool (V,), a mask
    mouth.npy      one region, named by the file; mouth.txt: numbers separated by blanks or lines
    regions/       a folder of .npy and .txt files, a region each
"""

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...data.multiface.head_frame import face_regions, find_head_frame
from ...errors import CheckpointError, InputError, UsageError
from ...face_models import FaceMesh, FaceModel
from ...geometry import Similarity
from ...metrics import REGIONS, facemesh_regions
from .frame_meshes import mesh_frames, read_mesh_folder

_SUFFIXES = (".json", ".npz", ".npy", ".txt")
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class FacePart:
    """Of one topology of V vertices.

    Attributes:
        regions: name to (n,) int64 vertices, increasing; none where nothing is known.
        to_head: from the mesh's own frame to the head frame, rigid: about right, for ICP to start from; None where
            that is not known.
    """

    regions: dict[str, np.ndarray] = field(default_factory=dict)
    to_head: Similarity | None = None

    def rows(self, count: int) -> np.ndarray:
        """(n,) the vertices of all regions, increasing; all `count` where there are no regions."""
        return np.unique(np.concatenate(list(self.regions.values()))) if self.regions else np.arange(count)

    def within(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The regions as places in `rows`."""
        return {name: np.flatnonzero(np.isin(rows, vertices)) for name, vertices in self.regions.items()}

    def beside(self, found_on: np.ndarray, mesh: np.ndarray) -> "FacePart":
        """The same of a mesh of this topology that lies elsewhere; both (V, 3), vertex to vertex."""
        assert self.to_head is not None
        return FacePart(self.regions, self.to_head.after(Similarity.of_correspondences(mesh, found_on)))


def part_of_model(model: FaceModel) -> FacePart:
    """The face of a face model.

    Raises:
        CheckpointError: the model has no 468 landmarks, so that nothing says where its face is.
    """
    if model.name == FaceMesh.name:
        return FacePart({name: rows.numpy() for name, rows in facemesh_regions().items()}, Similarity())
    if model.landmarks_468 is None:
        raise CheckpointError(
            f"the face model {model.name!r} has no 468 landmarks, which say where its face is; convert it again with "
            "the authors' landmark embedding"
        )
    template, faces = model.template.cpu(), model.faces.cpu()
    points = model.landmarks_468(template, faces).double()
    return FacePart(_named(face_regions(template.numpy(), faces.numpy(), points)), head_from_points(points))


def head_from_points(points: torch.Tensor) -> Similarity:
    """The rigid motion to the head frame that lays a face at rest, by its (468, 3) points, on the bundled face."""
    return Similarity.of_correspondences(points.numpy(), FaceMesh().template.numpy())


def part_of_mesh(vertices: np.ndarray, faces: np.ndarray, name: str) -> FacePart:
    """The face of a mesh in metres, found by its shape however it is turned.

    The bundled face is laid on it from the axes of several frames (it finds its way from 30 degrees or so); of those
    the best counts, laid once more from where it has come to lie.

    Raises:
        InputError: it has no triangles, or no face is found on it.
    """
    if not len(faces):
        raise InputError(f"{name} has no triangles, so that no face can be found on it; give its faces, or --regions")
    middle = vertices[np.unique(faces)].mean(0).astype(np.float64)
    centred = vertices.astype(np.float64) - middle
    best: tuple[float, np.ndarray] | None = None
    failed: InputError | None = None
    for turn in _turns():
        try:
            frame = find_head_frame(centred @ turn.T, faces, name)
        except InputError as error:
            failed = failed or error
            continue
        if best is None or frame.fit < best[0]:
            best = frame.fit, frame.rotation.numpy() @ turn
    try:
        if best is None:
            raise failed or InputError(f"No face is found on {name}")
        frame = find_head_frame(centred @ best[1].T, faces, name)
    except InputError as error:
        raise InputError(
            f"{error.args[0].split(';')[0]}; give the method's face at rest as neutral.obj beside its meshes, name its "
            "regions with --regions, or measure all of it with --measure all"
        ) from error
    rotation = frame.rotation.numpy() @ best[1]
    origin = frame.rotation.numpy() @ frame.origin.numpy()
    return FacePart(_named(frame.regions), Similarity(rotation, 1.0, -rotation @ middle - origin))


@lru_cache(maxsize=8)
def part_of_sequence(path: Path, name: str) -> tuple[np.ndarray, FacePart]:
    """The face at rest of a sequence of meshes, (V, 3) metres, or else its first mesh; and the face on it.

    Raises:
        InputError: the sequence cannot be read, or no face is found on it.
    """
    found = read_mesh_folder(path, frames=mesh_frames(path)[:1], whole=False)
    rest = found.vertices[0] if found.neutral is None else found.neutral
    return rest, part_of_mesh(rest, found.faces, name)


def read_regions(path: Path) -> dict[str, np.ndarray]:
    """Regions from a file or a folder of files: names to vertices, (n,) int64 increasing.

    Raises:
        InputError: the path is missing, of another kind, damaged, or holds a region without vertices.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".npy", ".txt") and file.name[0] != ".")
    found: dict[str, np.ndarray] = {}
    for file in files:
        found |= _read_file(file)
    if not found:
        raise InputError(f"{path} names no region; give a .json, .npz, .npy or .txt file, or a folder of the last two")
    return found


def check_regions(regions: dict[str, np.ndarray], count: int, name: str) -> None:
    """Raises InputError where a region names vertices that a mesh of `count` lacks; `name` is the mesh's."""
    for region, rows in regions.items():
        if rows[-1] >= count:
            raise InputError(
                f"the region {region!r} names vertex {rows[-1]}, but the meshes of {name} have {count}; give regions "
                "of their own topology"
            )


def check_regions_used(regions: Mapping[str, Path], used: Iterable[Path | None]) -> None:
    """Raises UsageError where a file of regions belongs to no row: `used` are those of the rows."""
    used = set(used)
    for name, path in regions.items():
        if path not in used:
            raise UsageError(
                f"--regions {name}={path} belongs to nothing that is measured; call it after a --meshes, or after the "
                "face model of our meshes"
            )


def named_mask(regions: dict[str, np.ndarray], wanted: Sequence[str] | None, count: int, name: str) -> np.ndarray:
    """(count,) bool, the vertices of the regions named; all where `wanted` is None.

    Raises:
        UsageError: there is no such region.
    """
    if wanted is None:
        return np.ones(count, bool)
    mask = np.zeros(count, bool)
    for region in wanted:
        if region not in regions:
            known = ", ".join(regions) or "none"
            raise UsageError(f"the meshes of {name} have no region {region!r} to align; their regions are: {known}")
        mask[regions[region]] = True
    return mask


def _turns() -> np.ndarray:
    """(8, 3, 3): with the 24 ways in which axes can lie on axes, no frame is far from one of them."""
    halves = [[45.0 * (number >> bit & 1) for bit in range(3)] for number in range(8)]
    return Rotation.from_euler("xyz", halves, degrees=True).as_matrix()


def _named(rows: torch.Tensor) -> dict[str, np.ndarray]:
    numbers = rows.numpy()
    found = {name: np.flatnonzero(numbers == row) for row, name in enumerate(REGIONS)}
    return {name: vertices for name, vertices in found.items() if len(vertices)}


def _read_file(path: Path) -> dict[str, np.ndarray]:
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} is no file of regions; give {', '.join(_SUFFIXES)}, or a folder")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is far larger than a file of regions; give another")
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict):
                raise ValueError("it is no object of names")
            arrays = {str(name): np.array(rows) for name, rows in content.items()}
        elif path.suffix == ".txt":
            arrays = {path.stem: np.array(path.read_text(encoding="utf-8").replace(",", " ").split(), np.int64)}
        elif path.suffix == ".npy":
            arrays = {path.stem: np.load(path, allow_pickle=False)}
        else:
            with np.load(path, allow_pickle=False) as npz:
                arrays = {name: npz[name] for name in npz.files}
        return {name: _rows(name, array) for name, array in arrays.items()}
    except (OSError, ValueError, OverflowError, EOFError, RecursionError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as regions ({error}); write vertices or masks") from error


def _rows(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise ValueError(
            f"the region {name!r} must be a list of vertices or a mask, not {array.shape} of {array.dtype}"
        )
    rows = np.flatnonzero(array) if array.dtype == bool else np.unique(array.astype(np.int64))
    if not len(rows):
        raise ValueError(f"the region {name!r} has no vertices")
    if rows[0] < 0:
        raise ValueError(f"the region {name!r} names vertex {rows[0]}")
    return rows
