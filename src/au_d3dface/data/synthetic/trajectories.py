"""What faces do over time: action-unit intensities, gaze and head pose, sampled at any set of times.

People do not move action units one by one. They show displays (a smile, a frown, a surprised look) in which several
AUs rise together within a few hundred milliseconds, stay, and fall more slowly; they speak, blink, look about, and are
calm in between. A trajectory here is a random sum of such events in continuous time, so that its statistics do not
depend on the rate at which it is sampled. Intensities follow FACS: 0 absent, 1 trace (A) to 5 maximum (E).

Spontaneous onsets take 0.2-0.8 s and a blink 0.1-0.4 s; which AUs go together or exclude each other follows the FACS
manual (Ekman, Friesen and Hager, 2002) and the co-occurrence that spontaneous data sets (BP4D, DISFA) are known for.
"""

from collections.abc import Sequence

import numpy as np

from ... import facs

PRESENCE_THRESHOLD = 1.0
"""An AU is labelled present from this intensity on: a trace (A) counts, as FACS coders score occurrence."""

LEFT, RIGHT = 0, 1
"""Columns of the last axis of a trajectory: the subject's left and right side."""

# Name -> (how often relative to the others, {AU: (probability of taking part, intensity relative to the display's)}).
DISPLAYS: dict[str, tuple[float, dict[int, tuple[float, float]]]] = {
    "smile": (3.0, {12: (1, 1), 6: (0.8, 0.8), 7: (0.4, 0.6), 10: (0.3, 0.6), 25: (0.55, 0.7), 14: (0.15, 0.5)}),
    "laughter": (
        1.2,
        {12: (1, 1), 6: (0.95, 0.9), 7: (0.6, 0.7), 10: (0.5, 0.7), 25: (1, 0.9), 26: (0.7, 0.6), 9: (0.15, 0.4)},
    ),
    "brow raise": (1.6, {1: (0.95, 1), 2: (0.9, 1), 5: (0.25, 0.6)}),
    "frown": (2.0, {4: (1, 1), 7: (0.5, 0.6), 9: (0.1, 0.4), 17: (0.15, 0.5)}),
    "concern": (0.7, {1: (1, 1), 4: (0.9, 0.8), 2: (0.15, 0.4), 15: (0.3, 0.5)}),
    "sadness": (1.5, {1: (0.7, 0.8), 4: (0.6, 0.7), 15: (0.95, 1), 17: (0.8, 0.9), 24: (0.1, 0.4)}),
    "surprise": (0.9, {1: (1, 1), 2: (1, 1), 5: (0.8, 0.9), 25: (0.9, 0.8), 26: (0.85, 0.9)}),
    "fear": (0.4, {1: (1, 1), 2: (0.7, 0.8), 4: (0.8, 0.8), 5: (0.8, 0.9), 20: (0.8, 0.8), 25: (0.8, 0.7)}),
    "disgust": (1.6, {9: (0.9, 1), 4: (0.6, 0.7), 7: (0.6, 0.7), 10: (0.6, 0.8), 17: (0.3, 0.6), 25: (0.2, 0.5)}),
    "sneer": (1.0, {10: (1, 1), 9: (0.2, 0.5), 25: (0.5, 0.5), 4: (0.2, 0.5)}),
    "anger": (1.0, {4: (1, 1), 5: (0.3, 0.7), 7: (0.6, 0.7), 23: (0.7, 0.9), 24: (0.4, 0.8), 17: (0.3, 0.6)}),
    "pain": (0.5, {4: (0.9, 0.9), 6: (0.8, 0.8), 7: (0.8, 0.9), 9: (0.4, 0.7), 10: (0.5, 0.8), 25: (0.5, 0.7)}),
    "pressed lips": (0.9, {24: (1, 1), 17: (0.5, 0.7), 14: (0.2, 0.6), 23: (0.3, 0.6)}),
    "tight lips": (1.2, {23: (1, 1), 17: (0.3, 0.6)}),
    "pout": (1.2, {17: (1, 1), 15: (0.4, 0.7), 24: (0.15, 0.5)}),
    "dimples": (1.6, {14: (1, 1), 12: (0.2, 0.4), 17: (0.15, 0.5), 24: (0.15, 0.5)}),
    "stretched mouth": (1.2, {20: (1, 1), 25: (0.6, 0.7), 26: (0.2, 0.5)}),
    "sucked lips": (1.6, {28: (1, 1), 26: (0.2, 0.3), 17: (0.2, 0.4)}),
    "open mouth": (1.2, {25: (1, 1), 26: (0.6, 0.9)}),
    "squint": (0.9, {7: (1, 1), 6: (0.3, 0.5), 4: (0.3, 0.5)}),
    "wide eyes": (1.0, {5: (1, 1), 1: (0.2, 0.5), 2: (0.2, 0.5)}),
}

