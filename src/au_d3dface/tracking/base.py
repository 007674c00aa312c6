"""What tracking hands on: landmarks of every person in every frame.

Landmarks are in the image frame: x right and y down in pixels from the top left corner of the top left pixel, z away
from the camera in the same pixels, zero near the middle of the head (MediaPipe's frame, scaled to pixels).
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

NUM_FACE_LANDMARKS = 468
NUM_LANDMARKS = 478
"""468 points of the face, then 5 an iris, centre first: 468-472 of the subject's right eye, 473-477 of the left."""


class LandmarkTracker(Protocol):
    """Finds the faces of one frame after the other. Frames must be given in order of time."""

    def __call__(self, image: np.ndarray, timestamp: float) -> list[np.ndarray]:
        """Landmarks of every face found.

        Args:
            image: (H, W, 3) uint8 RGB.
            timestamp: seconds; increases from call to call.

        Returns:
            A list of (478, 3) float32 arrays in the image frame, in no particular order.
        """
        ...

    def close(self) -> None:
        """Releases the tracker's memory; it cannot be called afterwards."""
        ...


@dataclass
class TrackedFace:
    """One person through the whole video.

    Attributes:
        face_id: 0 for the first person seen, then upwards.
        landmarks: (T, 478, 3) float32, image frame; NaN where not valid.
        valid: (T,) bool, whether the person was found in the frame.
    """

    face_id: int
    landmarks: np.ndarray
    valid: np.ndarray

    @property
    def mean_area(self) -> float:
        """Mean area of the landmarks' box over the person's valid frames, square pixels."""
        points = self.landmarks[self.valid][..., :2]
        if not len(points):
            return 0.0
        return float(np.prod(points.max(1) - points.min(1), axis=-1).mean())

    @property
    def prominence(self) -> float:
        """Size (the root of the area) summed over valid frames: the largest face of a video has the greatest.

        Not the area: a print on a shirt that is large for a while should not outdo the person who is there throughout.
        """
        return self.mean_area**0.5 * float(self.valid.sum())


@dataclass
class TrackedVideo:
    """Everyone in a video.

    Attributes:
        timestamps: (T,) float64 seconds from the first frame, one for every frame of the input.
        height, width: pixels, after rotation metadata.
        faces: every person, by `face_id`; empty where no face was found.
        warnings: sentences for people (a file cut short, people left out).
    """

    timestamps: np.ndarray
    height: int
    width: int
    faces: list[TrackedFace]
    warnings: list[str] = field(default_factory=list)

    @property
    def largest(self) -> TrackedFace | None:
        """The person with the greatest prominence, or None where no face was found."""
        return max(self.faces, key=lambda face: face.prominence, default=None)
