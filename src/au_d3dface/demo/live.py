"""Results while a video is still being tracked: the causal pass of `streaming` over the landmarks as they come.

It is what live use would show, calibrated by the past alone; the whole-clip result replaces it at the end.
"""

import copy
import time
from collections.abc import Callable

import numpy as np

from ..errors import AUD3DFaceError
from ..pipeline_au_d3dface import AUD3DFacePipeline
from ..streaming import AUD3DFaceStream, LiveFace
from ..tracking import LandmarkTracker
from .scene import LiveScene

_SECONDS_A_CHUNK = 0.4


class _Replay:
    """A tracker that says what another has just found."""

    def __init__(self) -> None:
        self.found: list[np.ndarray] = []

    def __call__(self, image: np.ndarray, timestamp: float) -> list[np.ndarray]:
        return self.found

    def close(self) -> None:
        pass


class TappedTracker:
    """A landmark tracker whose finds also go through the live stream; `show` gets packed scenes of what that says.

    Args:
        tracker: the real one.
        pipeline: whose network and coarse reconstructor the stream uses.
        show: called with a scene every `_SECONDS_A_CHUNK`, the first as soon as there is a face.
    """

    def __init__(self, tracker: LandmarkTracker, pipeline: AUD3DFacePipeline, show: Callable[[bytes], None]) -> None:
        self._tracker, self._show = tracker, show
        self._replay = _Replay()
        replaying = copy.copy(pipeline)
        replaying.tracker = lambda: self._replay
        self._stream = AUD3DFaceStream(replaying)
        self._scene: LiveScene | None = None
        self._last = 0.0

    def __call__(self, image: np.ndarray, timestamp: float) -> list[np.ndarray]:
        """As the tracker."""
        found = self._tracker(image, timestamp)
        self._replay.found = found
        faces = self._stream(image, timestamp)
        if faces:
            face = max(faces, key=lambda face: face.scale)  # pixels a metre: the nearest
            if not face.held:
                self._add(face, timestamp, image)
        return found

    def close(self) -> None:
        """Releases both."""
        self._stream.close()
        self._tracker.close()

    def _add(self, face: LiveFace, timestamp: float, image: np.ndarray) -> None:
        if self._scene is None:
            model, face_model = self._stream.model, self._stream.coarse.face_model
            self._scene = LiveScene(
                face_model.faces.cpu().numpy(),
                face_model.au_masks(model.config.action_units).cpu().numpy(),
                model.config.action_units,
                np.array(model.generation_config.thresholds(model.config.num_action_units), np.float32),
                *image.shape[:2],
            )
        self._scene.add(timestamp, face)
        now = time.monotonic()
        if now - self._last >= _SECONDS_A_CHUNK:
            self._last = now
            self._show(self._scene.pack())


def tapped(pipeline: AUD3DFacePipeline, show: Callable[[bytes], None]) -> AUD3DFacePipeline:
    """A copy of the pipeline with a tapped tracker; with its own where live use is impossible (video branch, DECA).

    With a dense face the stream shows the network's own mesh; the dense one comes with the whole-clip result.
    """
    sparse = copy.copy(pipeline)
    sparse.dense = None
    try:
        AUD3DFaceStream(_with_tracker(sparse, _Replay))
    except AUD3DFaceError:  # says which of its needs the pipeline lacks
        return copy.copy(pipeline)
    return _with_tracker(pipeline, lambda: TappedTracker(pipeline.tracker(), sparse, show))


def _with_tracker(pipeline: AUD3DFacePipeline, tracker: Callable[[], LandmarkTracker]) -> AUD3DFacePipeline:
    other = copy.copy(pipeline)
    other.tracker = tracker
    return other