SINGLE_DISPLAY_PROBABILITY = 0.25
"""Share of displays made of one or two AUs drawn at random, so that no AU is only ever seen in company."""

# The stronger of the two lets little of the weaker through.
EXCLUSIONS = ((23, 25), (24, 25), (28, 25), (23, 26), (24, 26), (28, 23), (28, 24), (12, 15), (28, 12), (28, 10))
EXCLUSIONS += ((5, 7), (5, 45), (5, 6), (20, 23), (20, 24), (28, 17), (9, 2))


def sample_action_units(
    rng: np.random.Generator, times: np.ndarray, action_units: Sequence[int] = facs.ALL
) -> np.ndarray:
    """One person's AU intensities.

    Args:
        rng: consumed in an order that depends on the duration but not on how densely `times` are set.
        times: (T,) seconds, increasing, from 0.
        action_units: the columns wanted; the face moves all of facs.ALL whatever is asked for.

    Returns:
        (T, N, 2) float32 in [0, 5], the subject's left and right side.
    """
    end = float(times[-1]) if len(times) else 0.0
    rise = {au: np.zeros((len(times), 2), np.float32) for au in facs.ALL}

    def show(au: int, start: float, onset: float, apex: float, offset: float, peak: float, balance: np.ndarray) -> None:
        shape = peak * _envelope(times, start, onset, apex, offset)
        np.maximum(rise[au], shape[:, None] * balance, out=rise[au])

    _resting_face(rng, show, end)
    _displays(rng, show, end)
    _speech(rng, show, end)
    _blinks(rng, show, end)

    intensity = np.stack([rise[au] for au in facs.ALL], axis=1)
    intensity *= 1 + 0.12 * smooth_noise(rng, times, intensity.shape[1], period=0.7)[..., None]  # muscles tremble
    intensity = _settle(np.clip(intensity, 0, 5))
    return intensity[:, [facs.ALL.index(au) for au in action_units]].astype(np.float32)


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


