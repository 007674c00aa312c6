"""What L_img and L_lmk (Eq. 12-13) compare meshes with on a benchmark, made when a training clip is taken.

Pictures are read from the user's own copy and cut to squares about the face, those that the video branch sees; camera
and landmarks go with them into the squares' pixels, and the skin is found in each. L_lmk alone reads no picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..coarse import Appearance, SkinMasker, SkinPlaces
from ..errors import InputError
from ..face_models import FLAME, FaceModel
from ..video.pictures import read_picture
from ..video_processing_au_d3dface import BOX_SCALE, crop_face
from .benchmark_crops import check_pictures
from .benchmark_rows import LabelledSequence
from .prepared_views import TEXTURE_SIZE, PreparedView, read_prepared_view

JAW_LINE = 17
"""Of the 68 landmarks the first, whose place on FLAME's mesh depends on where it is seen from: not compared there."""

MASK_SIZE = 256
"""Pixels a side, about, of the squares in which skin is looked for: the face then has as many as `SkinMasker` takes."""


@dataclass
class Viewer:
    """What the sequences of a data set have in common.

    Attributes:
        face_model: on the CPU, as is all that clips are made with.
        size: S, pixels a side of the squares.
        meshes: `ClipMeshes` or `FLAMEClipMeshes` on the CPU; None where no pictures are wanted.
        deca_texture: whether the meshes are painted with DECA's own texture and light.
    """

    face_model: FaceModel
    size: int
    meshes: nn.Module | None = None
    deca_texture: bool = False

    def __post_init__(self) -> None:
        self.places = None if self.meshes is None else SkinPlaces(self.face_model, TEXTURE_SIZE)


class SequenceViews:
    """How the face of a sequence of T labelled frames is seen.

    Args:
        sequence: joined with prepared faces, with a face in some frame.
        viewer: of the data set.

    Raises:
        InputError: the prepared file cannot be read or lacks what is wanted, or a frame with a face has no picture.
    """

    def __init__(self, sequence: LabelledSequence, viewer: Viewer) -> None:
        self.viewer, self.pictures = viewer, sequence.pictures
        self.rows = torch.from_numpy(sequence.prepared_rows)
        view = read_prepared_view(str(sequence.prepared), viewer.face_model)
        assert view is not None
        check_view(view, sequence, viewer)
        self.view = view

    def __call__(
        self,
        frames: Tensor,
        mask: Tensor,
        clip: dict[str, Tensor],
        read: Callable[[Path], np.ndarray] = read_picture,
    ) -> dict[str, Tensor]:
        """Of some of the T frames; entries where the mask is false compare nothing.

        Args:
            frames: (L,). mask: (L,) bool.
            clip: the coefficients of these frames, as `Viewer.meshes` takes them, without a batch.
            read: reads a picture.

        Returns:
            In pixels of S x S squares: `rotation` (L, 3, 3), `scale` (L,), `translation` (L, 2), `tracked_landmarks`
            (L, 68, 2) and `visible` (L, 68) bool. With meshes also `pictures` (L, S, S, 3) uint8, `skin` (L, S, S)
            bool, `lighting` (L, 9, 3), and `texture`: (R, R, 3) over uv, (V, 3) at the vertices, or (A,) coefficients
            of DECA.

        Raises:
            InputError: a picture cannot be read or has another size than it had.
        """
        view, size, length = self.view, self.viewer.size, len(frames)
        at, shown = self.rows[frames][mask], mask.nonzero()[:, 0]
        rotation, scale = torch.eye(3).repeat(length, 1, 1), torch.ones(length)
        translation, landmarks = torch.zeros(length, 2), torch.zeros(length, 68, 2)
        visible = torch.zeros(length, 68, dtype=torch.bool)
        assert view.landmarks is not None
        assert view.corners is not None
        corner, ratio = squares(view.corners[at], size)
        rotation[shown], scale[shown] = view.rotation[at], view.scale[at] * ratio
        translation[shown] = (view.translation[at] - corner) * ratio[:, None]
        landmarks[shown] = (view.landmarks[at] - corner[:, None]) * ratio[:, None, None]
        inside = (view.landmarks[at] >= 0) & (view.landmarks[at] <= torch.tensor([view.width, view.height]))
        visible[shown] = inside.all(-1)  # what the tracker sees beyond the picture is a guess
        if isinstance(self.viewer.face_model, FLAME):
            visible[:, :JAW_LINE] = False
        seen = {
            **{"rotation": rotation, "scale": scale, "translation": translation},
            **{"tracked_landmarks": landmarks, "visible": visible},
        }
        return seen if self.viewer.meshes is None else seen | self._pictures(frames, mask, clip, read)

    def _pictures(
        self, frames: Tensor, mask: Tensor, clip: dict[str, Tensor], read: Callable[[Path], np.ndarray]
    ) -> dict[str, Tensor]:
        view, viewer, size = self.view, self.viewer, self.viewer.size
        pictures = torch.zeros(len(frames), size, size, 3, dtype=torch.uint8)
        skin, lighting = torch.zeros(len(frames), size, size, dtype=torch.bool), torch.zeros(len(frames), 9, 3)
        assert view.appearance is not None
        assert view.corners is not None
        appearance = Appearance(**{name: value.float() for name, value in vars(view.appearance).items()})
        masker = SkinMasker(viewer.face_model, appearance, places=viewer.places)
        light = view.lighting if viewer.deca_texture else appearance.lighting
        texture = view.texture if viewer.deca_texture else appearance.albedo
        assert viewer.meshes is not None
        assert light is not None
        assert texture is not None
        vertices = viewer.meshes({name: value[None] for name, value in clip.items()})["vertices"][0]
        step = max(1, round(MASK_SIZE / size))
        corner, ratio = squares(view.corners[self.rows[frames].clamp_min(0)], size * step)
        for entry in mask.nonzero()[:, 0].tolist():
            frame = int(frames[entry])
            path, row = Path(str(self.pictures[frame])), int(self.rows[frame])
            picture = read(path)
            if picture.shape[:2] != (view.height, view.width):
                raise InputError(
                    f"{path} is {picture.shape[1]} x {picture.shape[0]} pixels, but the faces were prepared from "
                    f"pictures of {view.width} x {view.height}; prepare them again"
                )
            square = crop_face(picture, view.corners[row].numpy(), size * step)
            found = masker.of_mesh(
                square.permute(1, 2, 0).numpy(),
                vertices[entry],
                view.rotation[row],
                view.scale[row] * ratio[entry],
                (view.translation[row] - corner[entry]) * ratio[entry],
                appearance.lighting[row],
            )
            places = (torch.arange(size * step) + 0.5)[:, None] / ratio[entry] + corner[entry]
            inside = (places >= 0) & (places <= torch.tensor([view.width, view.height]))
            found &= inside[:, 1, None] & inside[:, 0]  # beyond the picture the square is black
            small = avg_pool2d(square[None].float(), step)[0].round().byte()
            pictures[entry] = small.permute(1, 2, 0)
            skin[entry] = found.view(size, step, size, step).all(3).all(1)  # all that a pixel covers
            lighting[entry] = light[row]
        return {"pictures": pictures, "skin": skin, "lighting": lighting, "texture": texture}


