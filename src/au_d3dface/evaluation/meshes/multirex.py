"""MultiREX's region-wise protocol (Ubisoft La Forge, arXiv 2412.14371) on meshes of FLAME, with the user's own files.

What is known of it is public: its read-me and the files of its `assets` folder, which the user supplies:

    regions/<name>_region.npy                                    vertices of Multiface's 7,306, int
    conversion_matrices/<subject>_*_FLAME_to_multiface_*.npz     sparse rows, 7306 x 5023
    Neutrals_FLAME/<subject>_*.obj                               the subject's true face at rest on FLAME's mesh, metres

A prediction is the motion of a method's face, put on the true face at rest, turned into Multiface's vertices by the
subject's matrix; each of four regions is rigidly aligned to the truth by itself (mouth and cheek by both together), by
its known correspondence, and the mean distance of its vertices counts, frame by frame. MultiREX decodes FLAME's
coefficients on the true face at rest; here the displacement of a mesh from the method's own face at rest is added to
it, which is the same for expressions, and nearly for the jaw, whose joint lies a little elsewhere in every head.
"""

import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from ...data.multiface.files import NUM_VERTICES
from ...errors import InputError, UsageError
from ...geometry import Similarity
from ...geometry.mesh_files import read_mesh_file
from .face_parts import read_regions
from .methods import MethodMeshes
from .truths import MultifaceTruth, TrueSurfaces, Truth

NUM_FLAME = 5023
REGIONS = {
    "mouth": "mouth_cheek",
    "nose": "nose",
    "cheek": "mouth_cheek",
    "eyes_forehead": "eyes_forehead",
}
"""The regions that are measured, and those by which each is aligned."""

LEFT_OUT = {("002645310", "400347"): slice(None, 215), ("002645310", "400275"): slice(1117, None)}
"""Frames that the authors leave out, by subject and camera: places in the expression EXP_free_face, whose video is
damaged there."""

_LEFT_OUT_OF = "EXP_free_face"


class MultiREX:
    """The protocol with a copy of its assets.

    Args:
        folder: the assets, or the folder that holds `assets`.

    Raises:
        InputError: it holds no such files.
    """

    def __init__(self, folder: Path) -> None:
        inner = folder / "assets"
        self.folder = inner if (inner / "regions").is_dir() else folder
        lacking = [name for name in ("regions", "conversion_matrices", "Neutrals_FLAME") if not (self / name).is_dir()]
        if lacking:
            raise InputError(
                f"{folder} holds no folder {lacking[0]!r}; give the `assets` folder of a clone of MultiREX's repository"
            )

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def files(self) -> list[Path]:
        """What results depend on."""
        return [
            path
            for name in ("regions", "conversion_matrices", "Neutrals_FLAME")
            for path in sorted((self / name).iterdir())
        ]

    def errors(
        self, truth: Truth, meshes: MethodMeshes, true: TrueSurfaces, frames: Sequence[int], name: str
    ) -> dict[str, np.ndarray]:
        """The mean distance of each region's vertices, (T,) millimetres; NaN in frames that the authors leave out.

        Nothing where the meshes are not of FLAME's 5,023 vertices.

        Args:
            true: of these frames. name: of the sequence and method, for errors.

        Raises:
            UsageError: the truth is not Multiface's. InputError: the method has no face at rest, or the assets lack the
                subject.
        """
        if not isinstance(truth, MultifaceTruth):
            raise UsageError("MultiREX is a protocol on Multiface; leave --multirex out here")
        if meshes.vertices.shape[1] != NUM_FLAME:
            return {}
        if meshes.neutral is None:
            raise InputError(
                f"{name}: MultiREX measures motion on the true face at rest, and the method's own is not there; write "
                "neutral.obj beside its meshes"
            )
        matrix, rest = self._matrix(truth.clip.subject), self._rest(truth.clip.subject)
        regions = self._regions()
        rows = np.isin(meshes.frames, frames)
        moved = rest + (meshes.vertices[rows] - meshes.neutral).astype(np.float64)
        errors = {region: np.empty(len(moved)) for region in REGIONS}
        for frame, mesh in enumerate(moved):
            placed, target = matrix @ mesh, true.vertices[frame].astype(np.float64)
            for region, aligned in REGIONS.items():
                at, own = regions[aligned], regions[region]
                transform = Similarity.of_correspondences(placed[at], target[at])
                errors[region][frame] = 1000 * np.linalg.norm(transform(placed[own]) - target[own], axis=-1).mean()
        left_out = self._left_out(truth, frames)
        return {region: np.where(left_out, np.nan, values) for region, values in errors.items()}

    def _left_out(self, truth: MultifaceTruth, frames: Sequence[int]) -> np.ndarray:
        clip = truth.clip
        damaged = LEFT_OUT.get((clip.subject, clip.camera.name))
        if damaged is None or clip.expression != _LEFT_OUT_OF:
            return np.zeros(len(frames), bool)
        return np.isin(frames, sorted(clip.files()[1])[damaged])

    def _matrix(self, subject: str) -> csr_matrix:
        path = self._only("conversion_matrices", f"{subject}_*_FLAME_to_multiface*.npz", subject)
        return _read_matrix(path, path.stat().st_mtime_ns)

    def _rest(self, subject: str) -> np.ndarray:
        path = self._only("Neutrals_FLAME", f"{subject}_*.obj", subject)
        vertices, _ = read_mesh_file(path)
        if len(vertices) != NUM_FLAME or not np.isfinite(vertices).all():
            raise InputError(
                f"{path} is no face of FLAME: {len(vertices)} vertices, where {NUM_FLAME} finite are asked"
            )
        return vertices

    def _regions(self) -> dict[str, np.ndarray]:
        found = {name.removesuffix("_region"): rows for name, rows in read_regions(self / "regions").items()}
        for region in {*REGIONS, *REGIONS.values()}:
            if region not in found or found[region][-1] >= NUM_VERTICES:
                raise InputError(
                    f"{self / 'regions'} holds no {region}_region.npy of the {NUM_VERTICES:,} vertices of Multiface; "
                    "fetch it again"
                )
        return found

    def _only(self, folder: str, pattern: str, subject: str) -> Path:
        found = sorted((self / folder).glob(pattern))
        if len(found) != 1:
            raise InputError(
                f"{self / folder} holds {len(found)} files {pattern}, and one is needed: MultiREX knows eight "
                f"subjects; leave out {subject} with --subjects, or --multirex"
            )
        return found[0]


@lru_cache(maxsize=8)
def _read_matrix(path: Path, changed: int) -> csr_matrix:
    """(7306, 5023) of an npz as scipy writes it, read without running anything in it.

    `changed` only so that a file that was written again is read again.
    """
    try:
        with np.load(path, allow_pickle=False) as npz:
            parts = {name: npz[name] for name in ("data", "indices", "indptr", "shape")}
        if tuple(parts["shape"]) != (NUM_VERTICES, NUM_FLAME):
            raise ValueError(f"it is of {tuple(parts['shape'])}, not {(NUM_VERTICES, NUM_FLAME)}")
        matrix = csr_matrix(
            (parts["data"].astype(np.float64), parts["indices"], parts["indptr"]), (NUM_VERTICES, NUM_FLAME)
        )
        matrix.check_format(full_check=True)
        if not np.isfinite(matrix.data).all():
            raise ValueError("it holds numbers that are not finite")
        return matrix
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a conversion matrix ({error}); fetch it again") from error
