"""The true meshes of a synthetic sequence, in the head frame of its fit, at the 468 points of facemesh.

There are two truths. Both are brought into the frame of the fit by the similarity that aligns their face at rest with
the estimated neutral face, once a sequence: neither the scale of a single view nor the frame of the template counts as
an error of the shape (what the scale was off by is told apart, as `size`).

- "tracked rest" needs no files: what the tracker says of the person at rest, with the correction in depth that the fit
  has (`RestCorrection`), plus the displacement of ICT-FaceKit's surface at the 468 points, from the statistics in the
  package. It is what training takes for true (`SequencePool`).
- "kit" needs ICT-FaceKit: the person's own 9,409-vertex surface in every frame, at rest and moved, and on it the 468
  points of the kit's embedding. Only this one knows where the skin is: where the tracker sees a resting face wrongly,
  and whether the correction is right, the former does not notice.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...data.synthetic.sequences import TrackedSequence
from ...data.synthetic.tracker_response import load_tracker_response
from ...errors import CheckpointError, InputError
from ...face_models import ICTFaceKit
from ...geometry import similarity_alignment


@dataclass(frozen=True)
class TrueMeshes:
    """One sequence.

    Attributes:
        rest: (468, 3) metres. displacement: (T, 468, 3) from it, every input frame.
        size: how many times as large as the truth the fit has the face.
    """

    rest: Tensor
    displacement: Tensor
    size: float


class TrackedRestTruth:
    """The truth without the kit."""

    def __init__(self) -> None:
        self.geometry = load_tracker_response().true_expression  # (57, 468, 3)

    def __call__(self, sequence: TrackedSequence, neutral: Tensor, correction: Tensor | None = None) -> TrueMeshes:
        """`neutral`: (468, 3) metres, the estimated face at rest. `correction`: (468, 3), the part of it that was added
        to what the landmarks say, or None."""
        tracked = neutral if correction is None else neutral - correction
        truth = _aligned(torch.from_numpy(sequence.neutral), tracked, sequence, self.geometry)
        return truth if correction is None else replace(truth, rest=truth.rest + correction)


class KitTruth:
    """The truth from ICT-FaceKit.

    Raises:
        CheckpointError: the kit's expression shapes are not those that sequences are made of, or it lacks the 468
            points.
    """

    def __init__(self, kit: ICTFaceKit) -> None:
        if kit.expression_names != load_tracker_response().expression_names:
            raise CheckpointError("this ICT-FaceKit has other expression shapes than the sequences are made of")
        if kit.landmarks_468 is None:
            raise CheckpointError("the package lacks the 468 points on ICT-FaceKit; install it again")
        self.kit, self.points = kit, kit.landmarks_468
        self.geometry = self.points(kit.expression_basis, kit.faces)  # (57, 468, 3)

    def __call__(self, sequence: TrackedSequence, neutral: Tensor) -> TrueMeshes:
        """`neutral`: (468, 3) metres, the estimated face at rest.

        Raises:
            InputError: the sequence has more identity weights than the kit.
        """
        return _aligned(self.own_rest_points(sequence), neutral, sequence, self.geometry)

    def surface(self, sequence: TrackedSequence, neutral: Tensor, frames: np.ndarray) -> Tensor:
        """(K, 9409, 3): the person's whole surface in these input frames, brought into the fit's frame likewise."""
        rotation, scale, translation = similarity_alignment(self.own_rest_points(sequence), neutral)
        return self.own_surface(sequence, frames) @ (scale * rotation).mT + translation

    def own_surface(self, sequence: TrackedSequence, frames: np.ndarray) -> Tensor:
        """(K, 9409, 3) metres: the person's whole surface in these input frames, in the kit's frame and true size."""
        return self._dense(sequence, sequence.weights[frames])

    def own_rest_points(self, sequence: TrackedSequence) -> Tensor:
        """(468, 3) metres: the person's points at rest, likewise."""
        rest = self._dense(sequence, np.zeros_like(sequence.rest))
        return self.points(rest, self.kit.faces)

    def _dense(self, sequence: TrackedSequence, weights: np.ndarray) -> Tensor:
        """(..., 9409, 3) metres in the kit's frame, with (..., 57) weights beyond those at rest."""
        known = len(self.kit.shape_basis)
        if len(sequence.identity) > known:
            raise InputError(f"the sequences have {len(sequence.identity)} identity weights, this ICT-FaceKit {known}")
        return self.kit(torch.from_numpy(sequence.identity), torch.from_numpy(sequence.rest + weights))


def _aligned(rest: Tensor, neutral: Tensor, sequence: TrackedSequence, geometry: Tensor) -> TrueMeshes:
    rotation, scale, translation = similarity_alignment(rest, neutral)
    alignment = scale * rotation
    displacement = torch.tensordot(torch.from_numpy(sequence.weights), geometry, dims=1)
    return TrueMeshes(rest @ alignment.mT + translation, displacement @ alignment.mT, float(scale))
