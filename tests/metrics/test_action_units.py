"""AU scores against scikit-learn and scipy, and where they are undefined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from au_d3dface.metrics import always_positive_f1, cohen_kappa, f1_by_intensity, f1_score, pearson, roc_area

sklearn = pytest.importorskip("sklearn.metrics")


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 200))
@settings(max_examples=50, deadline=None)
def test_equal_scikit_learn(seed, rows):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (rows, 3))
    scores = rng.integers(0, 6, (rows, 3)) / 5  # many ties
    f1, area = f1_score(scores >= 0.5, labels), roc_area(scores, labels)
    for k in range(3):
        known = labels[:, k] >= 0
        truth, given_scores = labels[known, k], scores[known, k]
        if truth.any() or (given_scores >= 0.5).any():
            assert f1[k] == pytest.approx(sklearn.f1_score(truth, given_scores >= 0.5, zero_division=0))
        else:
            assert np.isnan(f1[k])
        if 0 < truth.sum() < len(truth):
            assert area[k] == pytest.approx(sklearn.roc_auc_score(truth, given_scores))
        else:
            assert np.isnan(area[k])


def test_the_floor_of_always_positive():
    labels = np.array([[1], [0], [0], [0], [-1]])
    assert always_positive_f1(labels)[0] == pytest.approx(2 * 0.25 / 1.25)


def test_unknown_labels_count_for_nothing():
    labels = np.array([[1], [0], [-1], [-1]])
    assert f1_score(np.array([[1], [0], [1], [0]]), labels)[0] == 1.0
    assert roc_area(np.array([[0.9], [0.1], [0.95], [0.0]]), labels)[0] == 1.0


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 100), scale=st.sampled_from([1e-200, 1e-6, 1.0, 1e6]))
@settings(max_examples=50, deadline=None)
def test_pearson_equals_scipy(seed, rows, scale):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 5, (rows, 2))
    estimates = truth * rng.uniform(-1, 1) + rng.normal(size=(rows, 2))
    result = pearson(estimates * scale, truth)
    assert result == pytest.approx([pearsonr(estimates[:, k], truth[:, k]).statistic for k in range(2)])


def test_pearson_of_what_stands_still():
    """An estimate that never moves follows nothing; an intensity that never moves cannot be followed."""
    moving, constant = np.array([0.0, 1.0, 2.0]), np.full(3, 0.1)
    r = pearson(np.stack([constant, moving, constant], 1), np.stack([moving, constant, constant], 1))
    assert r[0] == 0
    assert np.isnan(r[1:]).all()


def test_pearson_leaves_out_unknown_rows():
    estimates = np.array([[0.0], [1.0], [2.0], [9.0], [-9.0]])
    assert pearson(estimates, np.array([[1.0], [2.0], [3.0], [-1.0], [np.nan]]))[0] == pytest.approx(1)
    assert np.isnan(pearson(estimates, np.full((5, 1), -1.0))[0])


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 60))
@settings(max_examples=50, deadline=None)
def test_kappa_equals_scikit_learn(seed, rows):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(-1, 2, (rows, 3)), rng.integers(-1, 2, (rows, 3))
    result = cohen_kappa(first, second)
    assert np.array_equal(result, cohen_kappa(second, first), equal_nan=True)
    for k in range(3):
        known = (first[:, k] >= 0) & (second[:, k] >= 0)
        a, b = first[known, k], second[known, k]
        if len(np.union1d(a, b)) < 2:
            assert np.isnan(result[k])
        else:
            assert result[k] == pytest.approx(sklearn.cohen_kappa_score(a, b))


def test_kappa_by_hand():
    """20 + 15 of 50 agree: 0.7; chance is 0.5 · 0.6 + 0.5 · 0.4 = 0.5."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])[:, None]
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])[:, None]
    assert cohen_kappa(first, second)[0] == pytest.approx(0.4)
    assert cohen_kappa(first == 1, first)[0] == 1


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 80))
@settings(max_examples=50, deadline=None)
def test_scores_by_intensity_equal_scikit_learn_level_by_level(seed, rows):
    rng = np.random.default_rng(seed)
    intensities = rng.choice([-1.0, 0.0, 0.9, 1.0, 1.9, 2.5, 3.0, 4.9, 5.0, 5.3], (rows, 2))
    decisions = rng.integers(0, 2, (rows, 2)).astype(bool)
    scores = f1_by_intensity(decisions, intensities)
    for level in range(1, 6):
        for k in range(2):
            at_level = np.minimum(np.floor(intensities[:, k]), 5) == level
            rest = (intensities[:, k] >= 0) & (intensities[:, k] < 1)
            used = at_level | rest
            assert scores.rows[level - 1, k] == at_level.sum()
            if not at_level.any():
                assert np.isnan([scores.recall[level - 1, k], scores.f1[level - 1, k]]).all()
                continue
            truth, said = at_level[used], decisions[used, k]
            assert scores.recall[level - 1, k] == pytest.approx(sklearn.recall_score(truth, said))
            assert scores.f1[level - 1, k] == pytest.approx(sklearn.f1_score(truth, said))
