"""AU scores against scikit-learn, scipy and published figures, and where they are undefined."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from au_d3dface.metrics import (
    always_positive_f1,
    cohen_kappa,
    f1_by_intensity,
    f1_score,
    icc_3_1,
    matthews_correlation,
    pearson,
    roc_area,
)

sklearn = pytest.importorskip("sklearn.metrics")


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 200))
@settings(max_examples=50, deadline=None)
def test_equal_scikit_learn(seed, rows):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (rows, 3))
    scores = rng.integers(0, 6, (rows, 3)) / 5  # many ties
    f1, area = f1_score(scores >= 0.5, labels), roc_area(scores, labels)
    correlation = matthews_correlation(scores >= 0.5, labels)
    for k in range(3):
        known = labels[:, k] >= 0
        truth, given_scores = labels[known, k], scores[known, k]
        if truth.any() or (given_scores >= 0.5).any():
            assert f1[k] == pytest.approx(sklearn.f1_score(truth, given_scores >= 0.5, zero_division=0))
        else:
            assert np.isnan(f1[k])
        if 0 < truth.sum() < len(truth):
            assert area[k] == pytest.approx(sklearn.roc_auc_score(truth, given_scores))
            expected = sklearn.matthews_corrcoef(truth, given_scores >= 0.5)
            assert correlation[k] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan([area[k], correlation[k]]).all()


def test_no_rows_and_no_known_rows():
    for labels in (np.zeros((0, 2), int), np.full((5, 2), -1)):
        scores = np.zeros(labels.shape)
        for score in (f1_score, roc_area, matthews_correlation, pearson, icc_3_1, cohen_kappa):
            assert np.isnan(score(scores, labels)).all(), score


def test_matthews_correlation_of_many_rows_and_of_what_never_changes():
    """Products of four counts of a million rows are beyond 64 bits."""
    labels, decisions = np.zeros((4_000_000, 2), np.int8), np.zeros((4_000_000, 2), bool)
    labels[:2_000_000], decisions[:1_000_000, 0] = 1, True
    # TP 1, FN 1, TN 2 (millions): (1 * 2) / sqrt(1 * 2 * 2 * 3).
    assert matthews_correlation(decisions, labels) == pytest.approx([2 / 12**0.5, 0])
    assert matthews_correlation(labels == 0, labels) == pytest.approx([-1, -1])


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


# Shrout and Fleiss (1979), table 2: six targets, four judges.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])


def icc_by_anova(ratings: np.ndarray) -> float:
    """ICC(3,1) of (targets, judges) from the sums of squares of a two-way table, cell by cell."""
    targets, judges = ratings.shape
    grand = ratings.sum() / ratings.size
    total = sum((value - grand) ** 2 for value in ratings.ravel())
    of_targets = judges * sum((row.sum() / judges - grand) ** 2 for row in ratings)
    of_judges = targets * sum((column.sum() / targets - grand) ** 2 for column in ratings.T)
    between = of_targets / (targets - 1)
    residual = (total - of_targets - of_judges) / ((targets - 1) * (judges - 1))
    return (between - residual) / (between + (judges - 1) * residual)


def test_icc_of_shrout_and_fleiss():
    """The paper's 0.71; in full (56.21 / 5 - 15.29 / 15) / (56.21 / 5 + 3 * 15.29 / 15)."""
    *others, last = SHROUT_FLEISS.T[:, :, None]
    assert icc_3_1(np.stack(others), last)[0] == pytest.approx(0.7148, abs=5e-5)


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 60), judges=st.integers(2, 4))
@settings(max_examples=50, deadline=None)
def test_icc_equals_the_analysis_of_variance(seed, rows, judges):
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1.0, np.nan, 0, 1, 2, 3, 4, 5], (rows, 3))
    estimates = rng.uniform(0, 2) * np.nan_to_num(truth) + rng.normal(size=(judges - 1, rows, 3))
    result = icc_3_1(estimates, truth)
    if judges == 2:
        assert np.array_equal(result, icc_3_1(estimates[0], truth), equal_nan=True)
    for k in range(3):
        known = truth[:, k] >= 0
        if len(np.unique(truth[known, k])) < 2:
            assert np.isnan(result[k])
        else:
            table = np.stack([*estimates[:, known, k], truth[known, k]], 1)
            assert result[k] == pytest.approx(icc_by_anova(table), abs=1e-9)


@pytest.mark.parametrize("judges", [2, 4])
def test_icc_equals_pingouin(judges):
    import pingouin  # slow to import

    rng = np.random.default_rng(judges)
    truth = rng.integers(0, 6, (40, 1)).astype(float)
    estimates = 0.7 * truth + rng.normal(size=(judges - 1, 40, 1))
    ratings = np.concatenate([estimates, truth[None]])[..., 0]  # (judges, rows)
    judge, row = np.indices(ratings.shape)
    frame = pd.DataFrame({"judge": judge.ravel(), "row": row.ravel(), "rating": ratings.ravel()})
    found = pingouin.intraclass_corr(frame, targets="row", raters="judge", ratings="rating")
    expected = found.loc[found["Type"].isin(["ICC3", "ICC(C,1)"]), "ICC"].iloc[0]  # older and newer name
    assert icc_3_1(estimates, truth)[0] == pytest.approx(expected, abs=1e-9)


def test_icc_forgives_an_offset_and_no_factor():
    truth = np.array([[0.0], [1.0], [3.0], [5.0]])
    assert icc_3_1(truth + 0.7, truth)[0] == pytest.approx(1)
    assert icc_3_1(5 - truth, truth)[0] == pytest.approx(-1)
    # Half as strong: variances 1/4 and 1, so 2 cov / (sum of variances) = 1 / 1.25.
    assert icc_3_1(truth / 2, truth)[0] == pytest.approx(0.8)
    assert icc_3_1(np.ones((4, 1)), truth)[0] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="do not fit"):
        icc_3_1(truth[:3], truth)
