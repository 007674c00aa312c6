"""Frames in, everyone's landmarks out. Pictures are looked at one after the other and not kept."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from ..errors import InputError
from .base import NUM_LANDMARKS, LandmarkTracker, TrackedFace, TrackedVideo
from .identities import FaceIdentities

# A person of so few frames, so much smaller than the main one and there for so small a part of the main one's time, is
# taken for a pattern in the background. All three must hold.
_STRAY_FRAMES = 5
_STRAY_SIDE = 1 / 3
_STRAY_SHARE = 1 / 8


class TimedImage(Protocol):
    """What tracking needs of a frame: `timestamp` in seconds and `image`, (H, W, 3) uint8 RGB."""

    @property
    def timestamp(self) -> float: ...

    @property
    def image(self) -> np.ndarray: ...


FrameT = TypeVar("FrameT", bound=TimedImage)


def iterate_faces(
    frames: Iterable[FrameT], tracker: LandmarkTracker, identities: FaceIdentities | None = None
) -> Iterator[tuple[FrameT, dict[int, np.ndarray]]]:
    """Tracks frame by frame, for live use: only the present frame and a summary of each person are held.

    Args:
        frames: in order of time.
        tracker: left open, and not to be shared with another video.
        identities: give one to read its counts, or to go on with the persons of an earlier part.

    Yields:
        Each frame with the (478, 3) landmarks of everyone in it by `face_id`.

    Raises:
        InputError: the picture size changes on the way.
    """
    identities = FaceIdentities() if identities is None else identities
    size = None
    for number, frame in enumerate(frames, start=1):
        image = frame.image
        if size is None:
            size = image.shape[:2]
        elif image.shape[:2] != size:
            raise InputError(
                f"frame {number} is {image.shape[1]} x {image.shape[0]} pixels and those before it {size[1]} x "
                f"{size[0]}: give pictures of one size"
            )
        yield frame, identities.assign(image, tracker(image, frame.timestamp), frame.timestamp)


def track_faces(
    frames: Iterable[TimedImage], tracker: LandmarkTracker, progress: Callable[[int], object] | None = None
) -> TrackedVideo:
    """Tracks a whole video.

    Memory grows by 6 kB a face and frame (the landmarks), not with the pictures.

    Args:
        frames: in order of time.
        tracker: left open, and not to be shared with another video.
        progress: called after every frame with the number of frames done.

    Returns:
        Everyone found, numbered in order of first appearance; `faces` is empty where there is no face. Whoever is left
        out as implausible (a few frames, tiny beside the main face) is counted in `warnings`.

    Raises:
        InputError: there are no frames, or the picture size changes on the way.
    """
    identities = FaceIdentities()
    timestamps: list[float] = []
    seen: dict[int, list[tuple[int, np.ndarray]]] = {}
    height = width = 0
    for index, (frame, faces) in enumerate(iterate_faces(frames, tracker, identities)):
        if index == 0:
            height, width = frame.image.shape[:2]
        timestamps.append(frame.timestamp)
        for face_id, landmarks in faces.items():
            seen.setdefault(face_id, []).append((index, landmarks))
        if progress is not None:
            progress(index + 1)
    if not timestamps:
        raise InputError("the input has no frames to look for faces in")
    for gone, person in identities.merged.items():
        while person in identities.merged:
            person = identities.merged[person]
        seen.setdefault(person, []).extend(seen.pop(gone, []))
    people = []
    for face_id in sorted(seen):
        landmarks = np.full((len(timestamps), NUM_LANDMARKS, 3), np.nan, dtype=np.float32)
        valid = np.zeros(len(timestamps), dtype=bool)
        for index, points in seen.pop(face_id):
            landmarks[index], valid[index] = points, True
        people.append(TrackedFace(face_id, landmarks, valid))
    kept, warnings = _without_strays(people)
    if identities.doubtful:
        warnings.append(
            f"{identities.doubtful} detections that resembled nobody, over a known face or where it had just been, "
            "were left out as faces being hidden"
        )
    for face_id, person in enumerate(kept):
        person.face_id = face_id
    times = np.array(timestamps, dtype=np.float64)
    return TrackedVideo(times - times[0], height, width, kept, warnings)


def _without_strays(people: list[TrackedFace]) -> tuple[list[TrackedFace], list[str]]:
    main = max(people, key=lambda person: person.prominence, default=None)
    if main is None:
        return people, []
    kept = [
        person
        for person in people
        if person.valid.sum() > min(_STRAY_FRAMES, _STRAY_SHARE * main.valid.sum())
        or person.mean_area > _STRAY_SIDE**2 * main.mean_area
    ]
    left_out = len(people) - len(kept)
    if not left_out:
        return kept, []
    noun = "face" if left_out == 1 else "faces"
    return kept, [
        f"{left_out} {noun} seen in at most {_STRAY_FRAMES} frames and less than a third as large as the main face "
        "were left out as false detections"
    ]
