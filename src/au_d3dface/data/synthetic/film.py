"""What is kept of a filmed sequence beside its tracked landmarks: its pictures, and the true points in them.

`pictures_00000.npz` lies beside `sequences_00000.npz` and holds, of the same n sequences of T frames each: `jpeg`
(B,) uint8, the files of all frames one after the other as the tracker saw them; `offsets` (n · T + 1,) int64, where
each begins and the last one ends; `landmarks_468` (n, T, 468, 2) float32 pixels, `visible` (n, T, 468) bool and
`rotation` (n, T, 3, 3) float32, all of the true head and camera. stored_pictures.py reads it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointError
from ...export.files import atomic_path
from ...face_models.ict import PARTS, ICTFaceKit
from ...geometry import vertex_normals
from ...rendering.rasterizer import rasterize
from .filming import FilmedFrame
from .scenes import Camera

_THICKNESS = 0.002
"""Metres by which skin must lie before a point to hide it: pressed lips and closed lids touch the point they meet."""


class Film:
    """The frames of one sequence, and the truth about them.

    Args:
        head: the kit with `part="head"`.

    Attributes:
        jpegs: T files. landmarks: T times (468, 2) float32 pixels, x right, y down from the picture's corner, of the
            468 points on the true head. visible: T times (468,) bool, see `visible_points`.
        rotation: T times (3, 3) float32, head frame to camera frame (x right, y up, z towards the viewer).

    Raises:
        CheckpointError: the kit has no 468 points.
    """

    def __init__(self, head: ICTFaceKit) -> None:
        if head.landmarks_468 is None:
            raise CheckpointError("This ICT-FaceKit has no places of the 468 landmarks; take the kit's own files.")
        self.embedding = head.landmarks_468
        self.faces = head.faces
        self.skin = head.faces[head.faces.amax(1) < PARTS["neck"].stop]
        self.jpegs: list[bytes] = []
        self.landmarks: list[np.ndarray] = []
        self.visible: list[np.ndarray] = []
        self.rotation: list[np.ndarray] = []

    def add(self, frame: FilmedFrame) -> None:
        """Keeps a frame."""
        height, width = frame.picture.shape[:2]
        points = self.embedding(frame.vertices, self.faces)
        normals = self.embedding(vertex_normals(frame.vertices, self.skin), self.faces)
        seen = visible_points(points, normals, frame.vertices, self.skin, frame.camera, height, width)
        self.jpegs.append(frame.jpeg)
        self.landmarks.append(frame.camera.project(points)[:, :2].float().numpy())
        self.visible.append(seen.numpy())
        self.rotation.append(frame.camera.rotation.astype(np.float32))


def visible_points(
    points: Tensor, normals: Tensor, vertices: Tensor, faces: Tensor, camera: Camera, height: int, width: int
) -> Tensor:
    """Which points of a surface are seen in a picture.

    A point is seen where it lies in the picture, its surface faces the camera, and no surface lies more than 2 mm
    before it at all four pixels around it: a point within a pixel of the edge of what hides it counts as seen.

    Args:
        points, normals: (L, 3) metres in the head frame, and the surface's direction there, of any length.
        vertices, faces: (V, 3) metres and (F, 3), the surface that may hide them.
        height, width: of the picture, pixels.

    Returns:
        (L,) bool.
    """
    depth = rasterize(camera.project(vertices)[None], faces, height, width, cull_backfaces=True).depth[0]
    x, y, z = camera.project(points).unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    left, top = (x - 0.5).floor().long(), (y - 0.5).floor().long()  # the pixel centre up and left of the point
    around = [(top + down, left + right) for down in (0, 1) for right in (0, 1)]
    farthest = torch.stack([depth[row.clamp(0, height - 1), column.clamp(0, width - 1)] for row, column in around])
    to_camera = torch.from_numpy(camera.rotation.T @ np.array([0.0, 0.0, camera.distance])).to(points) - points
    return inside & ((normals * to_camera).sum(-1) > 0) & (z - farthest.amax(0) <= _THICKNESS * camera.scale)


def write_films(films: Sequence[Film], target: Path) -> None:
    """Writes films of one length, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    files = [jpeg for film in films for jpeg in film.jpegs]
    with atomic_path(target) as temporary:
        np.savez(
            temporary,
            jpeg=np.frombuffer(b"".join(files), np.uint8),
            offsets=np.cumsum([0, *map(len, files)], dtype=np.int64),
            landmarks_468=np.array([film.landmarks for film in films]),
            visible=np.array([film.visible for film in films]),
            rotation=np.array([film.rotation for film in films]),
        )
