"""What 2D landmarks say of rest and camera beyond the frozen coarse model, before training.

L_lmk compares the refined mesh with landmarks in the picture. Where the coarse model has the resting face wrong, by
millimetres, or the head too low whenever the jaw drops, the motion decoder would learn these errors as if they were
motion. So the landmarks first correct, for each person, the face at rest, within the face model's identities and from
frames whose labels show no action unit (or, where there are none, mostly from those near the coarse rest); and, for
each frame, the camera, mostly from points that expressions hardly move. Both serve training alone.
"""

import torch
from torch import Tensor

from ..data.synthetic.picture_pool import PicturePool
from ..data.synthetic.pool import SequencePool
from ..data.synthetic.trajectories import PRESENCE_THRESHOLD
from ..face_models import FaceModel, LandmarkEmbedding
from ..geometry import axis_angle_to_matrix

ROUNDS, STEPS = 2, 3
"""Rounds of rest and cameras, and Gauss-Newton steps of each round's cameras."""

FEW = 3.0
"""Frames at rest, about as many as are needed to believe what no identity of the face model explains."""

CALM, OTHERS = 0.0015, 0.02
"""What a frame with action units counts at most, beside one without (OTHERS), and the metres of root mean square motion
from the coarse rest at which it counts 0.6 of that (CALM)."""

_ERROR, _CORRELATED = 1e-3, 50.0
"""Metres of one landmark's own error, and how many count as one: errors of a person and of neighbours are alike."""


@torch.no_grad()
def align_to_landmarks(
    pool: SequencePool,
    pictures: PicturePool,
    face_model: FaceModel,
    landmarks: Tensor,
    embedding: LandmarkEmbedding,
    rows: list[int],
) -> tuple[Tensor, PicturePool]:
    """Offsets at rest, and the pictures with better cameras.

    Args:
        pool, pictures: of the same n sequences.
        landmarks: (n, T, 468, 2) pixels.
        embedding: of `rows` of the 468 points on the face model.

    Returns:
        (n, P, 3) metres to be added to the landmarks on every mesh of a person; and `pictures` with other rotation,
        scale and translation.
    """
    offsets, cameras = [], []
    identities = embedding(face_model.shape_basis, face_model.faces)  # (K, P, 3)
    for index in range(len(pool)):
        points = embedding(pool.vertices(index), face_model.faces)  # (T, P, 3)
        rest = embedding(pool.neutral[index], face_model.faces)
        motion = points - rest
        known = (pictures.visible[index][:, rows] & pool.valid[index][:, None]).float()
        camera = pictures.rotation[index], pictures.scale[index], pictures.translation[index]
        labelled = (pool.intensity[index].amax((1, 2)) < PRESENCE_THRESHOLD)[:, None]
        calm = OTHERS * torch.exp(-0.5 * motion.square().sum(-1).mean(-1, keepdim=True) / CALM**2)
        calm = known * torch.where(labelled, 1.0, calm)
        resting = torch.where(labelled[..., None], rest, points)
        # Where expressions move a point, the coarse mesh errs in proportion.
        steady = known / (_ERROR**2 + (motion.square().sum(-1) * known).sum(0) / known.sum(0).clamp_min(1))
        coefficients = identities.new_zeros(len(identities))
        for _ in range(ROUNDS):
            coefficients = _at_rest(resting, camera, landmarks[index][:, rows], calm, identities)
            placed = points + torch.tensordot(coefficients, identities, dims=1)
            for _ in range(STEPS):
                camera = _better_camera(placed, camera, landmarks[index][:, rows], steady)
        person = torch.tensordot(coefficients, identities, dims=1)
        # What no identity explains, in the plane of the picture; of depth nothing is known.
        missing = _missing(resting + person, camera, landmarks[index][:, rows])[1]
        left = torch.einsum("tpd,tdc,tp->pc", missing, camera[0][:, :2], calm) / (calm.sum(0) + FEW)[:, None]
        offsets.append(person + left)
        cameras.append(camera)
    rotation, scale, translation = (torch.stack(parts) for parts in zip(*cameras, strict=True))
    return torch.stack(offsets), pictures.seen_by(rotation, scale, translation)


Camera = tuple[Tensor, Tensor, Tensor]
"""rotation (T, 3, 3), scale (T,), translation (T, 2) of Eq. 12."""


def _missing(points: Tensor, camera: Camera, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """(T, P, 3) points after the rotation, and (T, P, 2) metres, y up, from there to the landmarks in the picture."""
    rotation, scale, translation = camera
    place = (landmarks - translation[:, None]) / scale[:, None, None] * landmarks.new_tensor([1.0, -1.0])
    turned = points @ rotation.mT
    return turned, place - turned[..., :2]


def _at_rest(points: Tensor, camera: Camera, landmarks: Tensor, weight: Tensor, identities: Tensor) -> Tensor:
    """(K,) identity coefficients, of unit variance over people, that the landmarks add to a person."""
    _, missing = _missing(points, camera, landmarks)
    turned = torch.einsum("kpc,tdc->tkpd", identities, camera[0][:, :2])
    weight = weight / (_ERROR**2 * _CORRELATED)
    left = torch.einsum("tkpd,tlpd,tp->kl", turned, turned, weight)
    right = torch.einsum("tkpd,tpd,tp->k", turned, missing, weight)
    return torch.linalg.solve(left + torch.eye(len(left)), right)


def _better_camera(points: Tensor, camera: Camera, landmarks: Tensor, weight: Tensor) -> Camera:
    """One Gauss-Newton step of weighted least squares over turn, size and shift; frames without landmarks stay."""
    turned, missing = _missing(points, camera, landmarks)
    x, y, z = turned.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # How x and y change with a turn about x, y and z, with the logarithm of size, and with a shift.
    rows = torch.stack([torch.stack([zero, z, -y, x, one, zero], -1), torch.stack([-z, zero, x, y, zero, one], -1)], -2)
    left = torch.einsum("tpdi,tpdj,tp->tij", rows, rows, weight)
    right = torch.einsum("tpdi,tpd,tp->ti", rows, missing, weight)
    damping = 1e-6 * left.diagonal(dim1=1, dim2=2) + 1e-9
    step = torch.linalg.solve(left + torch.diag_embed(damping), right)
    rotation, scale, translation = camera
    flip = step.new_tensor([1.0, -1.0])
    return (
        axis_angle_to_matrix(step[:, :3]) @ rotation,
        scale * step[:, 3].exp(),
        translation + scale[:, None] * flip * step[:, 4:],
    )
