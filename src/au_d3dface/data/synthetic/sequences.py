"""Labelled sequences without rendering: what the tracker would say of a face whose action units we know.

A sequence is one person for a few seconds. AU trajectories move the face; the tracker's answer to them is taken from
response sources (what it said of rendered faces, what it says of real people), mixed and scaled at random for every
sequence, because no one source answers as all real faces do (domain randomisation). Identity, head pose, the errors
that come with pose, noise that is correlated in time, and gaze are added, and the points are projected into a picture
as weak perspective does (Eq. 12). Everything is drawn from `[seed, index]`, so a sequence can be made again alone.

Lengths are metres in the canonical head frame (x to the subject's left, y up, z out of the face).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch

from ... import facs
from ...coarse.landmark_basis import rigid_directions
from ...geometry import axis_angle_to_matrix
from ...tracking import NUM_FACE_LANDMARKS, TrackedFace
from .responses import ResponseSource, smooth_fields
from .tracker_response import TrackerResponse, pose_features
from .trajectories import OTHER_SHAPES, Performance, sample_performance, smooth_noise

HELD_OUT_SEED = 1_000_003
"""Added to the seed of held-out people: other identities, gains, trajectories and noise throughout."""

IRIS_DIAMETER = 0.0117
MOST = 3.0
"""Times that a source's answer to an AU may be as large as the rendered one."""
_EYE_CORNERS = ((33, 133), (362, 263))  # subject's right eye, left eye
_IRISES = (slice(468, 473), slice(473, 478))


@dataclass(frozen=True)
class SequenceSettings:
    """How much things vary. Ranges are (low, high) of a uniform or, where named so, of a log-uniform draw.

    Attributes:
        seconds, frame_rate: length of a sequence and its samples a second.
        pixels_per_metre: log-uniform; a face is about 0.14 m wide.
        gain: log-uniform factor on the answer to each AU, per sequence.
        exponent: how the answer grows with activation a, as a to this power, per sequence and AU.
        cross_talk: standard deviation of the share of other AUs' answers mixed into one AU's, per sequence.
        variation: factor on the measured variation of answers between people and within an expression.
        true_gain: factor on the true geometry of an AU: people's muscles differ.
        style: of `displays.STYLES`; None draws one a sequence.
        identity_spread: standard deviation of smooth changes of shape beyond the measured identities, metres.
        pose_error: factor on the measured mean error of a pose.
        noise: log-uniform standard deviation of slowly varying error, metres.
        depth_noise: factor on it along z, where a single camera sees least.
        jitter: factor on the measured noise from frame to frame.
        missing: share of sequences in which the face is lost for a while.
    """

    seconds: float = 10.0
    frame_rate: float = 10.0
    pixels_per_metre: tuple[float, float] = (500.0, 2500.0)
    gain: tuple[float, float] = (0.6, 2.0)
    exponent: tuple[float, float] = (0.8, 1.3)
    cross_talk: float = 0.04
    variation: float = 1.0
    true_gain: tuple[float, float] = (0.75, 1.25)
    style: str | None = None
    identity_spread: float = 0.001
    pose_error: tuple[float, float] = (0.0, 1.5)
    noise: tuple[float, float] = (0.00005, 0.0004)
    depth_noise: float = 1.5
    jitter: tuple[float, float] = (0.5, 1.5)
    missing: float = 0.1

    @property
    def num_frames(self) -> int:
        return round(self.seconds * self.frame_rate)


@dataclass(frozen=True)
class TrackedSequence:
    """One sequence before fitting.

    Attributes:
        face: landmarks as a tracker gives them, pixels.
        times: (T,) seconds.
        intensity: (T, 19, 2) of facs.ALL, left and right.
        weights: (T, 57) of ICT-FaceKit's expression shapes, beyond those at rest: the true displacement.
        neutral: (468, 3) metres, head frame: what the tracker says of this person at rest, without noise.
        identity: (100,) and rest: (57,), ICT-FaceKit weights of the person; zeros where none was rendered.
    """

    face: TrackedFace
    times: np.ndarray
    intensity: np.ndarray
    weights: np.ndarray
    neutral: np.ndarray
    identity: np.ndarray
    rest: np.ndarray


