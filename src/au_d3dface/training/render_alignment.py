"""Tracked renders in the head frame, so that they can be compared: robust alignment, mirroring, rows at rest."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry import similarity_alignment
from ..tracking.topology import mirror_indices

IMAGE_TO_HEAD = torch.tensor([1.0, -1.0, -1.0])
"""Turns image axes (y down, z away) into those of the head frame of a face that looks at the camera."""

NUM_FACE_POINTS = 468


def robust_alignment(source: Tensor, target: Tensor, scale_of_errors: float = 0.003, rounds: int = 8) -> Tensor:
    """`source` moved onto `target` by the similarity that most points agree on (iteratively reweighted).

    Args:
        source: (R, P, 3) in any unit; points after the 468th (irises) are moved along but have no say.
        target: (R, P, 3) or (P, 3) metres, of at least 468 points.
        scale_of_errors: metres; the weights are 1 / (1 + (e / scale)²)².

    Returns:
        (R, P, 3) metres.
    """
    face = source[:, :NUM_FACE_POINTS]
    target = target[..., :NUM_FACE_POINTS, :].expand_as(face)
    weights = torch.ones(face.shape[:2], dtype=source.dtype)
    for _ in range(rounds):
        rotation, scale, translation = similarity_alignment(face, target, weights)
        turned = scale[:, None, None] * rotation.transpose(-1, -2)
        error = (face @ turned + translation[:, None] - target).norm(dim=-1)
        weights = (1 + (error / scale_of_errors) ** 2) ** -2
    return source @ turned + translation[:, None]


def mirrored(points: Tensor) -> Tensor:
    """(..., 468 or 478, 3) faces in the head frame, seen in a mirror."""
    mirror = mirror_indices(irises=points.shape[-2] > NUM_FACE_POINTS)
    return points[..., torch.from_numpy(mirror), :] * torch.tensor([-1.0, 1.0, 1.0])


def mean_face(tracked: Tensor, true_points: Tensor, rounds: int = 6) -> Tensor:
    """(468, 3) metres: the symmetric mean of tracked faces (R, 468, 3), lying on the mean of the true ones.

    Only a rigid motion and the size come from the true points (R, 468, 3): the shape is the tracker's.
    """
    reference = (true_points.mean(0) + mirrored(true_points.mean(0))) / 2
    mean = reference
    for _ in range(rounds):
        mean = robust_alignment(tracked, mean).mean(0)
        mean = robust_alignment(((mean + mirrored(mean)) / 2)[None], reference)[0]
        mean = (mean + mirrored(mean)) / 2
    return mean


@dataclass(frozen=True)
class AlignedRenders:
    """Renders of `load_shards` in the head frame; only those that were found, with their face at rest, are usable.

    Attributes:
        points: (R, 478, 3) metres: rest rows aligned to the template, others to the same person at rest in the same
            pose. NaN where not usable.
        rest: (R,) row of the same person at rest in the same pose; -1 where the tracker missed it.
        usable: (R,) bool.
    """

    points: Tensor
    rest: np.ndarray
    usable: np.ndarray

    def motion(self, rows: np.ndarray) -> Tensor:
        """(len(rows), 478, 3) metres from rest."""
        return self.points[torch.from_numpy(rows)] - self.points[torch.from_numpy(self.rest[rows])]


def align_renders(renders: dict[str, np.ndarray], template: Tensor) -> AlignedRenders:
    """Aligns the tracked points of every render to the template (468, 3)."""
    keys = list(zip(renders["person"].tolist(), renders["pose"].tolist(), strict=True))
    resting = np.flatnonzero(renders["at_rest"] & renders["found"])
    row_of = {keys[row]: row for row in resting.tolist()}
    rest = np.array([row_of.get(key, -1) for key in keys])
    usable = renders["found"] & (rest >= 0)
    tracked = torch.from_numpy(renders["tracked"]) * IMAGE_TO_HEAD
    points = torch.full_like(tracked, torch.nan)
    rows = torch.from_numpy(resting)
    points[rows] = robust_alignment(tracked[rows], template)
    moving = np.flatnonzero(usable & ~renders["at_rest"])
    rows = torch.from_numpy(moving)
    # A tighter scale: most of the face is still, and only the still part may decide.
    points[rows] = robust_alignment(tracked[rows], points[torch.from_numpy(rest[moving])], scale_of_errors=0.0015)
    return AlignedRenders(points, rest, usable)
