"""Laws of AU trajectories: bounds, durations, company and exclusion, positive rates, distractors, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface import facs
from au_d3dface.data.synthetic import trajectories
from au_d3dface.data.synthetic.displays import DISPLAYS, EXCLUSIONS, POSITIVE_RATES, STYLES
from au_d3dface.data.synthetic.trajectories import (
    FAINTEST,
    OTHER_SHAPES,
    labels,
    sample_action_units,
    sample_gaze,
    sample_head_pose,
    sample_performance,
)

COLUMN = {au: index for index, au in enumerate(facs.ALL)}
TIMES = np.arange(100) / 10
PEOPLE = 300


def units(seed: int, times: np.ndarray = TIMES, style: str = "posing") -> np.ndarray:
    return sample_action_units(np.random.default_rng(seed), times, style)[0]


@pytest.fixture(scope="module")
def people() -> dict[str, np.ndarray]:
    """Style -> (300, 100, 19): stronger side of 300 people for 10 s."""
    return {style: np.stack([units(seed, style=style).max(-1) for seed in range(PEOPLE)]) for style in STYLES}


@pytest.fixture(scope="module")
def many(people) -> np.ndarray:
    """(900, 100, 19): all of them."""
    return np.concatenate(list(people.values()))


@given(seed=st.integers(0, 10**6), frames=st.integers(0, 60), style=st.sampled_from([*STYLES, None]))
@settings(max_examples=30, deadline=None)
def test_bounds_and_determinism(seed, frames, style):
    times = np.arange(frames) / 10
    first, again = (sample_performance(np.random.default_rng(seed), times, style) for _ in range(2))
    shapes = {"action_units": (19, 2), "other": (len(OTHER_SHAPES),), "gaze": (2,), "pose": (3,)}
    for name, shape in shapes.items():
        values = getattr(first, name)
        assert values.shape == (frames, *shape)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(values, getattr(again, name))
    if frames:
        assert 0 <= first.action_units.min() <= first.action_units.max() <= 5
        assert 0 <= first.other.min() <= first.other.max() <= 1
        assert np.abs(first.gaze).max() <= 0.6 + 1e-6
        assert np.abs(first.pose).max() <= 0.8 + 1e-6


def test_another_seed_is_another_person():
    assert np.abs(units(1) - units(2)).max() > 0.5
    for sample in (sample_gaze, sample_head_pose):
        a, b = (sample(np.random.default_rng(seed), TIMES) for seed in (1, 2))
        assert np.abs(a - b).max() > 0.02


def test_a_style_that_is_not_there():
    with pytest.raises(KeyError, match="singing"):
        sample_performance(np.random.default_rng(0), TIMES, "singing")


def test_the_rate_only_samples():
    """A denser grid over the same time shows the same face at the times that both have."""
    coarse, dense = np.arange(0, 71) / 10, np.arange(0, 211) / 30
    for seed in range(10):
        a, b = (sample_performance(np.random.default_rng(seed), times) for times in (coarse, dense))
        for name in ("action_units", "other", "gaze", "pose"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name)[::3], atol=1e-4, err_msg=name)


def test_nothing_jumps():
    """Not even where one AU takes over from another that excludes it: a blink of 0.1 s is the fastest that there is."""
    fine = np.arange(0, 8, 1 / 4000)
    for seed in range(6):
        steps = np.abs(np.diff(units(seed, fine, list(STYLES)[seed % 3]), axis=0))
        assert steps.max() < 0.3


@pytest.mark.parametrize("other", [0.0, 0.3, 1.0, 3.0])
def test_what_an_exclusion_lets_through(other):
    """Continuous in the AU's own intensity: nothing of it far below the other, all far above, 0.4 at a tie."""
    own = np.linspace(0, 5, 5001)
    kept = trajectories._kept(own, np.full_like(own, other))
    assert ((kept >= 0) & (kept <= 1)).all()
    assert np.abs(np.diff(own * kept)).max() < 0.02
    assert (kept[own > other + 0.5] == 1).all()
    assert (kept[own < other - 1] == 0).all()
    if other:
        assert trajectories._kept(np.array([other]), np.array([other])) == pytest.approx(0.4)


def test_blinks_last_a_tenth_to_four_tenths_of_a_second_mostly():
    times = np.arange(3000) / 100
    lengths = []
    for seed in range(20):
        # Displays may shut the eyes too, for longer: the process of blinks alone.
        closed = np.zeros(len(times), bool)

        def show(au, start, onset, apex, offset, peak, balance, closed=closed):
            assert au == 45
            closed |= peak * trajectories._envelope(times, start, onset, apex, offset) > 0.01

        trajectories._blinks(np.random.default_rng(seed), show, 30.0)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(int), [0]])))
        lengths.extend((edges[1::2] - edges[::2]) / 100)
    assert 1 < len(lengths) / 20 / 3 < 8  # in ten seconds
    assert np.mean((np.array(lengths) >= 0.07) & (np.array(lengths) <= 0.45)) > 0.85


