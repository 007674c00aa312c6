"""Alignment of a mesh to a surface without correspondence: iterative closest points, rigid or with scale, robust.

What is made small is the mean Huber loss of the vertices' exact distances from the surface, in the size of the mesh
that is moved (distances are divided by the scale, or else shrinking to a point would be perfect). An iteration is one
look-up of the nearest points. It takes a Gauss-Newton step on the distances, which converges in a few iterations where
steps towards the nearest points themselves take hundreds; where that does not lower the loss, it is taken back for the
closed-form step towards the nearest points, weighted, which always does.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from .alignment import similarity_alignment
from .triangle_surface import Nearest, TriangleSurface, check_finite

_DAMPING = 1e-9
"""Of the Gauss-Newton step, as a share of the largest curvature: motions that no distance feels are not made."""


@dataclass(frozen=True)
class Similarity:
    """x -> scale · rotation · x + translation: `rotation` (3, 3), `translation` (3,)."""

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    scale: float = 1.0
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @classmethod
    def of_correspondences(cls, source: np.ndarray, target: np.ndarray, with_scale: bool = False) -> "Similarity":
        """That of least squares from (P, 3) points, landmarks say, to those that correspond; P at least 3.

        Raises:
            ValueError: shapes that differ, too few points, or coordinates that are not finite.
        """
        source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
        if source.shape != target.shape or source.ndim != 2 or len(source) < 3:
            raise ValueError(
                f"correspondences need three points or more of one shape, not {source.shape}, {target.shape}"
            )
        check_finite(source, "landmarks")
        check_finite(target, "landmarks of the surface")
        return cls._aligned(source, target, None, with_scale)

    @classmethod
    def of_axes(
        cls, vertices: np.ndarray, surface: TriangleSurface, with_scale: bool = False, huber: float = 0.005
    ) -> "Similarity":
        """Lays centre on centre and principal axes on principal axes; of the four ways to do so, the nearest.

        A start for meshes that cover the same part of a head, in any pose; with other parts, give landmarks.
        """
        vertices = np.asarray(vertices, np.float64)
        check_finite(vertices, "vertices")
        centres, axes, sizes = [], [], []
        for points in (vertices, surface.vertices):
            centre = points.mean(0)
            _, singular, rows = np.linalg.svd(points - centre, full_matrices=False)
            centres.append(centre)
            axes.append(rows)
            sizes.append(np.linalg.norm(singular) / np.sqrt(len(points)))
        scale = float(sizes[1] / sizes[0]) if with_scale else 1.0
        options = []
        for signs in np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]):
            third = np.sign(np.linalg.det(axes[0]) * np.linalg.det(axes[1])) * signs.prod()
            rotation = axes[1].T @ np.diag([*signs, third]) @ axes[0]
            options.append(cls(rotation, scale, centres[1] - scale * rotation @ centres[0]))
        losses = [_loss(surface.nearest(option(vertices)).distances / scale, huber) for option in options]
        return options[int(np.argmin(losses))]

    @classmethod
    def _aligned(
        cls, source: np.ndarray, target: np.ndarray, weights: np.ndarray | None, with_scale: bool
    ) -> "Similarity":
        rotation, scale, translation = similarity_alignment(
            torch.from_numpy(source),
            torch.from_numpy(target),
            None if weights is None else torch.from_numpy(weights),
            with_scale,
        )
        return cls(rotation.numpy(), float(scale), translation.numpy())

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points, moved."""
        return self.scale * points @ self.rotation.T + self.translation

    def after(self, first: "Similarity") -> "Similarity":
        """That of `first`, and then this one."""
        return Similarity(self.rotation @ first.rotation, self.scale * first.scale, self(first.translation))

    def inverse(self) -> "Similarity":
        return Similarity(self.rotation.T, 1 / self.scale, -self.rotation.T @ self.translation / self.scale)


@dataclass(frozen=True)
class ICPSettings:
    """How to align.

    Attributes:
        with_scale: whether the size may change too.
        huber: metres; up to here distances count squared, beyond as they are. Parts that the surface lacks (ears, neck)
            so pull no harder than this; leave them out with a region where they are many.
        max_iterations: look-ups at most.
        tolerance: metres; the end is reached with a step that moves the vertices by no more, root mean square.
    """

    with_scale: bool = False
    huber: float = 0.005
    max_iterations: int = 100
    tolerance: float = 1e-6


@dataclass(frozen=True)
class ICPResult:
    """What `icp` gives.

    Attributes:
        transform: from the mesh to the surface.
        iterations: look-ups of the nearest points after the first.
        converged: whether the last step was within the tolerance.
        distances: metres, from the surface, of the vertices that were aligned, when they are: exact, so that after an
            alignment of all vertices nothing is left to measure.
    """

    transform: Similarity
    iterations: int
    converged: bool
    distances: np.ndarray

    @property
    def residual(self) -> float:
        """Their mean."""
        return float(self.distances.mean())


