"""What faces do over time: action-unit intensities, gaze and head pose, sampled at any set of times.

People do not move action units one by one. They show displays (a smile, a frown, a surprised look) in which several
AUs rise together within a few hundred milliseconds, stay, and fall more slowly; they speak, blink, look about, and are
calm in between. A trajectory here is a random sum of such events in continuous time, so that its statistics do not
depend on the rate at which it is sampled. Intensities follow FACS: 0 absent, 1 trace (A) to 5 maximum (E).

Spontaneous onsets take 0.2-0.8 s and a blink 0.1-0.4 s; which AUs go together, and how often, is in displays.py.
"""

from dataclasses import dataclass

import numpy as np

from ... import facs
from .displays import DISPLAYS, EXCLUSIONS, STYLES, Stream

PRESENCE_THRESHOLD = 1.0
"""An AU is labelled present from this intensity on: a trace (A) counts, as FACS coders score occurrence."""

FAINTEST = 1.15
"""Intensity at the apex of the faintest event: a trace, whose label does not hang on a tremble."""

OTHER_SHAPES = (
    "mouthFunnel",
    "mouthPucker",
    "mouthClose",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthLeft",
    "mouthRight",
    "jawLeft",
    "jawRight",
    "jawForward",
    "cheekPuff_L",
    "cheekPuff_R",
)
"""ICT-FaceKit shapes that move in speech and when a mouth is pushed aside or filled with air: no AU of ours."""


@dataclass(frozen=True)
class Performance:
    """What one person does over time.

    Attributes:
        action_units: (T, 19, 2) float32 in [0, 5], of facs.ALL, the subject's left and right side.
        other: (T, 12) float32 in [0, 1], weights of OTHER_SHAPES.
        gaze: (T, 2) radians relative to the head, to the subject's left and up.
        pose: (T, 3) pitch, yaw, roll, radians about x, y, z of the head frame.
    """

    action_units: np.ndarray
    other: np.ndarray
    gaze: np.ndarray
    pose: np.ndarray


def sample_performance(rng: np.random.Generator, times: np.ndarray, style: str | None = None) -> Performance:
    """One person's behaviour.

    Args:
        rng: consumed in an order that depends on the duration but not on how densely `times` are set.
        times: (T,) seconds, increasing, from 0.
        style: of `displays.STYLES`; None draws one.
    """
    # A generator of its own for each part, so that none depends on how many numbers another has drawn.
    units, look, turn, choice = rng.spawn(4)
    drawn = str(choice.choice(list(STYLES)))
    action_units, other = sample_action_units(units, times, style or drawn)
    return Performance(action_units, other, sample_gaze(look, times), sample_head_pose(turn, times))


def sample_action_units(rng: np.random.Generator, times: np.ndarray, style: str) -> tuple[np.ndarray, np.ndarray]:
    """One person's AU intensities and other shapes: `Performance.action_units` and `Performance.other`."""
    end = float(times[-1]) if len(times) else 0.0
    rise = {au: np.zeros((len(times), 2), np.float32) for au in facs.ALL}
    other = {name: np.zeros(len(times), np.float32) for name in OTHER_SHAPES}

    def show(au: int, start: float, onset: float, apex: float, offset: float, peak: float, balance: np.ndarray) -> None:
        shape = peak * _envelope(times, start, onset, apex, offset)
        np.maximum(rise[au], shape[:, None] * balance, out=rise[au])

    def move(name: str, start: float, onset: float, apex: float, offset: float, peak: float) -> None:
        np.maximum(other[name], peak * _envelope(times, start, onset, apex, offset), out=other[name])

    behaviour = STYLES[style]
    _resting_face(rng, show, end)
    for stream in behaviour.streams:
        _displays(rng, show, end, stream, behaviour.single)
    _speech(rng, show, move, end, behaviour.speech)
    _mouth_aside(rng, move, end)
    _blinks(rng, show, end)

    intensity = np.stack([rise[au] for au in facs.ALL], axis=1)
    tremble = 1 + 0.12 * smooth_noise(rng, times, intensity.shape[1], period=0.7)[..., None]
    intensity = np.where(intensity > 1, 1 + (intensity - 1) * tremble, intensity)  # a trace does not flicker
    intensity = _settle(np.clip(intensity, 0, 5))
    return intensity.astype(np.float32), np.stack(list(other.values()), -1)