def test_blinks_are_seen_in_trajectories(many):
    assert 0.03 < (many[..., COLUMN[45]] >= 1).mean() < 0.15


@pytest.fixture(scope="module")
def events() -> list[tuple[int, float, float, float]]:
    """AU, onset, offset and peak of every event of 60 people of each style, as they are asked for."""
    seen = []

    def show(au, start, onset, apex, offset, peak, balance):
        assert balance.max() == pytest.approx(1)  # the stronger side has the whole peak
        seen.append((au, onset, offset, peak))

    for name, style in STYLES.items():
        for seed in range(60):
            rng = np.random.default_rng([seed, list(STYLES).index(name)])
            trajectories._resting_face(rng, show, 10.0)
            for stream in style.streams:
                trajectories._displays(rng, show, 10.0, stream, style.single)
    return seen


def test_onsets_of_displays_take_two_to_eight_tenths_of_a_second(events):
    _, onset, offset, _ = np.array(events).T
    assert len(events) > 1500
    assert onset.min() >= 0.2
    assert onset.max() <= 0.8
    assert offset.min() > 0.2


def test_no_event_is_fainter_than_a_trace(events):
    """Nor do speech and blinks have any: what is shown is labelled."""
    seen = [peak for *_, peak in events]

    def show(au, start, onset, apex, offset, peak, balance):
        seen.append(peak)

    def move(*event):
        pass

    displays = len(seen)
    for seed in range(60):
        trajectories._speech(np.random.default_rng(seed), show, move, 10.0, share=1.0)
        trajectories._blinks(np.random.default_rng(seed), show, 10.0)
    assert len(seen) > displays + 500
    assert min(seen) >= FAINTEST > trajectories.PRESENCE_THRESHOLD
    assert max(seen) <= 5


def test_a_trace_does_not_flicker(people):
    """An AU that is present stays so until it falls: no label is off for a frame or two between frames that have it."""
    present = people["posing"] >= 1
    present[..., COLUMN[25]] = present[..., COLUMN[26]] = present[..., COLUMN[45]] = False  # these do in speech
    gaps = present[:, :-2] & ~present[:, 1:-1] & present[:, 2:]
    assert gaps.sum() < 0.002 * present.sum()


@pytest.mark.parametrize(("a", "b"), [(6, 12), (1, 2), (25, 26), (15, 17), (4, 7), (9, 10)])
def test_company(people, a, b):
    present = people["posing"] >= 1
    together = present[..., COLUMN[a]] & present[..., COLUMN[b]]
    lift = together.mean() / (present[..., COLUMN[a]].mean() * present[..., COLUMN[b]].mean())
    assert lift > 1.5


@pytest.mark.parametrize(("a", "b"), [(23, 25), (24, 25), (28, 25), (12, 15), (5, 45)])
def test_exclusion(many, a, b):
    present = many >= 1
    together = (present[..., COLUMN[a]] & present[..., COLUMN[b]]).mean()
    assert together < 0.6 * present[..., COLUMN[a]].mean() * present[..., COLUMN[b]].mean()


def test_displays_do_not_contradict_themselves():
    """No display surely shows two AUs that exclude each other, and all that is named is known."""
    for name, members in DISPLAYS.items():
        assert set(members) <= set(facs.ALL)
        sure = {au for au, (probability, _) in members.items() if probability >= 0.9}
        assert not [pair for pair in EXCLUSIONS if set(pair) <= sure], name
    for style in STYLES.values():
        assert all(stream.displays.keys() <= DISPLAYS.keys() for stream in style.streams)


def test_cheek_raising_comes_with_smiling(people):
    present = people["posing"] >= 1
    assert present[..., COLUMN[12]][present[..., COLUMN[6]]].mean() > 0.55


def test_a_dropped_jaw_parts_the_lips(many):
    assert (many[..., COLUMN[25]] >= 0.5 * many[..., COLUMN[26]] - 1e-3).all()


@pytest.mark.parametrize(("style", "mean_difference"), [("conversation", 0.06), ("watching", 0.03)])
def test_positive_rates_are_those_of_the_data_sets(people, style, mean_difference):
    """Over 300 people for 10 s: every rate within a factor of 1.8, and near on average."""
    rates = (people[style] >= 1).mean((0, 1))
    found, wanted = np.array([(rates[COLUMN[au]], rate) for au, rate in POSITIVE_RATES[style].items()]).T
    assert (found < 1.8 * wanted).all()
    assert (found > wanted / 1.8).all()
    assert np.abs(found - wanted).mean() < mean_difference


