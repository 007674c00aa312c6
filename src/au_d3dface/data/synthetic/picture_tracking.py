"""Landmarks of single pictures as MediaPipe Face Mesh gives them in a video."""

import os

import numpy as np


class PictureTracker:
    """MediaPipe Face Mesh 0.10.21 in video mode, shown every picture several times.

    In video mode the crop around the face follows the landmarks of the frame before. Shown one picture again and again,
    the crop settles where it would be in a video of a face at rest. From where nine passes leave the points of a face
    140 pixels wide, one pass is off by 1.0 pixel (median over renders, root mean square over points), three by 0.2. The
    wheel's legacy solution smooths nothing over time, so this is a video's answer.

    Args:
        passes: times that a picture is shown.
    """

    def __init__(self, passes: int = 3) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")
        from mediapipe.python.solutions.face_mesh import FaceMesh  # seconds to import, and only needed here

        self.passes = passes
        self._mesh = FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)

    def __call__(self, picture: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB to (478, 3) float32 in the image frame (x and z times the width, y times the height)."""
        for _ in range(self.passes):
            result = self._mesh.process(picture)
        if not result.multi_face_landmarks:
            return None
        points = np.array([(p.x, p.y, p.z) for p in result.multi_face_landmarks[0].landmark], dtype=np.float32)
        height, width = picture.shape[:2]
        return points * np.array([width, height, width], dtype=np.float32)

    def close(self) -> None:
        self._mesh.close()
