"""AU scores against scikit-learn, and where they are undefined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.metrics import always_positive_f1, f1_score, roc_area

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
