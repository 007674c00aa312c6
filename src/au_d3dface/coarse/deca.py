"""DECA (Feng et al. 2021) and what EMOCA shares with it: coefficients of FLAME from every frame, by a frozen network.

Per frame the network looks at a crop alone. Here a person has one identity, the robust mean over the valid frames, and
both S̄ (no expression, jaw closed) and S_j are made of it, so that S_j - S̄ is expression and jaw and nothing else. The
head's rotation is no part of the mesh but of the camera. Pictures are read as a stream, and none is kept.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError, InputError, NoFaceError, UsageError
from ..face_models import FaceModel
from ..face_models.flame import FLAME
from ..face_models.ibug68 import IBUG_68_OF_468
from ..geometry import weak_perspective
from ..tracking import TrackedFace
from .base import CoarseSequence, timeline
from .deca_crop import CropBox, deca_box, deca_crop
from .deca_encoder import CROP_SIZE, DECACoefficients, DECAEncoder

BATCH = 32
"""Crops that go through the network, and frames whose meshes are made, at a time."""

INNER = slice(17, 68)
"""Of the 68 landmarks, those that are not of the jaw line, whose place on the face depends on where it is seen from."""

EYE_CORNERS = (36, 45)
"""Outer eye corners among the 68 landmarks."""

_ROWS = np.array(IBUG_68_OF_468)


class DECA:
    """DECA's encoder on FLAME; a `CoarseReconstructor`.

    Args:
        encoder: of `deca_files.load_encoder`; moved to the face model's device, and to half precision on a GPU.
        face_model: FLAME 2020, whose coefficients DECA was trained on, converted with landmarks.

    Raises:
        UsageError: another face model.
        CheckpointError: another release of FLAME, or one without landmarks.
    """

    name = "deca"
    needs_frames = True
    takes_neutral = False

    def __init__(self, encoder: DECAEncoder, face_model: FaceModel) -> None:
        if not isinstance(face_model, FLAME):
            raise UsageError(
                f"the coarse reconstructor {self.name!r} needs the face model 'flame', not {face_model.name!r}"
            )
        face_model.require_version("2020", f"the coefficients of {self.name.upper()}")
        if face_model.landmarks_68 is None:
            raise CheckpointError(
                f"{self.name.upper()} needs FLAME's landmarks, and this FLAME was converted without: convert it again "
                "with landmark_embedding.npy"
            )
        self.face_model = face_model
        device = face_model.template.device
        self.precision = torch.float16 if device.type == "cuda" else torch.float32
        self.encoder = encoder.to(device, self.precision).eval()

    @torch.no_grad()
    def __call__(
        self,
        face: TrackedFace,
        neutral_landmarks: Tensor | None = None,
        frames: Iterable[tuple[int, np.ndarray]] | None = None,
    ) -> CoarseSequence:
        """Reconstructs one person: see `CoarseReconstructor`.

        Raises:
            NoFaceError: the person is valid in no frame.
            InputError: `frames` ends before the person's last valid frame.
            UsageError: landmarks of a neutral picture: a face at rest is one without expression here.
            ValueError: no `frames`.
        """
        if frames is None:
            raise ValueError(f"the coarse reconstructor {self.name!r} looks at pictures: give it frames")
        if neutral_landmarks is not None:
            raise UsageError(f"the coarse reconstructor {self.name!r} takes no neutral picture; leave it out")
        boxes = _boxes(face)
        if not boxes:
            raise NoFaceError(f"Face {face.face_id} was found in no frame, so there is nothing to reconstruct.")
        rows, coefficients = self.encode(boxes, frames)
        if missing := set(boxes) - set(rows.tolist()):
            raise InputError(f"the video has fewer frames when it is read again: frame {min(missing) + 1} is not there")
        finite = coefficients.code.isfinite().all(1)  # half precision can overflow on a picture unlike any face
        if not finite.any():
            raise NoFaceError(f"{self.name.upper()} gives no finite numbers for any picture of face {face.face_id}.")
        return self.assemble(face, boxes, rows[finite], DECACoefficients.split(coefficients.code[finite]))

    def encode(
        self, boxes: dict[int, CropBox], frames: Iterable[tuple[int, np.ndarray]]
    ) -> tuple[Tensor, DECACoefficients]:
        """The network over the frames that have a box, in batches.

        Returns:
            (K,) their rows, and their coefficients, float32 on the CPU.
        """
        rows, codes = [], []
        for some, crops in _batches(boxes, frames):
            rows += some
            codes.append(self.encoder(crops.to(self.face_model.template.device, self.precision)).code.float().cpu())
        code = torch.cat(codes) if codes else torch.zeros(0, 236)
        return torch.tensor(rows, dtype=torch.long), DECACoefficients.split(code)

    def assemble(
        self, face: TrackedFace, boxes: dict[int, CropBox], rows: Tensor, coefficients: DECACoefficients
    ) -> CoarseSequence:
        """Makes one person of the coefficients of K frames, and puts them into the timeline.

        Args:
            face: the person.
            boxes: the crop of each row.
            rows: (K,) frames of the coefficients, increasing, at least one.
        """
        valid = torch.zeros(len(face.valid), dtype=torch.bool)
        valid[rows] = True
        shape = robust_mean(coefficients.shape)
        pose = torch.cat([coefficients.rotation, coefficients.jaw], 1)
        neutral = self._model(shape, torch.zeros(coefficients.expression.shape[1]))
        vertices = neutral.repeat(len(valid), 1, 1)
        tracked = torch.from_numpy(face.landmarks[:, _ROWS, :2])
        parts = []
        for chunk in range(0, len(rows), BATCH):
            some = slice(chunk, chunk + BATCH)
            rest, rotation, offset = self._head_pose(shape, coefficients.expression[some], pose[some])
            meshes = self._model(shape, coefficients.expression[some], rest)
            vertices[rows[some]] = meshes
            crops = [boxes[row] for row in rows[some].tolist()]
            scale, translation = frame_camera(coefficients.camera[some], offset, crops)
            seen = weak_perspective(self._landmarks(meshes), rotation, scale, translation)[..., :2]
            misfit = (seen - tracked[rows[some]])[:, INNER].square().sum(-1).mean(-1).sqrt() / scale.abs()
            parts.append((rest, rotation, scale, translation, misfit))
        rest, rotation, scale, translation, misfit = (torch.cat(values) for values in zip(*parts, strict=True))
        right, left = self._landmarks(neutral)[list(EYE_CORNERS)]
        return CoarseSequence(
            shape=shape,
            expression=timeline(coefficients.expression, valid, 0.0),
            vertices=vertices,
            neutral_vertices=neutral,
            rotation=timeline(rotation, valid, torch.eye(3)),
            scale=timeline(scale, valid, 1.0),
            translation=timeline(translation, valid, 0.0),
            valid=valid,
            residual=timeline(misfit / (right - left).norm(), valid, float("nan")),
            pose=timeline(rest, valid, 0.0),
            texture=robust_mean(coefficients.texture),
            lighting=timeline(coefficients.lighting, valid, 0.0).unflatten(1, (9, 3)),
            frame_shape=timeline(coefficients.shape, valid, shape),
        )

    def _model(self, *coefficients: Tensor) -> Tensor:
        """Vertices on the CPU, made on the face model's device."""
        return self.face_model(*(values.to(self.face_model.template.device) for values in coefficients)).cpu()

    def _head_pose(self, *coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`FLAME.separate_head_pose`, on the CPU."""
        device = self.face_model.template.device
        rest, rotation, offset = self.face_model.separate_head_pose(*(values.to(device) for values in coefficients))
        return rest.cpu(), rotation.cpu(), offset.cpu()

    def _landmarks(self, vertices: Tensor) -> Tensor:
        """(..., V, 3) to the 68 landmarks (..., 68, 3)."""
        return self.face_model.landmarks_68(vertices, self.face_model.faces.cpu())


def frame_camera(camera: Tensor, offset: Tensor, boxes: list[CropBox]) -> tuple[Tensor, Tensor]:
    """DECA's camera, which looks at a crop, as the camera of Eq. 12 over the whole frame.

    DECA puts the posed point x' = R x + offset at s (x' + t') in the crop, sides at -1 and 1, y up, and lands at sample
    (1 + X) · 112, (1 - Y) · 112 of the crop. A sample is side / 223 pixels of the frame.

    Args:
        camera: (T, 3), s, tx, ty.
        offset: (T, 3) metres, what turning the head about FLAME's root joint adds to a rotation about the origin.
        boxes: the crop of each frame.

    Returns:
        scale (T,), pixels per metre, and translation (T, 2), pixels, of `weak_perspective`.
    """
    corner = camera.new_tensor([[box.left, box.top] for box in boxes], dtype=torch.float64)
    step = camera.new_tensor([box.step for box in boxes], dtype=torch.float64)
    half = step * (CROP_SIZE / 2)  # pixels of the frame that half the crop's side is
    size, shift = camera[:, 0].double(), (camera[:, 1:] + offset[:, :2]).double()
    moved = size[:, None] * shift * shift.new_tensor([1.0, -1.0])
    # The crop counts from the middle of the first pixel, the image frame from its corner.
    translation = corner + 0.5 + half[:, None] * (1 + moved)
    return (size * half).to(camera.dtype), translation.to(camera.dtype)


def robust_mean(values: Tensor) -> Tensor:
    """(K, S) to (S,): the mean, in which rows far from the rest (a turned head, a hand before the face) hardly count.

    Weights are 1 / (1 + d² / median d²), d the distance to the mean itself; it starts at the median.
    """
    centre = values.median(0).values
    for _ in range(10):
        squared = (values - centre).square().sum(1)
        weights = 1 / (1 + squared / squared.median().clamp_min(1e-12))
        centre = (weights[:, None] * values).sum(0) / weights.sum()
    return centre


def _boxes(face: TrackedFace) -> dict[int, CropBox]:
    """The crop of every frame that has one, by row."""
    boxes = {}
    for row in np.flatnonzero(face.valid & np.isfinite(face.landmarks).all((1, 2))).tolist():
        try:
            boxes[row] = deca_box(face.landmarks[row])
        except ValueError:  # smaller than a pixel: there is nothing to see
            continue
    return boxes


def _batches(boxes: dict[int, CropBox], frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[list[int], Tensor]]:
    """Rows and (B, 3, 224, 224) crops of the frames that have a box, BATCH at a time."""
    rows: list[int] = []
    crops: list[np.ndarray] = []
    for row, image in frames:
        if row in boxes:
            rows.append(row)
            crops.append(deca_crop(image, boxes[row]))
        if len(rows) == BATCH:
            yield rows, torch.from_numpy(np.stack(crops))
            rows, crops = [], []
    if rows:
        yield rows, torch.from_numpy(np.stack(crops))