def labels(intensity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a coder would write down for a trajectory: the stronger side counts.

    Args:
        intensity: (T, N, 2).

    Returns:
        occurrence (T, N) int64 in {0, 1}, 1 from PRESENCE_THRESHOLD on; intensity (T, N) float32 in [0, 5].
    """
    stronger = intensity.max(-1)
    return (stronger >= PRESENCE_THRESHOLD).astype(np.int64), stronger.astype(np.float32)


def sample_gaze(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """(T, 2) radians: gaze relative to the head, to the subject's left and up, held between saccades of about 30 ms."""
    gaze = np.zeros((len(times), 2))
    spread = rng.uniform(0.3, 1.0) * np.array([0.25, 0.15])
    end = float(times[-1]) if len(times) else 0.0
    start, previous = 0.0, spread * rng.standard_normal(2)
    gaze[:] = previous
    while start < end:
        start += rng.exponential(1.2) + 0.15
        target = spread * rng.standard_normal(2) * (rng.random() > 0.35)  # often back to the camera
        gaze += _ramp(times, start, 0.03)[:, None] * (target - previous)
        previous = target
    return np.clip(gaze, -0.6, 0.6).astype(np.float32)


def sample_head_pose(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """(T, 3) pitch, yaw, roll, radians about x, y, z of the head frame: drift, turns, nods, shakes."""
    end = float(times[-1]) if len(times) else 0.0
    liveliness = rng.uniform(0.1, 1.0)
    pose = rng.standard_normal(3) * np.array([0.08, 0.10, 0.05])  # how the camera stands
    pose = pose + liveliness * np.array([0.05, 0.09, 0.04]) * smooth_noise(rng, times, 3, period=2.5)
    start = rng.exponential(3.0)
    while start < end:
        onset, apex, offset = rng.uniform(0.3, 0.9), rng.exponential(1.0), rng.uniform(0.3, 0.9)
        turn = liveliness * rng.standard_normal(3) * np.array([0.15, 0.35, 0.10])
        shape = _envelope(times, start, onset, apex, offset)
        if rng.random() < 0.3:  # a nod or a shake: the same display, swinging
            turn *= np.array([0.6, 0.1, 0.1]) if rng.random() < 0.5 else np.array([0.1, 0.4, 0.2])
            shape = shape * np.sin(2 * np.pi * rng.uniform(1.0, 2.5) * (times - start))
        pose = pose + shape[:, None] * turn
        start += onset + apex + offset + rng.exponential(3.0 / liveliness)
    return np.clip(pose, -0.8, 0.8).astype(np.float32)


def _displays(rng, show, end: float, stream: Stream, single: float) -> None:
    """Displays with calm between them; how often, and which, differs from person to person.

    An AU that takes part is at least a trace at its apex: what no coder would see is not shown.
    """
    names = list(stream.displays)
    weights = np.array(list(stream.displays.values())) * rng.gamma(1.5, 1.0, len(names))
    weights /= weights.sum()
    calm = float(stream.calm * np.exp(rng.normal(0, 0.8)))
    strength = rng.uniform(0.7, 1.2)
    start = rng.exponential(calm) - rng.uniform(0, 2.0)
    while start < end:
        if rng.random() < single:
            # Any one or two; blinks have their own process.
            chosen = rng.choice([au for au in facs.ALL if au != 45], size=1 + (rng.random() < 0.4), replace=False)
            members = {int(au): (1.0, 1.0) for au in chosen}
        else:
            members = DISPLAYS[names[rng.choice(len(names), p=weights)]]
        peak = 1 + 4 * strength * rng.beta(1.5, 1.8)
        onset, offset = rng.uniform(0.2, 0.8), rng.uniform(0.3, 1.2)
        apex = float(np.clip(stream.apex * np.exp(rng.normal(0, 0.7)), 0.1, 8))
        balance = _balance(rng)
        for au, (probability, relative) in members.items():
            taking_part, factor, shift = rng.random() < probability, rng.uniform(0.7, 1.3), rng.normal(0, 0.3)
            delay, stretch, share = rng.normal(0, 0.08), rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.1)
            own = peak * relative * factor + shift
            if not taking_part or own < 0.8:
                continue
            own_onset = float(np.clip(onset * stretch, 0.2, 0.8))
            show(au, start + delay, own_onset, apex * share, offset * stretch, np.clip(own, FAINTEST, 5), balance)
        overlap = 0.3 * rng.random() * apex if rng.random() < 0.25 else 0.0
        start += onset + apex + offset - overlap + rng.exponential(calm)


def _resting_face(rng, show, end: float) -> None:
    """Some people smile, frown or keep their lips parted nearly all the time."""
    kind = rng.random()
    start, peak, balance = -rng.uniform(1, 3), rng.uniform(FAINTEST, 3.0), _balance(rng)
    au, parted = int(rng.choice([4, 25, 17, 14, 24, 7])), rng.random() < 0.5
    if kind < 0.05:
        for unit, relative in ((12, 1.0), (6, 0.7), (25, 0.7))[: 2 + parted]:
            show(unit, start, 0.5, 2 * end + 6, 1.0, max(peak * relative, FAINTEST), balance)
    elif kind < 0.1:
        show(au, start, 0.5, 2 * end + 6, 1.0, peak, balance)


def _speech(rng, show, move, end: float, share: float) -> None:
    """Bouts of speech: lips and jaw open and close 3-6 times a second, round and roll; other lower AUs flash up."""
    speaks, effort = rng.random() < share, rng.uniform(0.6, 1.1)
    start = rng.exponential(2.0) - 1.0
    both = np.ones(2)
    while speaks and start < end:
        bout = start + rng.exponential(3.0) + 0.5
        while start < min(bout, end):
            length = rng.uniform(0.16, 0.36)  # one syllable
            ramp, hold = 0.35 * length, 0.3 * length
            if rng.random() < 0.85:
                opening = max(effort * rng.uniform(1.2, 3.5), FAINTEST)
                show(25, start, ramp, hold, ramp, opening, both)
                if rng.random() < 0.65:
                    show(26, start, ramp, hold, ramp, max(opening * rng.uniform(0.4, 1.0), FAINTEST), both)
            vowel, lips = rng.random(), effort * rng.uniform(0.15, 0.55)
            if vowel < 0.2:
                move("mouthFunnel", start - 0.03, ramp, hold, ramp, lips)
            elif vowel < 0.4:
                move("mouthPucker", start - 0.03, ramp, hold, ramp, lips)
            elif vowel < 0.55:  # m, b, p
                move("mouthRollLower", start - 0.05, 0.06, 0.02, 0.08, 0.6 * lips)
                move("mouthRollUpper", start - 0.05, 0.06, 0.02, 0.08, 0.6 * lips)
            for au, probability in ((17, 0.08), (20, 0.06), (10, 0.06), (14, 0.03)):
                if rng.random() < probability:
                    show(au, start - 0.05, 0.1, 0.05, 0.12, max(effort * rng.uniform(0.8, 2.0), FAINTEST), both)
            if rng.random() < 0.05:  # brows stress a word
                peak = rng.uniform(FAINTEST, 2.5)
                for au in (1, 2):
                    show(au, start, 0.2, rng.uniform(0.1, 0.4), 0.3, peak, both)
            start += length
        start += rng.exponential(2.5)


def _mouth_aside(rng, move, end: float) -> None:
    """Now and then a mouth is pushed to a side, a jaw moved, the lips rounded, the cheeks filled with air."""
    start = rng.exponential(12.0)
    choices = ("mouthLeft", "mouthRight", "jawLeft", "jawRight", "jawForward")
    choices += ("mouthPucker", "mouthFunnel", "cheekPuff")
    while start < end:
        name, peak = choices[int(rng.integers(len(choices)))], rng.uniform(0.15, 0.7)
        onset, apex, offset = rng.uniform(0.15, 0.5), rng.exponential(0.7), rng.uniform(0.2, 0.6)
        for half in ("cheekPuff_L", "cheekPuff_R") if name == "cheekPuff" else (name,):
            move(half, start, onset, apex, offset, peak)
        start += onset + apex + offset + rng.exponential(12.0)


def _blinks(rng, show, end: float) -> None:
    """Blinks of 0.1-0.4 s, on average one in two to six seconds; now and then the eyes stay shut for longer."""
    pause = rng.uniform(1.5, 5.0)
    start = rng.exponential(pause)
    while start < end:
        length = float(np.clip(rng.normal(0.22, 0.07), 0.1, 0.4))
        hold = 0.25 * length if rng.random() > 0.06 else rng.uniform(0.3, 1.5)
        show(45, start, 0.3 * length, hold, 0.45 * length, rng.uniform(3.0, 5.0), np.ones(2))
        start += length + hold + rng.exponential(pause)


def _settle(intensity: np.ndarray) -> np.ndarray:
    """Exclusions, and what the jaw implies: (T, 19, 2) to the same."""
    column = {au: i for i, au in enumerate(facs.ALL)}
    out = intensity.copy()
    for a, b in EXCLUSIONS:
        x, y = intensity[:, column[a]].max(-1), intensity[:, column[b]].max(-1)
        out[:, column[a]] *= _kept(x, y)[:, None]
        out[:, column[b]] *= _kept(y, x)[:, None]
    jaw = out[:, column[26]]
    out[:, column[25]] = np.maximum(out[:, column[25]], 0.5 * jaw)  # a dropped jaw parts the lips
    return out


def _kept(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(T,) the share of an AU that one which excludes it lets through.

    Continuous in both intensities, so that a hand-over takes no jump: at a tie both keep 0.4; the weaker vanishes where
    the other is 1 ahead, the stronger is whole from 0.5 ahead on, or from as much as there is of the other.
    """
    ahead = own - other
    weaker = 0.4 * np.clip(1 + ahead, 0, 1)
    stronger = 1 - 0.6 * np.clip(1 - ahead / np.clip(other, 1e-6, 0.5), 0, 1)
    return np.where(ahead < 0, weaker, stronger)


def _balance(rng) -> np.ndarray:
    """(2,) share of the peak on the left and right side: mostly even, sometimes lopsided, rarely one-sided."""
    kind = rng.random()
    weaker = 1.0 - abs(rng.normal(0, 0.08)) if kind < 0.8 else rng.uniform(0.4, 0.9) if kind < 0.95 else 0.05
    sides = np.array([1.0, max(weaker, 0.0)])
    return sides if rng.random() < 0.5 else sides[::-1]


def _ramp(times: np.ndarray, start: float, length: float) -> np.ndarray:
    """0 before `start`, 1 after `start + length`, half a cosine between."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((times - start) / max(length, 1e-6), 0, 1))


def _envelope(times: np.ndarray, start: float, onset: float, apex: float, offset: float) -> np.ndarray:
    return _ramp(times, start, onset) - _ramp(times, start + onset + apex, offset)


def smooth_noise(rng, times: np.ndarray, channels: int, period: float) -> np.ndarray:
    """(T, channels) of about unit variance and correlation time `period`: a cubic spline through white noise."""
    end = float(times[-1]) if len(times) else 0.0
    knots = rng.standard_normal((int(end / period) + 4, channels))
    position = np.asarray(times) / period + 1
    index = np.clip(position.astype(int), 1, len(knots) - 3)
    f = (position - index)[:, None]
    # Cubic B-spline weights; 1.45 restores unit variance on average.
    weights = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    return 1.45 * sum(w / 6 * knots[index + k - 1] for k, w in enumerate(weights))
