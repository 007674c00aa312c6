"""The default coarse reconstructor: a linear face model fitted to tracked landmarks.

One identity and one neutral face a person (`neutral.py`), then pose, camera and expression of every frame
(`frame_fitting.py`). No smoothing over time: a blink is followed without lag. On facemesh, what the tracker gets wrong
in depth is then taken back in the face at rest, and with it in every frame (`rest_correction.py`); no fit knows of it.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ..errors import NoFaceError
from ..face_models import FaceMesh, FaceModel
from ..tracking import TrackedFace
from ..tracking.base import NUM_LANDMARKS
from .base import CoarseSequence, timeline
from .detail import DetailInterpolator
from .frame_fitting import FrameFit, FrameFitter
from .landmark_basis import LandmarkBasis
from .neutral import Neutral, NeutralEstimator
from .rest_correction import RestCorrection

MAX_NEUTRAL_FRAMES = 150
CHUNK = 128
"""Frames that the neutral is estimated from, and frames that are fitted at a time."""

NOISE_PIXELS, LEAST_NOISE = 0.075, 6e-5
"""Standard deviation of a landmark from frame to frame: so many pixels of the picture, but not less than so many
metres, since the tracker looks at large faces at a smaller size. (Seen: 0.16 mm on a face 65 pixels wide, 0.06 mm on
one of 218.) It follows from the size of the face alone, so that the frame rate of a video, at which motion looks like
noise or does not, changes nothing."""

EYE_DISTANCE = 0.089
"""Metres between the outer eye corners of the average adult."""

MISFIT_RIDGE = 5e-7
CORRELATED_LANDMARKS = 60.0
"""The ridge on expression is MISFIT_RIDGE + CORRELATED_LANDMARKS · noise², square metres: errors of neighbouring
landmarks are alike, so that many count as one. On large faces more ridge would only shorten blinks; on small ones less
would follow the noise."""

EYE_CORNERS = (33, 263)


class LandmarkFitting:
    """Fits a face model to tracked landmarks; a `CoarseReconstructor`.

    Args:
        face_model: a linear face model with an embedding of the 468 landmarks.
        depth_weight: confidence in the tracker's depth relative to x and y. Depth is smooth over time but off by
            millimetres from person to person.
        outlier: metres in the image plane beyond which a landmark's residual counts linearly.
        iterations: Gauss-Newton steps a frame.
        correct_rest: whether the face at rest is corrected in depth; only facemesh can be.

    Raises:
        UsageError: the face model has no embedding of the 468 landmarks.
        CheckpointError: the package's correction is missing or damaged.
    """

    name = "landmarks"
    needs_frames = False
    takes_neutral = True

    def __init__(
        self,
        face_model: FaceModel,
        *,
        depth_weight: float = 0.3,
        outlier: float = 3e-3,
        iterations: int = 3,
        correct_rest: bool = True,
    ) -> None:
        self.face_model = face_model
        self.outlier, self.depth_weight, self.iterations = outlier, depth_weight, iterations
        self.basis = LandmarkBasis(face_model)
        self.detail = DetailInterpolator(face_model, self.basis.template)
        self.neutral_estimator = NeutralEstimator(self.basis, outlier, depth_weight)
        self.rest_correction = RestCorrection.load() if correct_rest and face_model.name == FaceMesh.name else None

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
            ValueError: `neutral_landmarks` is not (478, 3) or not finite.
        """
        valid = torch.from_numpy(face.valid & np.isfinite(face.landmarks).all((1, 2)))
        if not valid.any():
            raise NoFaceError(f"Face {face.face_id} was found in no frame, so there is nothing to fit a face model to.")
        landmarks = torch.from_numpy(face.landmarks)
        if not valid.all():  # an hour of video is half a gigabyte: no copy where none is needed
            landmarks = landmarks[valid]
        if neutral_landmarks is None:
            neutral = self.estimate_neutral(landmarks)
        else:
            neutral = self.neutral_of_picture(neutral_landmarks)
        fit, residual = self.fit_frames(landmarks, self.fitter(neutral, landmarks))
        return self.assemble(neutral, fit, residual, valid)

    def estimate_neutral(self, landmarks: Tensor) -> Neutral:
        """The neutral face of the person in (K, 478, 3) finite landmarks, from at most MAX_NEUTRAL_FRAMES of them."""
        if len(landmarks) > MAX_NEUTRAL_FRAMES:
            landmarks = landmarks[torch.linspace(0, len(landmarks) - 1, MAX_NEUTRAL_FRAMES).round().long()]
        return self.neutral_estimator(landmarks)

    def neutral_of_picture(self, landmarks: Tensor) -> Neutral:
        """The neutral face of a person at rest in a picture, from its (478, 3) landmarks.

        Raises:
            ValueError: the landmarks have another shape or are not finite.
        """
        if landmarks.shape != (NUM_LANDMARKS, 3) or not torch.isfinite(landmarks).all():
            raise ValueError(f"neutral landmarks must be finite and of shape (478, 3), not {tuple(landmarks.shape)}")
        return self.neutral_estimator(landmarks[None].float(), at_rest=True)

    def fitter(self, neutral: Neutral, landmarks: Tensor) -> FrameFitter:
        """The solver of this person's frames.

        Args:
            landmarks: (K, 478, 3) some of the frames, from which the size of the face in the picture is taken.
        """
        noise = landmark_noise(landmarks)
        ridge = MISFIT_RIDGE + CORRELATED_LANDMARKS * noise**2
        return FrameFitter(self.basis, neutral.landmarks, ridge, self.outlier, self.depth_weight)

    def fit_frames(self, landmarks: Tensor, fitter: FrameFitter) -> tuple[FrameFit, Tensor]:
        """Fits (T, 478, 3) finite landmarks, in chunks so that memory for temporaries does not grow with T.

        Returns:
            The fit, and (T,) residuals as in `CoarseSequence.residual`.
        """
        fits, residuals = [], []
        for chunk in landmarks[:, : self.basis.num_landmarks].split(CHUNK):
            fits.append(fitter(chunk, self.iterations))
            residuals.append(relative_residual(fitter, chunk, fits[-1]))
        return FrameFit.cat(fits), torch.cat(residuals)

    def neutral_vertices(self, neutral: Neutral) -> Tensor:
        """(V, 3) metres, S̄."""
        tracked = self.tracked_neutral(neutral)
        return tracked if self.rest_correction is None else tracked + self.rest_correction(tracked)

    def tracked_neutral(self, neutral: Neutral) -> Tensor:
        """(V, 3) metres, S̄ as the landmarks alone say it."""
        return self.face_model(neutral.shape, neutral.rest) + self.detail(neutral.detail)

    def assemble(self, neutral: Neutral, fit: FrameFit, residual: Tensor, valid: Tensor) -> CoarseSequence:
        """Puts the fits of the valid frames into the timeline."""
        total = len(valid)
        neutral_vertices = self.neutral_vertices(neutral)
        expression = timeline(fit.expression, valid, 0.0)
        basis = self.face_model.expression_basis
        return CoarseSequence(
            shape=neutral.shape,
            rest_correction=None if self.rest_correction is None else neutral_vertices - self.tracked_neutral(neutral),
            expression=expression,
            vertices=(expression @ basis.flatten(1)).view(total, *neutral_vertices.shape).add_(neutral_vertices),
            neutral_vertices=neutral_vertices,
            rotation=timeline(fit.rotation, valid, torch.eye(3)),
            scale=timeline(fit.scale, valid, 1.0),
            translation=timeline(fit.translation[:, :2], valid, 0.0),
            valid=valid,
            residual=timeline(residual, valid, float("nan")),
        )


def landmark_noise(landmarks: Tensor) -> float:
    """Standard deviation of a landmark from frame to frame, metres, of (K, 478, 3) landmarks in the image frame."""
    right, left = EYE_CORNERS
    between = (landmarks[:, right] - landmarks[:, left]).norm(dim=-1).median()
    return max(float(NOISE_PIXELS * EYE_DISTANCE / between.clamp_min(1e-6)), LEAST_NOISE)


def relative_residual(fitter: FrameFitter, points: Tensor, fit: FrameFit) -> Tensor:
    """(T,) root mean square image-plane distance of landmarks to fit over the distance between the outer eye corners.

    The eye corners are those of the neutral face in 3D, so that turning the head does not raise the residual.
    """
    right, left = EYE_CORNERS
    between = (fitter.neutral[right] - fitter.neutral[left]).norm()
    return fitter.misfit(points, fit) / between
