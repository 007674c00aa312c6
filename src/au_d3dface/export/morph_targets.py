"""A mesh animation as morph targets: mesh(t) = neutral + Σ_k weights[t, k] · targets[k].

Short animations have one target a frame, so that each frame is exact. Long ones have a low-rank basis, the singular
vectors of the displacements, as many as keep every vertex of every frame within a stated error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PER_FRAME_LIMIT = 1000
"""Frames up to which there is one target a frame: weights grow with its square, and viewers stop at about 2,000."""

TARGET_BYTES = 16 * 2**20
"""A basis is used for shorter animations too, where one target a frame would take more than this."""

FRAMES_A_LOOK = 64
"""Frames that are computed with at once: what comes of all of them is large, and nobody could cancel meanwhile."""

MAX_ERROR = 8e-6
"""Metres by which no vertex of any frame may be off: 1e-5, less some room for a viewer's rounding."""


@dataclass(frozen=True)
class MorphTargets:
    """Targets and weights of an animation.

    Attributes:
        displacements: (K, V, 3) float32 metres.
        weights: (T, K) float32 in [0, 1]; one-hot rows where there is one target a frame.
        low_rank: whether the targets are a basis rather than frames.
        max_error: greatest distance in metres of any vertex of any frame from where it should be.
    """

    displacements: np.ndarray
    weights: np.ndarray
    low_rank: bool
    max_error: float


def morph_targets(
    displacements: np.ndarray,
    per_frame_limit: int = PER_FRAME_LIMIT,
    target_bytes: int = TARGET_BYTES,
    max_error: float = MAX_ERROR,
    look: Callable[[], object] = lambda: None,
) -> MorphTargets:
    """Morph targets of an animation.

    Args:
        displacements: (T, V, 3) metres of every frame away from neutral, all finite.
        per_frame_limit, target_bytes: frames, and bytes of displacements, up to which there is one target a frame.
        max_error: metres.
        look: called again and again; what it raises ends the work.
    """
    frames = len(displacements)
    displacements = displacements.astype(np.float32, copy=False)
    if frames <= per_frame_limit and displacements.nbytes <= target_bytes:
        return MorphTargets(displacements, np.eye(frames, dtype=np.float32), low_rank=False, max_error=0.0)
    return _low_rank(displacements, max_error, look)


def _low_rank(displacements: np.ndarray, max_error: float, look: Callable[[], object]) -> MorphTargets:
    """The truncated singular value decomposition of smallest rank whose error stays below `max_error`."""
    matrix = displacements.reshape(len(displacements), -1)  # (T, 3V)
    frames_are_fewer = matrix.shape[0] <= matrix.shape[1]
    eigenvalues, vectors = np.linalg.eigh(_gram(matrix if frames_are_fewer else matrix.T, look))
    look()
    # The sum of the eigenvalues left out bounds the error at every vertex, so no more than these can be needed.
    left_out = np.sqrt(np.cumsum(eigenvalues.clip(0)))
    enough = max(1, int((left_out >= max_error / 2).sum()))
    vectors = vectors[:, ::-1][:, :enough].astype(np.float32)
    if frames_are_fewer:
        weights, basis = vectors, vectors.T @ matrix
    else:
        weights, basis = matrix @ vectors, vectors.T

    def error(weights: np.ndarray, basis: np.ndarray) -> float:
        greatest = 0.0
        for start in range(0, len(matrix), FRAMES_A_LOOK):
            look()
            rows = slice(start, start + FRAMES_A_LOOK)
            rest = (matrix[rows] - weights[rows] @ basis).reshape(-1, 3)
            greatest = max(greatest, float(np.einsum("vi,vi->v", rest, rest).max()))
        return greatest**0.5

    low, high = 1, enough
    while low < high:  # bisection: the error falls with the rank
        middle = (low + high) // 2
        small = error(weights[:, :middle], basis[:middle]) < max_error
        low, high = (low, middle) if small else (middle + 1, high)
    weights, basis = _between_0_and_1(weights[:, :high], basis[:high])
    return MorphTargets(
        basis.reshape(-1, *displacements.shape[1:]), weights, low_rank=True, max_error=error(weights, basis)
    )


def _between_0_and_1(weights: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same product with weights in [0, 1], as Blender and game engines clamp others, and one more target.

    Each weight is moved and scaled to its own range; what the moving adds goes into a last target whose weight is
    always 1.
    """
    lowest = weights.min(0)
    extent = (weights.max(0) - lowest).clip(1e-12)
    weights = np.column_stack([(weights - lowest) / extent, np.ones(len(weights), weights.dtype)])
    basis = np.vstack([basis * extent[:, None], lowest @ basis])
    return np.ascontiguousarray(weights.clip(0, 1)), basis


def _gram(rows: np.ndarray, look: Callable[[], object], block: int = 4096) -> np.ndarray:
    """rows · rowsᵀ in double precision: its rounding, 1e-8 of the largest singular value, is far below 1e-5 m."""
    gram = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], block):
        look()
        part = rows[:, start : start + block].astype(np.float64)
        gram += part @ part.T
    return gram
