"""MediaPipe as the landmark tracker: the solution whose models are in its wheel, and the task that needs a file.

Nothing is downloaded. mediapipe is imported when a tracker is made, not before.
"""

import importlib
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import CheckpointError, MissingDependencyError
from .base import NUM_LANDMARKS, LandmarkTracker

TASK_FILE_VARIABLE = "AU_D3DFACE_FACE_LANDMARKER"

SETTLED, MOST_PASSES = 0.004, 3
"""A face is taken to be at rest in its crop once its landmarks move by less than this share of the distance between the
outer eye corners from one pass to the next; and passes over one frame at the most."""


class MediaPipeFaceMesh:
    """MediaPipe's Face Mesh solution (mediapipe up to 0.10.21), a `LandmarkTracker` of 478 points with irises.

    Frames of any size are given as they are: the solution cuts 192 x 192 pixels around each face itself, and making a
    3840 x 2160 frame smaller before was seen to save nothing.

    Args:
        max_faces: how many faces are looked for. With more than one the detector runs on as long as there are fewer,
            which costs about a third more; with 1 there is no telling which face it will be.
        min_detection_confidence: of a new face, in [0, 1].
        min_tracking_confidence: of a face followed from the frame before, in [0, 1].

    Raises:
        MissingDependencyError: mediapipe is missing, lacks the solution, or does not import for want of libGL.
    """

    def __init__(
        self, max_faces: int = 4, min_detection_confidence: float = 0.5, min_tracking_confidence: float = 0.5
    ) -> None:
        solution = _face_mesh_solution()
        if solution is None:
            raise MissingDependencyError(
                "the installed mediapipe carries no face models: install mediapipe 0.10.21 (Python 3.11 or 3.12) or "
                f"give a face_landmarker.task file ({TASK_FILE_VARIABLE}=/path/to/face_landmarker.task)"
            )
        with _quiet():
            self._graph = solution.FaceMesh(
                max_num_faces=max_faces,
                refine_landmarks=True,
                min_detection_confidence=min_detection_confidence,
                min_tracking_confidence=min_tracking_confidence,
            )
            # The graph starts in threads of its own; an empty picture waits for them and their notices.
            self._graph.process(np.zeros((64, 64, 3), dtype=np.uint8))
        self._settled = False
        self._faces: list[np.ndarray] = []

    def __call__(self, image: np.ndarray, timestamp: float) -> list[np.ndarray]:
        """See `LandmarkTracker`. The timestamp is not used: the solution follows faces from frame to frame.

        What it says of a face depends on the crop around it, which is where the face was in the frame before. So a
        frame in which a face has moved is looked at again, until the crop has followed: otherwise a video at 10 frames
        a second would give other landmarks than the same one at 60.
        """
        image = np.ascontiguousarray(image)
        faces = self._look(image)
        for _ in range(MOST_PASSES - 1):
            if _largest_shift(faces, self._faces) <= SETTLED:
                break
            self._faces, faces = faces, self._look(image)
        self._faces = faces
        return faces

    def _look(self, image: np.ndarray) -> list[np.ndarray]:
        """One pass of the solution over a picture."""
        if self._settled:
            result = self._graph.process(image)
        else:  # the last notice comes with the first face
            with _quiet():
                result = self._graph.process(image)
            self._settled = bool(result.multi_face_landmarks)
        faces = result.multi_face_landmarks or []
        return [to_pixels(landmarks_of_message(face), image.shape[0], image.shape[1]) for face in faces]

    def close(self) -> None:
        """Releases the graph. A second call does nothing."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None


class MediaPipeFaceLandmarker:
    """MediaPipe's Face Landmarker task in its video mode, for mediapipe wheels that carry no models.

    Args:
        task_file: `face_landmarker.task`, as Google publishes it.
        max_faces: how many faces are looked for.
        min_detection_confidence, min_presence_confidence, min_tracking_confidence: in [0, 1].

    Raises:
        CheckpointError: the file is missing or is no Face Landmarker task.
        MissingDependencyError: mediapipe is missing or does not import.
    """

    def __init__(
        self,
        task_file: str | os.PathLike[str],
        max_faces: int = 4,
        min_detection_confidence: float = 0.5,
        min_presence_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        path = Path(task_file)
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist: give the path of a face_landmarker.task file")
        mediapipe = _import("mediapipe")
        vision = _import("mediapipe.tasks.python.vision")
        base_options = _import("mediapipe.tasks.python.core.base_options")
        options = vision.FaceLandmarkerOptions(
            base_options=base_options.BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=max_faces,
            min_face_detection_confidence=min_detection_confidence,
            min_face_presence_confidence=min_presence_confidence,
            min_tracking_confidence=min_tracking_confidence,
        )
        try:
            with _quiet():
                self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"{path} is not a usable face_landmarker.task file: {_first_line(error)}") from error
        self._image, self._format = mediapipe.Image, mediapipe.ImageFormat.SRGB
        self._path = path
        self._last_ms = -1
        self._settled = False

    def __call__(self, image: np.ndarray, timestamp: float) -> list[np.ndarray]:
        """See `LandmarkTracker`."""
        # The task takes whole milliseconds that must increase.
        self._last_ms = max(self._last_ms + 1, round(timestamp * 1000))
        packet = self._image(image_format=self._format, data=np.ascontiguousarray(image))
        try:
            if self._settled:
                result = self._landmarker.detect_for_video(packet, self._last_ms)
            else:
                with _quiet():
                    result = self._landmarker.detect_for_video(packet, self._last_ms)
                self._settled = bool(result.face_landmarks)
        except RuntimeError as error:
            raise CheckpointError(f"{self._path} does not run as a Face Landmarker: {_first_line(error)}") from error
        faces = [landmarks_of_points(face) for face in result.face_landmarks]
        if any(len(face) != NUM_LANDMARKS for face in faces):
            raise CheckpointError(
                f"{self._path} gives {len(faces[0])} landmarks a face, not {NUM_LANDMARKS}: give Google's "
                "face_landmarker.task, which has the irises"
            )
        return [to_pixels(face, image.shape[0], image.shape[1]) for face in faces]

    def close(self) -> None:
        """Releases the task. A second call does nothing."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None