def test_every_action_unit_occurs_in_every_style(people):
    for style, intensity in people.items():
        rates = (intensity >= 1).mean((0, 1))
        assert rates.min() > 0.008, style
        assert rates.max() < 0.65, style


def test_conversations_are_lively_and_watching_is_calm(people):
    calm = {style: (~(intensity >= 1).any(-1)).mean() for style, intensity in people.items()}
    assert calm["conversation"] < 0.05
    assert 0.1 < calm["watching"] < 0.5
    assert 0.1 < calm["posing"] < 0.5


def test_all_intensities_occur(many):
    grades = np.bincount(np.floor(many[many >= 1]).astype(int), minlength=6)
    assert (grades[1:5] > 0.05 * grades.sum()).all()  # A to D; E is only the very maximum
    assert grades[5] > 0.005 * grades.sum()


def test_tightened_and_pressed_lips_are_told_apart(many):
    """AU 23 and AU 24 each occur without the other."""
    present = many >= 1
    tight, pressed = present[..., COLUMN[23]], present[..., COLUMN[24]]
    assert (tight & ~pressed).sum() > 3 * (tight & pressed).sum()
    assert (pressed & ~tight).sum() > 3 * (tight & pressed).sum()


def test_some_are_lopsided():
    sides = np.concatenate([units(seed)[:, COLUMN[12]] for seed in range(PEOPLE)])
    strong = sides[sides.max(-1) > 2]
    share = strong.min(-1) / strong.max(-1)
    assert 0.02 < (share < 0.6).mean() < 0.4


@pytest.fixture(scope="module")
def performances() -> list:
    return [sample_performance(np.random.default_rng(seed), TIMES) for seed in range(PEOPLE)]


def test_distractors_move_the_mouth_without_action_units(performances):
    """Every one of the other shapes occurs, in frames where no AU of the mouth is present as well."""
    other = np.concatenate([act.other for act in performances])
    mouth = [COLUMN[au] for au in (10, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28)]
    silent = np.concatenate([labels(act.action_units)[0][:, mouth].max(-1) for act in performances]) == 0
    moved = dict(zip(OTHER_SHAPES, (other > 0.1).T, strict=True))
    for name, frames in moved.items():
        if name != "mouthClose":  # only rendered faces at rest have it
            assert frames.any(), name
            assert (frames & silent).any(), name
    assert 0.01 < (other.max(-1) > 0.1)[silent].mean() < 0.3
    assert (other.max(-1) < 0.01).mean() > 0.5


def test_one_seldom_puffs_one_cheek(performances):
    left, right = (OTHER_SHAPES.index(f"cheekPuff_{side}") for side in "LR")
    other = np.concatenate([act.other for act in performances])
    np.testing.assert_array_equal(other[:, left], other[:, right])


def test_speech_opens_the_mouth_three_to_six_times_a_second():
    """Lips part and close again and again, and their rounding and rolling goes along."""
    opened, moved = [], set()

    def show(au, start, onset, apex, offset, peak, balance):
        if au == 25:
            opened.append(start)

    def move(name, *event):
        moved.add(name)

    for seed in range(20):
        trajectories._speech(np.random.default_rng(seed), show, move, 10.0, share=1.0)
    assert moved == {"mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper"}
    steps = np.diff(opened)
    within = steps[(steps > 0) & (steps < 0.37)]  # of one syllable to the next
    assert len(within) > 200
    assert 3 < 1 / within.mean() < 6.5


def test_nobody_speaks_where_the_style_says_so():
    def never(*event):
        raise AssertionError(event)

    trajectories._speech(np.random.default_rng(0), never, never, 10.0, share=0.0)


def test_gaze_is_held_between_saccades():
    times = np.arange(2000) / 200
    for seed in range(5):
        gaze = sample_gaze(np.random.default_rng(seed), times)
        still = np.abs(np.diff(gaze, axis=0)).max(-1) < 1e-6
        assert still.mean() > 0.8
        assert np.ptp(gaze, axis=0).max() > 0.02


def test_labels_take_the_stronger_side_from_a_trace_on():
    intensity = np.array([[[0.99, 0.2], [0.0, 1.0]]], np.float32)
    present, strength = labels(intensity)
    assert present.tolist() == [[0, 1]]
    np.testing.assert_allclose(strength, [[0.99, 1.0]])
