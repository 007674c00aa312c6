"""Events of two sequences: intervals, overlaps and matching against brute force."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.metrics import event_intervals, event_scores, event_scores_by_au, match_events, pooled_event_scores
from au_d3dface.metrics.events import event_overlaps


def intervals(draw_seed: int, count: int) -> np.ndarray:
    """(count, 2) disjoint intervals of positive length, in order."""
    edges = np.sort(np.random.default_rng(draw_seed).choice(60, 2 * count, replace=False)) / 10
    return edges.reshape(count, 2)


def test_intervals_end_where_the_next_sample_begins():
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6])
    found = event_intervals(np.array([True, False, True, True, True]), times)
    assert found == pytest.approx(np.array([[0.0, 0.1], [0.2, 0.7]]))
    assert event_intervals(np.zeros(5, bool), times).shape == (0, 2)
    assert event_intervals(np.zeros(0, bool), np.zeros(0)).shape == (0, 2)


@given(decisions=st.lists(st.booleans(), min_size=2, max_size=60))
@settings(deadline=None)
def test_intervals_hold_exactly_the_active_samples(decisions):
    times = np.arange(len(decisions)) / 10
    found = event_intervals(np.array(decisions), times)
    inside = ((times[:, None] >= found[:, 0] - 1e-9) & (times[:, None] < found[:, 1] - 1e-9)).any(1)
    assert inside.tolist() == decisions
    assert (found[1:, 0] > found[:-1, 1] + 1e-9).all()  # a sample at rest lies between two events


@given(seed=st.integers(0, 10**6), first=st.integers(1, 4), second=st.integers(1, 4))
@settings(deadline=None)
def test_overlap_equals_counting_instants(seed, first, second):
    a, b = intervals(seed, first), intervals(seed + 1, second)
    instants = (np.arange(600) + 0.5) / 100
    inside = [((instants >= lo) & (instants < hi)) for lo, hi in (*a, *b)]
    for i in range(first):
        for j in range(second):
            x, y = inside[i], inside[first + j]
            assert event_overlaps(a, b)[i, j] == pytest.approx((x & y).sum() / (x | y).sum())


def best_by_brute_force(overlaps: np.ndarray, least: float) -> tuple[int, float]:
    """The most pairs, and then the greatest total overlap, over all one-to-one pairings."""
    rows, columns = overlaps.shape
    best = (0, 0.0)
    for size in range(1, min(rows, columns) + 1):
        for chosen in combinations(range(rows), size):
            for partners in permutations(range(columns), size):
                values = overlaps[list(chosen), list(partners)]
                if (values >= least - 1e-9).all():
                    best = max(best, (size, float(values.sum())))
    return best


@given(
    seed=st.integers(0, 10**6),
    first=st.integers(0, 4),
    second=st.integers(0, 4),
    least=st.sampled_from([0.05, 0.2, 0.5, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_matching_equals_brute_force(seed, first, second, least):
    a, b = intervals(seed, first), intervals(seed + 1, second)
    pairs = match_events(a, b, least)
    assert len(np.unique(pairs[:, 0])) == len(np.unique(pairs[:, 1])) == len(pairs)
    overlaps = event_overlaps(a, b)
    total = float(overlaps[pairs[:, 0], pairs[:, 1]].sum())
    count, best = best_by_brute_force(overlaps, least)
    assert (len(pairs), total) == (count, pytest.approx(best))


def test_more_pairs_win_over_a_greater_overlap():
    """Greedily the long event would take its best partner, and leave the other two without one."""
    events, reference = np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.4], [0.4, 1.8]])
    assert match_events(events, reference, 0.3).tolist() == [[0, 0], [1, 1]]


def test_exactly_half_counts():
    assert len(match_events(np.array([[0.3, 0.4]]), np.array([[0.3, 0.5]]))) == 1
    assert len(match_events(np.array([[0.3, 0.4]]), np.array([[0.3, 0.51]]))) == 0
    with pytest.raises(ValueError, match="min_overlap"):
        match_events(np.zeros((0, 2)), np.zeros((0, 2)), 0.0)


def test_scores_by_hand():
    reference = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    events = np.array([[0.1, 1.2], [4.0, 4.6], [7.0, 8.0], [9.0, 9.1]])
    scores = event_scores(events, reference)
    assert (scores.num_matched, scores.num_events, scores.num_reference) == (2, 4, 3)
    assert (scores.precision, scores.recall, scores.f1) == (
        pytest.approx(0.5),
        pytest.approx(2 / 3),
        pytest.approx(4 / 7),
    )
    assert scores.onset_errors.tolist() == pytest.approx([0.1, 0.0])
    assert scores.offset_errors.tolist() == pytest.approx([0.2, -0.4])
    assert (scores.onset_error, scores.offset_error) == (pytest.approx(0.05), pytest.approx(0.3))
    assert (scores.num_missed, scores.num_false) == (1, 2)


def test_one_wild_event_moves_the_mean_and_not_the_median():
    reference = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    scores = event_scores(reference + np.array([[0.1, -0.2], [-0.1, 0.2], [0.5, 0.0]]), reference)
    assert (scores.num_missed, scores.num_false) == (0, 0)
    assert (scores.median_onset_error, scores.median_offset_error) == (pytest.approx(0.1), pytest.approx(0.2))
    assert scores.onset_error == pytest.approx(0.7 / 3)


def test_scores_by_au_leave_out_unknown_rows():
    times = np.arange(12) / 10
    labels = np.array([[0, 1, 1, 1, 0, -1, -1, -1, 0, 1, 1, 0], [1, 1, 1, -1, 1, 1, 0, 0, 0, 0, 0, 0], [-1] * 12]).T
    said = np.array([[0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1] * 12]).T
    first, second, unknown = event_scores_by_au(said, labels, times)
    # What is said where nothing is known is neither right nor wrong; the first event begins a sample late.
    assert (first.num_matched, first.num_missed, first.num_false) == (1, 1, 1)
    assert (first.median_onset_error, first.median_offset_error) == (pytest.approx(0.1), pytest.approx(0))
    # The unknown row cuts the long event in two, in both.
    assert (second.num_matched, second.num_missed, second.num_false) == (2, 0, 0)
    assert (unknown.num_events, unknown.num_reference) == (0, 0)
    assert np.isnan([unknown.median_onset_error, unknown.median_offset_error]).all()
    with pytest.raises(ValueError, match="do not fit"):
        event_scores_by_au(said[:3], labels, times)


def test_pooled_scores_and_those_of_nothing():
    reference = np.array([[0.0, 1.0], [2.0, 3.0]])
    nothing = np.empty((0, 2))
    empty = event_scores(nothing, nothing)
    assert np.isnan([empty.f1, empty.precision, empty.recall, empty.onset_error]).all()
    missed = event_scores(nothing, reference)
    assert (missed.recall, missed.f1) == (0, 0)
    pooled = pooled_event_scores([event_scores(reference, reference), missed, empty])
    assert (pooled.precision, pooled.recall) == (1, 0.5)
    assert np.isnan(pooled_event_scores([]).f1)