def icp(
    vertices: np.ndarray,
    surface: TriangleSurface,
    region: np.ndarray | None = None,
    start: Similarity | None = None,
    settings: ICPSettings | None = None,
) -> ICPResult:
    """Aligns a mesh to a surface from a start that is about right (30 degrees, a quarter of the size).

    Args:
        vertices: (V, 3) metres.
        surface: metres.
        region: (V,) bool, the vertices that count; None for all.
        start: identity if None. In a video, the result of the frame before saves most iterations.

    Raises:
        ValueError: coordinates that are not finite, a region of another mesh or of fewer than three vertices, or
            settings out of range.
    """
    settings = settings or ICPSettings()
    if not (settings.huber > 0 and settings.tolerance > 0 and settings.max_iterations > 0):
        raise ValueError(f"huber, tolerance and max_iterations must be above 0, not as in {settings}")
    vertices = np.asarray(vertices, np.float64)
    check_finite(vertices, "vertices")
    if region is not None:
        region = np.asarray(region)
        if region.shape != vertices.shape[:1] or region.dtype != bool:
            raise ValueError(f"the region must say yes or no of {len(vertices)} vertices, not be {region.shape} values")
        vertices = vertices[region]
    if len(vertices) < 3:
        raise ValueError(f"{len(vertices)} vertices to align: three are needed at least")
    start = start or Similarity()

    def at(transform: Similarity) -> _State:
        return _State.of(transform, vertices, surface, settings)

    state = at(start)
    iterations, moved = 0, np.inf
    while iterations < settings.max_iterations and moved > settings.tolerance:
        after = at(_newton(state, settings))
        iterations += 1
        if after.loss > state.loss and iterations < settings.max_iterations:
            after = at(_closed_form(state, vertices, settings))
            iterations += 1
        if after.loss > state.loss:  # by rounding, or at the last iteration
            moved = 0.0 if after.loss <= state.loss * (1 + 1e-9) else moved
            break
        moved = float(np.sqrt(((after.points - state.points) ** 2).sum(-1).mean()))
        state = after
    return ICPResult(state.transform, iterations, bool(moved <= settings.tolerance), state.nearest.distances)


@dataclass(frozen=True)
class _State:
    """The vertices under a transform: `points` (P, 3), the surface's `nearest`, and the mean `loss`."""

    transform: Similarity
    points: np.ndarray
    nearest: Nearest
    normals: np.ndarray
    loss: float

    @classmethod
    def of(
        cls,
        transform: Similarity,
        vertices: np.ndarray,
        surface: TriangleSurface,
        settings: ICPSettings,
    ) -> "_State":
        points = transform(vertices)
        nearest = surface.nearest(points)
        # The direction in which the distance grows; on the surface itself, the triangle's normal (0 if degenerate).
        away = points - nearest.points
        corners = surface.triangles[nearest.triangles]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), np.finfo(float).tiny)
        near = nearest.distances[:, None] <= 1e-9 * np.abs(points).max()
        normals = np.where(near, across, away / np.where(near, 1.0, nearest.distances[:, None]))
        return cls(transform, points, nearest, normals, _loss(nearest.distances / transform.scale, settings.huber))

    def weights(self, huber: float) -> np.ndarray:
        """(P,) by which squares stand for the Huber loss, near the present distances."""
        return huber / np.maximum(self.nearest.distances / self.transform.scale, huber)


def _loss(distances: np.ndarray, huber: float) -> float:
    """Mean Huber loss: d² / 2 up to `huber`, beyond on in a straight line."""
    inner = np.minimum(distances, huber)
    return float((inner * (distances - inner / 2)).mean())


def _newton(state: _State, settings: ICPSettings) -> Similarity:
    """One Gauss-Newton step on distance over scale, in rotation, translation and scale about the vertices' centre."""
    centre = state.points.mean(0)
    arms = state.points - centre
    size = np.sqrt((arms**2).sum(-1).mean())  # makes turns and growth comparable with shifts
    columns = [np.cross(arms, state.normals) / size, state.normals]
    if settings.with_scale:
        columns.append(((state.nearest.points - centre) * state.normals).sum(-1, keepdims=True) / size)
    jacobian = np.concatenate(columns, 1)  # (P, 6 or 7)
    weighted = jacobian * state.weights(settings.huber)[:, None]
    residual = ((state.points - state.nearest.points) * state.normals).sum(-1)
    curvature, gradient = weighted.T @ jacobian, weighted.T @ residual
    damping = _DAMPING * np.trace(curvature) + np.finfo(float).tiny
    step = -np.linalg.solve(curvature + damping * np.eye(len(curvature)), gradient)
    turn, shift = _rotation(step[:3] / size), step[3:6]
    growth = float(np.exp(np.clip(step[6] / size, -0.2, 0.2))) if settings.with_scale else 1.0
    return Similarity(
        turn @ state.transform.rotation,
        growth * state.transform.scale,
        centre + growth * (turn @ (state.transform.translation - centre) + shift),
    )


def _closed_form(state: _State, vertices: np.ndarray, settings: ICPSettings) -> Similarity:
    """The similarity of least weighted squares between the vertices and their nearest points, in the vertices' size."""
    weights = state.weights(settings.huber)
    return Similarity._aligned(state.nearest.points, vertices, weights, settings.with_scale).inverse()


def _rotation(vector: np.ndarray) -> np.ndarray:
    """(3, 3) of an axis times an angle in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle > 0 else vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