def _displays(rng, show, end: float) -> None:
    """Displays with calm between them; how often, and which, differs from person to person."""
    names = list(DISPLAYS)
    weights = np.array([DISPLAYS[name][0] for name in names]) * rng.gamma(1.0, 1.0, len(names))
    weights /= weights.sum()
    calm = float(np.exp(rng.normal(np.log(0.7), 1.0)))  # mean seconds between displays
    strength = rng.uniform(0.6, 1.2)
    start = rng.exponential(calm) - rng.uniform(0, 2.0)
    while start < end:
        if rng.random() < SINGLE_DISPLAY_PROBABILITY:
            # A lone AU 25 without jaw, or any other: two at most. Blinks have their own process.
            chosen = rng.choice([au for au in facs.ALL if au != 45], size=1 + (rng.random() < 0.4), replace=False)
            members = {int(au): (1.0, 1.0) for au in chosen}
        else:
            members = DISPLAYS[names[rng.choice(len(names), p=weights)]][1]
        peak = np.clip(strength * 5 * rng.beta(1.9, 1.7), 0.5, 5)
        onset, offset = rng.uniform(0.2, 0.8), rng.uniform(0.3, 1.2)
        apex = float(np.clip(np.exp(rng.normal(np.log(1.5), 0.9)), 0.1, 8))
        balance = _balance(rng)
        for au, (probability, relative) in members.items():
            if rng.random() >= probability:
                continue
            own = np.clip(peak * relative * rng.uniform(0.7, 1.3) + rng.normal(0, 0.3), 0.3, 5)
            delay = rng.normal(0, 0.08)
            stretch = rng.uniform(0.8, 1.2)
            own_onset = float(np.clip(onset * stretch, 0.2, 0.8))
            show(au, start + delay, own_onset, apex * rng.uniform(0.8, 1.1), offset * stretch, own, balance)
        overlap = 0.3 * rng.random() * apex if rng.random() < 0.25 else 0.0
        start += onset + apex + offset - overlap + rng.exponential(calm)


def _resting_face(rng, show, end: float) -> None:
    """Some people smile, frown or keep their lips parted nearly all the time."""
    if rng.random() < 0.12:
        peak = rng.uniform(1.0, 3.0)
        for au, relative in ((12, 1.0), (6, 0.6), (25, 0.5 * (rng.random() < 0.5))):
            show(au, -rng.uniform(1, 3), 0.5, 2 * end + 6, 1.0, peak * relative, _balance(rng))
    elif rng.random() < 0.15:
        au = int(rng.choice([4, 25, 17, 14, 24, 7]))
        show(au, -rng.uniform(1, 3), 0.5, 2 * end + 6, 1.0, rng.uniform(0.5, 2.5), _balance(rng))


def _speech(rng, show, end: float) -> None:
    """Bouts of speech: lips and jaw open and close 3-6 times a second, other lower-face AUs flash up for a syllable."""
    if rng.random() > 0.45:
        return
    effort = rng.uniform(0.6, 1.2)
    start = rng.exponential(2.0) - 1.0
    both = np.ones(2)
    while start < end:
        bout = start + rng.exponential(3.0) + 0.5
        while start < min(bout, end):
            length = rng.uniform(0.16, 0.36)  # one syllable
            ramp, hold = 0.35 * length, 0.3 * length
            if rng.random() < 0.85:
                opening = effort * rng.uniform(0.6, 3.0)
                show(25, start, ramp, hold, ramp, opening, both)
                if rng.random() < 0.65:
                    show(26, start, ramp, hold, ramp, opening * rng.uniform(0.4, 1.0), both)
            for au, probability in ((17, 0.10), (20, 0.08), (23, 0.08), (10, 0.06), (24, 0.04), (14, 0.03)):
                if rng.random() < probability:
                    show(au, start - 0.05, 0.1, 0.05, 0.12, effort * rng.uniform(0.5, 2.0), both)
            if rng.random() < 0.05:  # brows stress a word
                peak = rng.uniform(0.5, 2.5)
                for au in (1, 2):
                    show(au, start, 0.2, rng.uniform(0.1, 0.4), 0.3, peak, both)
            start += length
        start += rng.exponential(2.5)


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
        keep = np.clip(1 - (np.maximum(x, y) - np.minimum(x, y)) / 1.0, 0, 1)  # a hand-over takes no jump
        keep = np.where(np.minimum(x, y) > 0, 0.4 * keep, 1.0)
        weaker = np.where(x < y, column[a], column[b])
        rows = np.arange(len(out))
        # At a tie both give way, so the order of the pair does not matter.
        out[rows, weaker] *= keep[:, None]
    jaw = out[:, column[26]]
    out[:, column[25]] = np.maximum(out[:, column[25]], 0.5 * jaw)  # a dropped jaw parts the lips
    return out


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