def squares(corners: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The squares that `crop_face` cuts out about boxes.

    Args:
        corners: (K, 2, 2) pixels, top left and bottom right of the boxes. size: pixels a side of the squares.

    Returns:
        (K, 2) top left corners in the picture, and (K,) pixels of the square for one of the picture.
    """
    sides = (corners[:, 1] - corners[:, 0]).mean(1) * BOX_SCALE
    return corners.mean(1) - sides[:, None] / 2, size / sides


def check_view(view: PreparedView, sequence: LabelledSequence, viewer: Viewer) -> None:
    """Raises InputError where a prepared file or a copy lacks what the losses compare with."""
    path = sequence.prepared
    if view.landmarks is None or view.corners is None:
        raise InputError(
            f"{path} was prepared by an earlier version, without the 2D landmarks that L_lmk and L_img need; prepare "
            "the data again into another folder, or set training.weight_landmarks and training.weight_image to 0"
        )
    at = sequence.prepared_rows[sequence.usable]
    if not (view.corners[at, 1] > view.corners[at, 0]).all():
        raise InputError(f"{path} is damaged: it has no landmarks in frames with a face; prepare it again")
    if viewer.meshes is None:
        return
    if view.appearance is None:
        raise InputError(
            f"{path} was prepared without the person's colours, which L_img compares with the pictures; prepare the "
            "data with `au-d3dface prepare --appearance` into another folder, or set training.weight_image to 0"
        )
    if viewer.deca_texture and (view.texture is None or view.lighting is None):
        raise InputError(f"{path} is damaged: DECA's texture or light is missing; prepare it again")
    check_pictures(sequence, "which L_img compares with", "training.weight_image to 0")
