"""Ways in which the network learns what a person looks like at rest, and what it then says of a tracked sequence.

`WAYS` names them. "clip" is the default of the pipeline and "causal" that of live use; "picture" is what `--neutral
IMAGE` does. "identity" and "none" are what is lost without: the neutral face is the person's identity as the clip tells
it, but with the population's resting expression; or the face model's mean face, so that whatever distinguishes the
person from it is taken for expression.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ... import facs
from ...coarse import CoarseSequence, LandmarkFitting
from ...coarse.metric_scale import IRIS_DIAMETER
from ...coarse.neutral import Neutral
from ...data.synthetic.sequences import TrackedSequence
from ...modeling_au_d3dface import AUD3DFaceForReconstruction
from ...streaming import PersonStream
from ...video import sample_frames
from .au_scores import AURows

WAYS = {
    "clip": "from the whole clip",
    "causal": "causal, as in streaming",
    "picture": "given as a picture at rest",
    "identity": "identity only, rest as the population's",
    "none": "none: the mean face",
}
"""Names, and what tables call them."""

BLINK = 45
"""The action unit that is no expression."""

_EYE_CORNERS = ((33, 133), (362, 263))  # the subject's right eye, left eye
_PICTURE_SCALE, _PICTURE_CENTRE = 1500.0, (256.0, 256.0)  # pixels a metre, pixels: a face about 210 pixels wide


@dataclass(frozen=True)
class Decoded:
    """What the network says at its own samples, from the first one that shows the person.

    Attributes:
        frames: (K,) input frame of each sample, -1 where the person is not seen; only the others mean anything.
        coarse, vertices: (K, V, 3) metres, coarse and refined. neutral: (V, 3).
        rest_correction: (V, 3) metres, as in `CoarseSequence`, or None.
        probabilities: (K, N). decisions: (K, N) bool. intensities: (K, N) 0-5, or None.
    """

    frames: np.ndarray
    coarse: Tensor
    vertices: Tensor
    neutral: Tensor
    rest_correction: Tensor | None
    probabilities: np.ndarray
    decisions: np.ndarray
    intensities: np.ndarray | None

    @property
    def valid(self) -> np.ndarray:
        """(K,) bool."""
        return self.frames >= 0

    def rows(self, truth: np.ndarray) -> AURows:
        """The valid samples against (T, N) true intensities of the input frames."""
        valid = self.valid
        intensities = None if self.intensities is None else self.intensities[valid]
        return AURows(truth[self.frames[valid]], self.decisions[valid], self.probabilities[valid], intensities)


@dataclass(frozen=True)
class HardCase:
    """People who never relax, or who never move: how often they are misread.

    Attributes:
        people: how many. rows: frames.
        missed, held: frames and held action units that are not said to be present, and all of them.
        alarms, absent: frames and absent action units (blinks aside) that are said to be present, and all of them.
    """

    people: int
    rows: int
    missed: int
    held: int
    alarms: int
    absent: int

    @classmethod
    def of(cls, rows: AURows, action_units: Sequence[int], held: int | None = None) -> "HardCase":
        """One person. `held` is the action unit that they show throughout; None for one who never moves."""
        counted = np.array([unit != BLINK for unit in action_units])
        alarms = rows.decisions & ~rows.present & counted
        column = None if held is None else list(action_units).index(held)
        return cls(
            people=1,
            rows=len(rows.truth),
            missed=0 if column is None else int((~rows.decisions[:, column]).sum()),
            held=0 if column is None else len(rows.truth),
            alarms=int(alarms.sum()),
            absent=int((~rows.present & counted).sum()),
        )

    @classmethod
    def over(cls, parts: list["HardCase"]) -> "HardCase":
        names = ("people", "rows", "missed", "held", "alarms", "absent")
        return cls(**{name: sum(getattr(part, name) for part in parts) for name in names})

    @property
    def miss_rate(self) -> float:
        """Share of the frames in which the held action unit is missed."""
        return self.missed / self.held if self.held else float("nan")

    @property
    def false_positive_rate(self) -> float:
        """Share of absent action units, frame by frame, that are said to be present."""
        return self.alarms / self.absent if self.absent else float("nan")


def decode(
    model: AUD3DFaceForReconstruction,
    coarse: CoarseSequence,
    times: np.ndarray,
    more: Callable[[np.ndarray], Mapping[str, Any]] = lambda frames: {},
) -> Decoded:
    """The network over one person, as the pipeline runs it.

    Args:
        coarse: of T frames, valid in one at least.
        times: (T,) seconds.
        more: from `Decoded.frames` to what a model that reads video is given beside the meshes.
    """
    frames = sample_frames(times, coarse.valid.cpu().numpy(), model.config.frame_rate)
    frames = frames[int(np.argmax(frames >= 0)) :]  # nothing is decoded before the person is first seen
    vertices = coarse.vertices[torch.from_numpy(np.maximum(frames, 0))]
    output = model.generate(
        vertices=vertices[None].to(model.device),
        neutral_vertices=coarse.neutral_vertices[None].to(model.device),
        frame_mask=torch.from_numpy(frames >= 0)[None].to(model.device),
        **more(frames),
    )
    probabilities = output.au_probabilities[0].float().cpu().numpy()
    intensities = None if output.au_intensities is None else output.au_intensities[0].float().cpu().numpy()
    return Decoded(
        frames=frames,
        coarse=vertices,
        vertices=output.vertices[0].float().cpu(),
        neutral=coarse.neutral_vertices,
        rest_correction=coarse.rest_correction,
        probabilities=probabilities,
        decisions=probabilities >= _thresholds(model),
        intensities=intensities,
    )


def calibrated_rows(
    model: AUD3DFaceForReconstruction, fitting: LandmarkFitting, sequence: TrackedSequence
) -> dict[str, AURows]:
    """What is said of a sequence with each of `WAYS`, at the same samples."""
    coarse = fitting(sequence.face)
    truth = true_intensities(sequence, model.config.action_units)
    clip = decode(model, coarse, sequence.times)
    picture = fitting(sequence.face, rest_picture(sequence.neutral))
    basis = fitting.basis
    rest = torch.zeros(len(basis.expression)), torch.zeros_like(basis.template)
    identity = Neutral(
        coarse.shape, *rest, basis.template + torch.tensordot(coarse.shape, basis.shape, dims=1), energy=0.0
    )
    mean_face = Neutral(torch.zeros_like(coarse.shape), *rest, basis.template, energy=0.0)
    rows = {
        "clip": clip.rows(truth),
        "causal": _streamed_rows(model, fitting, sequence, truth, clip.frames[clip.valid]),
        "picture": decode(model, picture, sequence.times).rows(truth),
    }
    for way, neutral in (("identity", identity), ("none", mean_face)):
        rows[way] = decode(model, _fitted(fitting, sequence, neutral), sequence.times).rows(truth)
    return rows


def true_intensities(sequence: TrackedSequence, action_units: tuple[int, ...]) -> np.ndarray:
    """(T, N) 0-5, of the stronger side."""
    return sequence.intensity[:, [facs.ALL.index(unit) for unit in action_units]].max(-1)


def rest_picture(neutral: np.ndarray) -> Tensor:
    """Landmarks of a frontal picture of a person at rest.

    The tracker's noise is less than in a real picture, for `neutral` is its mean over several. Irises, which the head
    frame lacks, are put midway between the corners of the eyes, as large as people's are.

    Args:
        neutral: (468, 3) metres, head frame.

    Returns:
        (478, 3) float32 pixels, image frame.
    """
    ring = IRIS_DIAMETER / 2 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    irises = [neutral[list(corners)].mean(0) + ring for corners in _EYE_CORNERS]
    points = _PICTURE_SCALE * np.concatenate([neutral, *irises]) * np.array([1, -1, -1])
    points[:, :2] += _PICTURE_CENTRE
    return torch.from_numpy(points.astype(np.float32))


def _fitted(fitting: LandmarkFitting, sequence: TrackedSequence, neutral: Neutral) -> CoarseSequence:
    """The coarse sequence with a neutral face that is given."""
    valid = torch.from_numpy(sequence.face.valid)
    landmarks = torch.from_numpy(sequence.face.landmarks)[valid]
    fit, residual = fitting.fit_frames(landmarks, fitting.fitter(neutral, landmarks))
    return fitting.assemble(neutral, fit, residual, valid)


def _streamed_rows(
    model: AUD3DFaceForReconstruction,
    fitting: LandmarkFitting,
    sequence: TrackedSequence,
    truth: np.ndarray,
    frames: np.ndarray,
) -> AURows:
    """What live use says at these input frames."""
    stream = PersonStream(0, model, fitting)
    seen = {
        frame: stream(sequence.face.landmarks[frame], float(sequence.times[frame]))
        for frame in np.flatnonzero(sequence.face.valid)
    }
    probabilities = np.stack([seen[frame].au_probabilities for frame in frames])
    intensities = [values for frame in frames if (values := seen[frame].au_intensities) is not None]
    return AURows(
        truth[frames],
        probabilities >= _thresholds(model),
        probabilities,
        np.stack(intensities) if intensities else None,
    )


def _thresholds(model: AUD3DFaceForReconstruction) -> np.ndarray:
    """(N,) float32, as `FaceSequence` has them."""
    return np.array(model.generation_config.thresholds(model.config.num_action_units), np.float32)
