"""Eq. 12-13 in training: the refined mesh is rendered with the coarse model's camera, texture and light.

What comes out are the arguments of `losses.image_loss` and `losses.landmark_loss`. Nothing here sees true meshes.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..face_models import FaceModel
from ..face_models.flame_albedo import FLAMEAlbedo
from ..face_models.ibug68 import IBUG_68_OF_468
from ..outputs_au_d3dface import AUD3DFaceReconstructionOutput
from ..rendering import MeshRenderer
from .arguments import DataArguments
from .landmark_alignment import align_to_landmarks

if TYPE_CHECKING:
    from .synthetic_data import SyntheticPools


class WeakSupervision:
    """From refined vertices and a batch with pictures (`PicturePool.clip`, `SequenceViews`) to what the losses compare.

    Args:
        face_model: gives faces, uv and the places of landmarks.
        size: pixels a side of the pictures.
        points: 68 or 468, the landmarks compared.
        batched: how many landmarks of a frame a batch has: all 468, or only the points compared.
        tracked: compares with the tracker's landmarks rather than with the true ones.
        weights: of the losses by name, which tell which terms are wanted; a picture is rendered for L_img alone.
        offsets: (n, P, 3) metres, what L_lmk adds to the landmarks of each sequence (landmark_alignment.py), or None.
            L_img adds nothing: its texture was taken from the frames where the coarse mesh lies.
        albedo: makes maps of the batch's `texture`, where these are DECA's coefficients; the face model is FLAME then.
        device: of the vertices that it will be given.
    """

    def __init__(
        self,
        face_model: FaceModel,
        weights: dict[str, float],
        size: int,
        points: int = 68,
        batched: int = 468,
        tracked: bool = False,
        offsets: Tensor | None = None,
        albedo: FLAMEAlbedo | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.faces, self.weights, self.size = face_model.faces.to(device), weights, size
        self.embedding = face_model.landmarks_68 if points == 68 else face_model.landmarks_468
        self.rows = list(IBUG_68_OF_468) if points == 68 and batched == 468 else list(range(points))
        self.offsets = None if offsets is None else offsets.to(device)
        self.targets = "tracked_landmarks" if tracked else "landmarks"
        self.albedo = None if albedo is None else albedo.to(device)
        uv, uv_faces = face_model.uv, None
        if albedo is not None:
            uv, uv_faces = face_model.texture_coordinates, face_model.texture_faces.to(device).long()
        self.renderer = MeshRenderer(self.faces, None if uv is None else uv.to(device), uv_faces)

    def __call__(self, output: AUD3DFaceReconstructionOutput, batch: dict[str, Tensor]) -> dict[str, dict[str, Any]]:
        """Arguments of the two terms by the names that `ReconstructionLoss` gives them.

        Args:
            output: with `vertices` (B, T, V, 3) metres, refined.
            batch: with the tensors of `PicturePool.clip` or `SequenceViews`, each with a leading B, and `frame_mask`
                (B, T). Without a weight for L_img none of pictures, skin, texture and light is looked at.
        """
        vertices, size = output.vertices, self.size
        mask = batch["frame_mask"].bool()
        camera = {name: batch[name] for name in ("rotation", "scale", "translation")}
        wanted: dict[str, dict[str, Any]] = {}
        if self.weights["landmarks"]:
            points = self.embedding(vertices, self.faces)
            if self.offsets is not None:
                points = points + self.offsets[batch["sequence"]].to(points)[:, None]
            wanted["landmarks"] = {
                "points": points,
                **camera,
                "landmarks": batch[self.targets][:, :, self.rows],
                "landmark_mask": batch["visible"][:, :, self.rows] & mask[..., None],
                "image_size": (size, size),
            }
        if self.weights["image"]:
            batches, frames = mask.shape
            texture = batch["texture"] if self.albedo is None else self.albedo(batch["texture"])
            paint = "texture" if texture.ndim == 4 else "colors"  # a map, or colours of the vertices
            texture = texture[:, None].expand(-1, frames, *texture.shape[1:]).flatten(0, 1)
            flat = {name: value.flatten(0, 1) for name, value in camera.items()}
            rendering = self.renderer.heads(
                vertices.flatten(0, 1), **flat, height=size, width=size,
                lighting=batch["lighting"].flatten(0, 1), **{paint: texture},
            )  # fmt: skip
            wanted["image"] = {
                "rendered": rendering.image.unflatten(0, (batches, frames)),
                "images": batch["pictures"] / 255,
                "skin_mask": batch["skin"],
                "frame_mask": mask,
            }
        return wanted


def weak_supervision(
    pools: "SyntheticPools",
    arguments: DataArguments,
    face_model: FaceModel,
    weights: dict[str, float],
    device: torch.device | str = "cpu",
) -> tuple[WeakSupervision, "SyntheticPools"]:
    """Of the rendered sequences of a run, whose pictures are there; and the pools, with corrected cameras if wanted."""
    tracked = arguments.landmark_source == "tracked"
    weak = WeakSupervision(
        face_model, weights, arguments.picture_size, arguments.landmarks, tracked=tracked, device=device
    )
    rendered, pictures = pools.rendered, pools.pictures
    if arguments.align_to_landmarks and rendered is not None and pictures is not None:
        landmarks = getattr(pictures, weak.targets)
        offsets, pictures = align_to_landmarks(rendered, pictures, face_model, landmarks, weak.embedding, weak.rows)
        weak.offsets, pools = offsets.to(device), replace(pools, pictures=pictures)
    return weak, pools
