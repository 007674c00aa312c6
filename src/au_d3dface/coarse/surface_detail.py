"""Carries displacements known at landmarks over the surface of a dense mesh.

Unlike `DetailInterpolator`, whose landmarks are alike where they are near in space, this one goes along the surface:
the upper lip does not pull at the lower one, nor a lid at the other.
"""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from ..face_models import FaceModel

RANGE = 0.04
"""Metres along the surface beyond which displacements are hardly alike any more."""

NOISE = 0.3
"""Standard deviation of a landmark's displacement that is noise, relative to that of the part that is carried."""

_LEAST_AREA = 1e-9
"""Square metres that a vertex stands for at least: a vertex of no triangle stays where it is."""


class SurfaceInterpolator:
    """Regression from L landmarks on a mesh to its V vertices, with a prior that is smooth along the surface.

    The prior is the Gaussian field with precision  Q ∝ (κ² M + S) M⁻¹ (κ² M + S),  κ = √8 / RANGE, S the stiffness and
    M the areas of the mesh's linear finite elements (the Matérn field on a surface: Lindgren, Rue and Lindström 2011),
    of unit variance. Landmarks E (L, V) are seen with NOISE:  matrix = (Q + Eᵀ E / NOISE²)⁻¹ Eᵀ / NOISE².  A vertex far
    from every landmark (neck, ears, crown) stays where the face model puts it.
    """

    def __init__(self, face_model: FaceModel) -> None:
        embedding = face_model.landmarks_468
        assert embedding is not None  # `LandmarkBasis` has asked
        vertices, faces = face_model.template.double().cpu().numpy(), face_model.faces.cpu().numpy()
        stiffness, areas = _finite_elements(vertices, faces)
        kappa = 8**0.5 / RANGE
        operator = (sparse.diags(kappa**2 * areas) + stiffness).tocsc()
        # A field with this operator has variance 1 / (4π κ²).
        precision = operator.T @ sparse.diags(1 / areas) @ operator / (4 * np.pi * kappa**2)
        corners = faces[embedding.triangles.cpu().numpy()]
        rows = np.repeat(np.arange(len(corners)), 3)
        weights = embedding.barycentric.double().cpu().numpy().ravel() / NOISE
        seen = sparse.csc_matrix((weights, (rows, corners.ravel())), shape=(len(corners), len(vertices)))
        matrix = splu((precision + seen.T @ seen).tocsc()).solve(seen.T.toarray() / NOISE)
        self.matrix = torch.from_numpy(matrix).float()  # (V, L)

    def __call__(self, displacement: Tensor) -> Tensor:
        """(T, L, 3) metres to (T, V, 3)."""
        # One product of matrices for all frames; one a frame would read the whole matrix for three columns.
        return (self.matrix @ displacement.transpose(0, 1).flatten(1)).unflatten(1, (-1, 3)).transpose(0, 1)


def _finite_elements(vertices: np.ndarray, faces: np.ndarray) -> tuple[sparse.csc_matrix, np.ndarray]:
    """(V, V) stiffness, dimensionless, and (V,) areas in square metres that the vertices stand for."""
    size = len(vertices)
    corners = vertices[faces]  # (F, 3, 3)
    edges = np.roll(corners, -1, 1) - np.roll(corners, 1, 1)  # edge i is opposite corner i
    double_area = np.maximum(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=-1), 2 * _LEAST_AREA)
    areas = np.bincount(faces.ravel(), np.repeat(double_area / 6, 3), size)
    # Gradients of the hat functions are the edges turned by a right angle: S_ij = Σ e_i · e_j / (4 area).
    products = np.einsum("fix,fjx->fij", edges, edges) / (2 * double_area)[:, None, None]
    rows, columns = np.repeat(faces, 3, 1).ravel(), np.tile(faces, 3).ravel()
    return sparse.csc_matrix((products.ravel(), (rows, columns)), shape=(size, size)), np.maximum(areas, _LEAST_AREA)
