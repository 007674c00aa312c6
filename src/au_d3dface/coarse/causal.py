"""The neutral face as a live stream allows it: from the past only, and replaced only when there is a clear reason.

Decoding refers to one neutral face, so a new one makes the decoder start anew. `CausalNeutral` therefore changes it
twice at most in an ordinary session: at the end of a warm-up, and when a clearly calmer stretch has been seen than the
one that the neutral was taken from (a person who came in smiling).
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import fitting_confidence
from .landmark_fitting import LandmarkFitting
from .neutral import Neutral

WARM_UP = 2.0
WINDOW = 1.5
SAMPLES_PER_SECOND = 10.0
"""Seconds until the first estimate from several frames, and of the stretches compared later; frames kept of each."""

CALMER = 0.6
MARGIN = 3.0
"""A stretch is clearly calmer if its energy is below CALMER times the neutral's own and lower by MARGIN at least."""


class CausalNeutral:
    """The neutral face of one person, frame by frame.

    Args:
        fitting: the reconstructor whose neutral is estimated.
        neutral_landmarks: (478, 3) landmarks of a picture at rest: then the neutral is that one, and never replaced.

    Attributes:
        neutral: the current one; None before the first frame.
    """

    def __init__(self, fitting: LandmarkFitting, neutral_landmarks: Tensor | None = None) -> None:
        self.fitting = fitting
        self.fixed = neutral_landmarks is not None
        self.neutral = None if neutral_landmarks is None else fitting.neutral_of_picture(neutral_landmarks)
        self._seen: deque[tuple[float, Tensor]] = deque()
        self._begin: float | None = None  # of the stretch that is being collected
        self._warm = False

    def update(self, landmarks: Tensor, timestamp: float) -> bool:
        """Takes in a frame; True if the neutral has changed and decoding must start anew.

        Args:
            landmarks: (478, 3) finite, image frame.
            timestamp: seconds; increases from call to call.
        """
        if self.fixed:
            return False
        if self._begin is None or timestamp - self._seen[-1][0] > WINDOW:
            self._seen.clear()  # a gap: what lies before it is not one stretch with what follows
            self._begin = timestamp
        if not self._seen or timestamp - self._seen[-1][0] >= 0.999 / SAMPLES_PER_SECOND:
            self._seen.append((timestamp, landmarks.float()))
        if self.neutral is None:
            self.neutral = self._estimate()
            return True
        if timestamp - self._begin < (WINDOW if self._warm else WARM_UP):
            return False
        candidate = self._estimate()
        changed = not self._warm or (
            candidate.energy < CALMER * self.neutral.energy and candidate.energy < self.neutral.energy - MARGIN
        )
        if changed:
            self.neutral = candidate
        # Stretches overlap by half, so that a short rest is not cut in two.
        self._warm, self._begin = True, timestamp - WINDOW / 2
        while self._seen[0][0] < self._begin:
            self._seen.popleft()
        return changed

    def _estimate(self) -> Neutral:
        return self.fitting.estimate_neutral(torch.stack([landmarks for _, landmarks in self._seen]))


@dataclass
class CoarseFrame:
    """One frame of a `LandmarkStream`; shapes, units and frames as in `CoarseSequence`, without T.

    Attributes:
        restarted: the neutral face is another than in the frame before, so decoding must start its window anew.
    """

    expression: Tensor
    vertices: Tensor
    neutral_vertices: Tensor
    shape: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    residual: Tensor
    restarted: bool

    @property
    def confidence(self) -> Tensor:
        """Scalar in [0, 1], as `CoarseSequence.confidence`."""
        return fitting_confidence(self.residual)


class LandmarkStream:
    """Landmark fitting for live use: one person, one frame a call, no look into the future.

    Args:
        fitting: the reconstructor.
        neutral_landmarks: as in `CausalNeutral`.
    """

    def __init__(self, fitting: LandmarkFitting, neutral_landmarks: Tensor | None = None) -> None:
        self.fitting = fitting
        self.causal_neutral = CausalNeutral(fitting, neutral_landmarks)
        self._vertices: Tensor | None = None

    @torch.no_grad()
    def __call__(self, landmarks: Tensor, timestamp: float) -> CoarseFrame:
        """Fits (478, 3) finite landmarks of the frame at `timestamp` (seconds). Frames without a face are left out."""
        changed = self.causal_neutral.update(landmarks, timestamp)
        neutral = self.causal_neutral.neutral
        assert neutral is not None  # update has just seen a frame
        if changed or self._vertices is None:
            self._vertices = self.fitting.neutral_vertices(neutral)
            self._fitter = self.fitting.fitter(neutral, landmarks[None])
            changed = True
        fit, residual = self.fitting.fit_frames(landmarks[None].float(), self._fitter)
        basis = self.fitting.face_model.expression_basis
        return CoarseFrame(
            expression=fit.expression[0],
            vertices=self._vertices + torch.tensordot(fit.expression[0], basis, dims=1),
            neutral_vertices=self._vertices,
            shape=neutral.shape,
            rotation=fit.rotation[0],
            scale=fit.scale[0],
            translation=fit.translation[0, :2],
            residual=residual[0],
            restarted=changed,
        )
