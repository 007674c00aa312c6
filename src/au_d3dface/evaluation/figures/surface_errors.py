"""How far meshes of any topology are from true surfaces, vertex by vertex, after ICP, on the face alone.

1. The face is found on each true surface: a facemesh (the refined one where there is one, else the model's mean face)
   is laid on it, and what of the surface is within `FACE_REACH` of that is the face.
2. A method's mesh starts where it was laid, and ICP (`geometry.icp`, vertex to surface, robust, rigid unless scale is
   asked for) aligns those of its vertices whose nearest point of the surface is in the face.
3. The same vertices, found once more where the mesh now is, are measured. Others are not: a neck or the back of a head
   that the surface lacks, or that other methods lack. Nor are vertices far from the surface's open border, or from all
   of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ...errors import InputError
from ...geometry import ICPSettings, Similarity, TriangleSurface, icp
from ..meshes.placement import place

FACE_REACH = 0.015
"""Metres, from the facemesh that is laid on the true surface."""

BORDER_REACH = 0.01
"""Metres: a vertex whose nearest point lies at the open border of the surface counts up to here."""


FAR = 0.05
"""Metres from every vertex of a surface: what is so far away counts as no part of the face."""


@dataclass(frozen=True)
class TrueFace:
    """One true surface, and where its face is.

    Attributes:
        vertices: (W, 3) metres. surface: of them.
        to_head: turns the surface as the head frame is turned.
        face, border: (F,) bool, triangles that belong to the face, and those at an open border.
        upright, reference: (P, 3), the facemesh in the head frame, and where it was laid on the surface.
    """

    vertices: np.ndarray
    surface: TriangleSurface
    to_head: Similarity
    face: np.ndarray
    border: np.ndarray
    upright: np.ndarray
    reference: np.ndarray

    def from_head(self, with_scale: bool) -> Similarity:
        """From the head frame to the surface's frame, as the facemesh was laid."""
        return Similarity.of_correspondences(self.upright, self.reference, with_scale)

    def counts(self, points: np.ndarray) -> np.ndarray:
        """(V,) bool, the points that are measured where they are now."""
        counted = _near(cKDTree(self.surface.vertices), points)
        nearest = self.surface.nearest(points[counted])
        beyond = self.border[nearest.triangles] & (nearest.distances > BORDER_REACH)
        counted[counted] = self.face[nearest.triangles] & ~beyond
        return counted


@dataclass(frozen=True)
class MethodErrors:
    """One method on K surfaces.

    Attributes:
        aligned: (K, V, 3) metres, in the frames of the surfaces. faces: (F, 3).
        errors: (K, V) millimetres; NaN where not measured.
        iterations: (K,) of ICP. converged: (K,) bool. scales: (K,), 1 where the size is kept.
    """

    aligned: np.ndarray
    faces: np.ndarray
    errors: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    scales: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """(K,) millimetres, over the measured vertices of each mesh."""
        return np.nanmean(self.errors, 1)


def true_faces(
    vertices: Sequence[np.ndarray], faces: np.ndarray, reference: np.ndarray, reference_faces: np.ndarray
) -> list[TrueFace]:
    """Finds the face on each surface.

    Args:
        vertices: K times (W, 3) metres, of one topology. faces: (F, 3).
        reference: (K, P, 3) facemeshes of the same frames in the head frame, or (P, 3), one for all.
        reference_faces: (G, 3).

    Raises:
        InputError: a surface has no triangles, coordinates that are not finite, or no face that can be found.
    """
    border = _border(faces)
    found: list[TrueFace] = []
    motion, residual = None, 0.0
    for row, points in enumerate(vertices):
        mesh = reference if reference.ndim == 2 else reference[row]
        try:
            motion, residual = place(mesh, reference_faces, points, faces, True, motion, residual)
            surface = TriangleSurface(points, faces)
            laid = motion(mesh.astype(np.float64))
            centres = surface.triangles.mean(1)
            face = _near(cKDTree(laid), centres)
            face[face] = TriangleSurface(laid, reference_faces).nearest(centres[face]).distances <= FACE_REACH
        except ValueError as error:
            raise InputError(f"true mesh {row + 1}: {error}") from error
        if not face.any():
            raise InputError(f"no face could be found on true mesh {row + 1}; it may be in another unit, or no face")
        to_head = Similarity(motion.rotation.T)
        found.append(TrueFace(points, surface, to_head, face, border, mesh, laid))
    return found


