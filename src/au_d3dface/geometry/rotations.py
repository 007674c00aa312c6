"""Rotations: axis-angle, matrices, and the Euler angles that OpenFace users know."""

import torch
from torch import Tensor


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, R = I + sin(θ)/θ K + (1 - cos(θ))/θ² K², differentiable at zero.

    Args:
        axis_angle: (..., 3) axis times angle, radians.

    Returns:
        (..., 3, 3) rotation matrices that act on column vectors.
    """
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    squared = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = squared < 1e-8
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # Taylor series where the angle vanishes, so that neither the value nor the gradient divides by zero.
    first = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    second = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / (angle * angle))
    return torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device) + first * cross + second * (cross @ cross)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Inverse of `axis_angle_to_matrix`, through the unit quaternion, stable up to an angle of π.

    Args:
        matrix: (..., 3, 3) rotations.

    Returns:
        (..., 3) axis times angle, the angle in [0, π].
    """
    m = matrix
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    # The four forms of the quaternion (w, x, y, z) times 4 |component|; the one with the largest divisor is used.
    candidates = torch.stack(
        [
            torch.stack(
                [1 + trace, m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
            ),
            torch.stack(
                [
                    m[..., 2, 1] - m[..., 1, 2],
                    1 + 2 * m[..., 0, 0] - trace,
                    m[..., 0, 1] + m[..., 1, 0],
                    m[..., 0, 2] + m[..., 2, 0],
                ],
                -1,
            ),
            torch.stack(
                [
                    m[..., 0, 2] - m[..., 2, 0],
                    m[..., 0, 1] + m[..., 1, 0],
                    1 + 2 * m[..., 1, 1] - trace,
                    m[..., 1, 2] + m[..., 2, 1],
                ],
                -1,
            ),
            torch.stack(
                [
                    m[..., 1, 0] - m[..., 0, 1],
                    m[..., 0, 2] + m[..., 2, 0],
                    m[..., 1, 2] + m[..., 2, 1],
                    1 + 2 * m[..., 2, 2] - trace,
                ],
                -1,
            ),
        ],
        -2,
    )  # (..., 4 candidates, 4)
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = torch.take_along_dim(candidates, best[..., None, None], -2).squeeze(-2)
    quaternion = torch.nn.functional.normalize(quaternion, dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    vector = quaternion[..., 1:]
    sine = vector.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quaternion[..., :1])
    return torch.where(sine < 1e-7, 2 * vector, vector / sine.clamp_min(1e-12) * angle)


def matrix_to_openface_angles(rotation: Tensor) -> Tensor:
    """Head pose as OpenFace writes it: `pose_Rx` (pitch), `pose_Ry` (yaw), `pose_Rz` (roll).

    OpenFace's camera frame has x right, y down, z away from the viewer, and R = Rx · Ry · Rz there. Ours has y up and z
    towards the viewer, so R is conjugated by diag(1, -1, -1) first.

    Args:
        rotation: (..., 3, 3), head frame to camera frame as in `CoarseSequence.rotation`.

    Returns:
        (..., 3) radians.
    """
    flip = torch.tensor([1.0, -1.0, -1.0], dtype=rotation.dtype, device=rotation.device)
    r = flip[:, None] * rotation * flip
    yaw = torch.asin(r[..., 0, 2].clamp(-1, 1))
    pitch = torch.atan2(-r[..., 1, 2], r[..., 2, 2])
    roll = torch.atan2(-r[..., 0, 1], r[..., 0, 0])
    return torch.stack([pitch, yaw, roll], -1)