def load_tracker(max_faces: int = 4, task_file: str | os.PathLike[str] | None = None) -> LandmarkTracker:
    """The tracker that works here: the task where its file is given, else the solution inside mediapipe's wheel.

    Args:
        max_faces: how many faces are looked for.
        task_file: a `face_landmarker.task` file; None takes the environment variable AU_D3DFACE_FACE_LANDMARKER.

    Raises:
        CheckpointError: the file is missing or is no Face Landmarker task.
        MissingDependencyError: mediapipe is missing, does not import, or needs a file that was not given.
    """
    task_file = task_file or os.environ.get(TASK_FILE_VARIABLE)
    if task_file:
        return MediaPipeFaceLandmarker(task_file, max_faces=max_faces)
    return MediaPipeFaceMesh(max_faces=max_faces)


def _largest_shift(faces: list[np.ndarray], before: list[np.ndarray]) -> float:
    """How far a face has moved since the pass before, as a share of its eye distance: the largest over faces.

    The median over landmarks, so that a blink or a syllable is no motion of the face; infinite for a new face.
    """
    largest = 0.0
    for face in faces:
        size = float(np.linalg.norm(face[263, :2] - face[33, :2])) + 1e-6
        shifts = [float(np.median(np.linalg.norm(face[:, :2] - old[:, :2], axis=1))) for old in before]
        largest = max(largest, min(shifts, default=np.inf) / size)
    return largest


# The layout of a landmark on the wire: the list's field 1, 15 bytes long, then x, y and z as 32-bit floats, each after
# its tag. Protobuf leaves out fields that are not set, so the layout is checked before it is relied on.
_RECORD = np.dtype(
    [
        ("head", "u1", 2),
        ("x_tag", "u1"),
        ("x", "<f4"),
        ("y_tag", "u1"),
        ("y", "<f4"),
        ("z_tag", "u1"),
        ("z", "<f4"),
    ]
)
_HEADS = np.array([0x0A, 15], dtype=np.uint8)
_TAGS = (0x0D, 0x15, 0x1D)


def landmarks_of_message(message: Any) -> np.ndarray:
    """(478, 3) float32 of a `NormalizedLandmarkList`, about twenty times as fast as reading the attributes."""
    wire = message.SerializeToString()
    if len(wire) == NUM_LANDMARKS * _RECORD.itemsize:
        records = np.frombuffer(wire, dtype=_RECORD)
        tags = zip(("x_tag", "y_tag", "z_tag"), _TAGS, strict=True)
        if (records["head"] == _HEADS).all() and all((records[name] == tag).all() for name, tag in tags):
            return np.stack([records["x"], records["y"], records["z"]], axis=1)
    return landmarks_of_points(message.landmark)


def landmarks_of_points(points: Any) -> np.ndarray:
    """(N, 3) float32 of a sequence of objects with x, y and z."""
    return np.array([(point.x, point.y, point.z) for point in points], dtype=np.float32).reshape(-1, 3)


def to_pixels(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Image-width and image-height units to the image frame of `tracking.base`; z is in image-width units."""
    return landmarks * np.array([width, height, width], dtype=np.float32)


def _face_mesh_solution() -> ModuleType | None:
    """mediapipe's face mesh module, None where the installed mediapipe has dropped it."""
    mediapipe = _import("mediapipe")
    return getattr(getattr(mediapipe, "solutions", None), "face_mesh", None)


def _import(name: str) -> ModuleType:
    try:
        with _quiet():
            module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mediapipe":
            raise MissingDependencyError(f"mediapipe does not import because {error.name} is missing") from error
        raise MissingDependencyError(
            "mediapipe, which finds the faces, is not installed: run `pip install mediapipe==0.10.21` (Python 3.11 or "
            "3.12)"
        ) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"mediapipe, which finds the faces, needs a system library that is missing ({_first_line(error)}): on "
            "Debian or Ubuntu run `apt-get install libgl1 libglib2.0-0`"
        ) from error
    # mediapipe 0.10.21 calls a method of its protobuf that warns, once, of its own age.
    warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)
    return module


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_NOTICE = re.compile(rb"^(INFO: |WARNING: All log messages before absl|[IW]\d{4} |[IW]0000 00:00:)")
_stderr_lock = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Takes mediapipe's notices and warnings out of standard error; every other line is passed on afterwards.

    The C++ code writes to file descriptor 2 itself and has no switch for that, so the descriptor is turned to a
    temporary file meanwhile.
    """
    with _stderr_lock, tempfile.TemporaryFile() as caught:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:  # there is no standard error, so nothing to keep quiet
            yield
            return
        try:
            os.dup2(caught.fileno(), 2)
            yield
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            for line in caught:
                if not _NOTICE.match(line):
                    os.write(2, line)