def method_errors(
    truth: Sequence[TrueFace],
    vertices: np.ndarray,
    faces: np.ndarray,
    reference_faces: np.ndarray,
    upright: bool,
    settings: ICPSettings | None = None,
    name: str = "the meshes",
) -> MethodErrors:
    """Aligns and measures a method.

    Args:
        truth: K surfaces.
        vertices: (K, V, 3) metres, in any frame of reference. faces: (F, 3).
        reference_faces: (G, 3), of the facemeshes that were laid on the truth.
        upright: whether the meshes are in the head frame, beside those facemeshes (ours are); else the face is looked
            for.
        settings: of ICP; its defaults if None.
        name: of the method, for errors.

    Raises:
        InputError: coordinates that are not finite, or a mesh that cannot be laid on the truth.
    """
    settings = settings or ICPSettings()
    aligned, errors = np.empty(vertices.shape), np.full(vertices.shape[:2], np.nan)
    iterations, converged, scales = np.zeros(len(truth), int), np.zeros(len(truth), bool), np.ones(len(truth))
    used = np.isin(np.arange(vertices.shape[1]), faces)  # others mean nothing
    motion, residual = None, 0.0
    for row, (true, mesh) in enumerate(zip(truth, vertices.astype(np.float64), strict=True)):
        try:
            start = true.from_head(settings.with_scale)
            if not upright:
                motion, residual = place(
                    mesh, faces, true.upright, reference_faces, settings.with_scale, motion, residual
                )
                start = _after(start, motion)
            region = used & true.counts(start(mesh))
            result = icp(mesh, true.surface, region, start, settings)
        except ValueError as error:
            raise InputError(f"{name}, mesh {row + 1}: {error}") from error
        aligned[row] = result.transform(mesh)
        measured = used & true.counts(aligned[row])
        errors[row, measured] = 1000 * true.surface.nearest(aligned[row][measured]).distances
        iterations[row], converged[row], scales[row] = result.iterations, result.converged, result.transform.scale
    return MethodErrors(aligned, faces, errors, iterations, converged, scales)


def all_errors(
    truth: Sequence[TrueFace],
    ours: Mapping[str, np.ndarray],
    reference_faces: np.ndarray,
    others: Mapping[str, tuple[np.ndarray, np.ndarray]],
    settings: ICPSettings | None = None,
) -> dict[str, MethodErrors]:
    """By the name of the method, ours first.

    Args:
        ours: (K, P, 3) by name, in the head frame. reference_faces: (G, 3), of them and of what `true_faces` laid.
        others: by name (K, V, 3) metres, in any frame of reference, and (F, 3).

    Raises:
        InputError: as `method_errors` says.
    """
    found = {}
    for name, vertices in ours.items():
        found[name] = method_errors(truth, vertices, reference_faces, reference_faces, True, settings, name)
    for name, (vertices, faces) in others.items():
        found[name] = method_errors(truth, vertices, faces, reference_faces, False, settings, name)
    return found


def _after(second: Similarity, first: Similarity) -> Similarity:
    """The first motion, then the second."""
    return Similarity(second.rotation @ first.rotation, second.scale * first.scale, second(first.translation))


def _near(tree: cKDTree, points: np.ndarray) -> np.ndarray:
    """(P,) bool, the points with a vertex within FAR; exact distances of the others take long, and are not needed."""
    return np.isfinite(tree.query(points, distance_upper_bound=FAR)[0])


def _border(faces: np.ndarray) -> np.ndarray:
    """(F,) bool: triangles with an edge that no other triangle has."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    _, place_of, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    return (counts[place_of.reshape(-1)] == 1).reshape(3, -1).any(0)