class SequenceSampler:
    """Draws tracked sequences of facs.ALL.

    Args:
        response: what the tracker was measured to answer to rendered faces.
        people: another account of how tracked faces answer AUs, from real people; sequences mix both, AU by AU.
        settings: how much things vary.
        seed: of everything drawn; held-out identities are another seed.
    """

    def __init__(
        self,
        response: TrackerResponse,
        people: ResponseSource | None = None,
        settings: SequenceSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.people, self.settings, self.seed = people, settings or SequenceSettings(), seed
        tensors = {item.name: getattr(response, item.name) for item in fields(response)}
        self.response = {name: value.numpy() for name, value in tensors.items() if isinstance(value, torch.Tensor)}
        self.mean = self.response["tracked_mean"]
        self.coarse_fields = smooth_fields(self.mean, 20, length_scale=0.035)
        self.fine_fields = smooth_fields(self.mean, 40, length_scale=0.015)
        self.names = response.expression_names
        if people is not None:
            whole = self.response["tracked_linear"] + self.response["tracked_quadratic"]
            self.people_displacement = moderated(people.displacement, whole, self.mean)
        rows = [facs.ALL.index(au) for au in self.response["pairs"].flatten().tolist()]
        self.pairs = np.array(rows, np.int64).reshape(-1, 2)

    @property
    def provenance(self) -> dict:
        """What the sequences are made from."""
        sources = ["tracker statistics of renders of ICT-FaceKit", *([self.people.name] if self.people else [])]
        return {"quality": "fast", "sources": sources, "seed": self.seed, "settings": asdict(self.settings)}

    def __call__(self, index: int) -> TrackedSequence:
        """The sequence of this index: always the same."""
        rng = np.random.default_rng([self.seed, index])
        s = self.settings
        times = np.arange(s.num_frames) / s.frame_rate
        act = sample_performance(rng, times, s.style)

        neutral = self._person(rng)
        true_gain = rng.uniform(*s.true_gain, len(facs.ALL))[:, None] * np.exp(0.08 * rng.standard_normal((19, 2)))
        other = other_weights(act, self.names)
        points = neutral + self._motion(rng, act.action_units / 5, other, true_gain)  # (T, 478, 3)
        scale = np.exp(rng.uniform(*np.log(s.pixels_per_metre)) + 0.03 * smooth_noise(rng, times, 1, 2.0)[:, 0])
        points += self._tracking_error(rng, times, act.pose, act.action_units, scale)
        self._place_irises(rng, points, neutral, act.gaze)
        weights = np.tensordot(act.action_units / 5 * true_gain, self.response["au_weights"], axes=2) + other
        return TrackedSequence(
            face=self._project(rng, points, act.pose, scale, times),
            times=times,
            intensity=act.action_units,
            weights=weights.astype(np.float32),
            neutral=neutral[:NUM_FACE_LANDMARKS].astype(np.float32),
            identity=np.zeros(100, np.float32),
            rest=np.zeros(len(self.names), np.float32),
        )

    def _person(self, rng) -> np.ndarray:
        """(478, 3) what the tracker says of someone at rest."""
        modes = self.response["tracked_identity"]
        person = self.mean + np.tensordot(rng.standard_normal(len(modes)), modes, axes=1)
        return person + self.settings.identity_spread * _random_field(rng, self.coarse_fields)

    def _motion(self, rng, activation: np.ndarray, other: np.ndarray, true_gain: np.ndarray) -> np.ndarray:
        """(T, 478, 3): this person's answer to (T, 19, 2) activations in [0, 1] and (T, 57) other shapes."""
        s, r, count = self.settings, self.response, len(facs.ALL)
        linear, quadratic = r["tracked_linear"], r["tracked_quadratic"]  # (19, 2, 478, 3)
        factors = r["tracked_variation"]
        own = np.einsum("ksf,ksfpc->kspc", rng.standard_normal(factors.shape[:3]), factors)
        rendered = np.ones(count)  # the share of renders in the answer to each AU
        if self.people is not None:
            rendered = np.where(self.people.known, rng.beta(0.6, 0.6, count), 1.0)
            linear = _mix(rendered, linear, self.people_displacement)
            quadratic = rendered[:, None, None, None] * quadratic
        # A strong muscle moves the face more and is seen to: the true gain is shared by truth and tracker.
        gain = np.exp(rng.uniform(*np.log(s.gain), count))[:, None] * true_gain
        cross = s.cross_talk * rng.standard_normal((count, count))
        np.fill_diagonal(cross, 0)
        linear = linear + s.variation * own + np.einsum("ab,bspc->aspc", cross, linear)
        # Where an AU acts differs a little from face to face: its field is bent by a smooth random factor.
        bend = 1 + 0.2 * np.einsum(
            "ak,kp->ap", rng.standard_normal((count, len(self.coarse_fields))), self.coarse_fields
        )
        bend = bend[:, None, :, None] * gain[..., None, None]

        drive = activation ** rng.uniform(*s.exponent, count)[:, None]
        strange = other * np.exp(rng.uniform(*np.log(s.gain), other.shape[1]))
        motion = np.tensordot(strange, r["tracked_other"], axes=1)
        motion += np.tensordot(drive, bend * linear, axes=2) + np.tensordot(drive**2, bend * quadratic, axes=2)
        if len(self.pairs):
            whole, (a, b) = drive.mean(-1), self.pairs.T
            motion += np.tensordot(whole[:, a] * whole[:, b] * rendered[a] * rendered[b], r["tracked_pair"], axes=1)
        return motion

    def _tracking_error(self, rng, times, pose, intensity, scale) -> np.ndarray:
        """(T, 478, 3): what turning away does, what is left of expressions, slow and quick noise."""
        s, r = self.settings, self.response
        pitch, yaw, roll = torch.from_numpy(pose).unbind(-1)
        known = rng.uniform(*s.pose_error) * pose_features(yaw, pitch, roll).numpy()
        error = np.tensordot(known, r["pose_error"], axes=1)
        modes = r["pose_variation"]
        turned = pose / (0.3, 0.3, 0.3)
        error += np.tensordot(turned @ rng.standard_normal((3, len(modes))) * 0.6, modes, axes=1)

        modes = r["expression_noise"]
        activity = np.clip(intensity.max((1, 2)) / 3, 0.15, 1)[:, None]
        error += np.tensordot(s.variation * activity * smooth_noise(rng, times, len(modes), 1.0), modes, axes=1)

        axes = np.array([1.0, 1.0, s.depth_noise])
        slow = np.exp(rng.uniform(*np.log(s.noise)))
        period = np.exp(rng.uniform(np.log(0.3), np.log(3.0)))
        weights = smooth_noise(rng, times, 3 * len(self.fine_fields), period).reshape(len(times), 3, -1)
        error += slow * axes * np.einsum("tck,kp->tpc", weights, self.fine_fields)

        modes = r["jitter"]
        coarser = 160 / (0.14 * scale)  # the jitter was measured on a face 160 pixels wide
        quick = (
            rng.uniform(*s.jitter) * np.clip(coarser, 0.4, 2.5)[:, None] * rng.standard_normal((len(times), len(modes)))
        )
        return error + np.tensordot(quick, modes, axes=1)

    @staticmethod
    def _place_irises(rng, points: np.ndarray, neutral: np.ndarray, gaze: np.ndarray) -> None:
        """Writes points 468-477: five on each iris, which the fitting takes its scale from."""
        radius = IRIS_DIAMETER / 2 * (1 + 0.05 * rng.standard_normal())
        ring = radius * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
        for corners, iris in zip(_EYE_CORNERS, _IRISES, strict=True):
            centre = neutral[list(corners)].mean(0)
            turn = 0.012 * np.stack([np.sin(gaze[:, 0]), np.sin(gaze[:, 1]), np.zeros(len(gaze))], 1)
            noise = 0.0002 * rng.standard_normal((len(gaze), 5, 3))
            points[:, iris] = centre + turn[:, None] + ring + noise

    def _project(self, rng, points, pose, scale, times) -> TrackedFace:
        """Weak perspective into pixels, of a face that drifts across the picture and is sometimes lost for a while."""
        rotation = axis_angle_to_matrix(torch.from_numpy(pose)).numpy()  # (T, 3, 3)
        drift = scale[:, None] * 0.02 * smooth_noise(rng, times, 2, 2.0)
        seen = scale[:, None, None] * (points @ rotation.transpose(0, 2, 1))
        landmarks = seen * np.array([1, -1, -1])
        landmarks[..., :2] += drift[:, None] + np.array([320, 240])
        valid = np.ones(len(times), bool)
        if rng.random() < self.settings.missing and len(times) > 8:
            start = rng.integers(0, len(times))
            valid[start : start + rng.integers(1, len(times) // 4)] = False
        landmarks = landmarks.astype(np.float32)
        landmarks[~valid] = np.nan
        return TrackedFace(face_id=0, landmarks=landmarks, valid=valid)


def moderated(displacement: np.ndarray, reference: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """A source's answers without what is head motion or size, none more than MOST times as large as the reference.

    A regression over people who show an AU seldom extrapolates: it makes an answer of what else these people had.

    Args:
        displacement, reference: (19, 2, 478, 3) metres, left and right halves.
        mean: (478, 3) metres, the face that moves.
    """
    rigid = rigid_directions(torch.from_numpy(mean).float()).flatten(1).double().numpy()  # (7, 3 · 478)

    def own(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(*values.shape[:2], -1).astype(np.float64)
        motion = flat.sum(1) @ np.linalg.pinv(rigid) @ rigid  # of both halves together
        return (flat - motion[:, None] / 2).reshape(values.shape)

    kept, wanted = own(displacement), own(reference)
    size, most = (np.sqrt((v.sum(1) ** 2).sum((1, 2))) for v in (kept, wanted))
    factor = np.minimum(1, MOST * most / np.maximum(size, 1e-12))
    return (kept * factor[:, None, None, None]).astype(np.float32)


def other_weights(act: Performance, names: Sequence[str]) -> np.ndarray:
    """(T, 57) weights of ICT-FaceKit's shapes that belong to no AU: speech, a mouth aside, eyes that look about.

    Args:
        names: of the 57 shapes, in order.
    """
    weights = np.zeros((len(act.other), len(names)), np.float32)
    for name, column in zip(OTHER_SHAPES, act.other.T, strict=True):
        weights[:, names.index(name)] += column
    left, up = act.gaze.T / 0.6
    for side, outward in (("L", left), ("R", -left)):
        for name, amount in (("Up", up), ("Down", -up), ("Out", outward), ("In", -outward)):
            weights[:, names.index(f"eyeLook{name}_{side}")] += np.maximum(amount, 0)
    return weights


def _random_field(rng, smooth: np.ndarray) -> np.ndarray:
    """(P, 3) smooth random displacement of unit variance per coordinate, from (K, P) fields."""
    return (rng.standard_normal((3, len(smooth))) @ smooth).T


def _mix(share: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """share · first + (1 - share) · second, share (19,) of (19, ...)."""
    share = share.reshape(-1, *(1,) * (first.ndim - 1))
    return share * first + (1 - share) * second
