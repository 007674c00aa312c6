"""Calibration against hand-made cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from au_d3dface.metrics import brier_score, reliability


def test_by_hand():
    # Two bins: 0.2, 0.4 (one of two present) and 0.9, 0.7 (both present); the unknown rows count nowhere.
    probabilities = np.array([0.2, 0.4, 0.9, 0.7, 0.1, np.nan])
    labels = np.array([0, 1, 1, 1, -1, 1])
    curve = reliability(probabilities, labels, bins=2)
    assert curve.counts.tolist() == [2, 2]
    np.testing.assert_allclose(curve.probability, [0.3, 0.8])
    np.testing.assert_allclose(curve.present, [0.5, 1.0])
    assert curve.ece == pytest.approx((2 * 0.2 + 2 * 0.2) / 4)
    expected = (0.2**2 + 0.6**2 + 0.1**2 + 0.3**2) / 4
    np.testing.assert_allclose(brier_score(probabilities[:, None], labels[:, None]), [expected])


def test_edges_belong_to_the_bin_below_them():
    curve = reliability(np.array([0.0, 0.5, 0.500001, 1.0]), np.array([0, 1, 0, 1]), bins=2)
    assert curve.counts.tolist() == [2, 2]


def test_a_perfect_forecaster_and_a_constant_one():
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(size=200_000)
    labels = (rng.uniform(size=len(probabilities)) < probabilities).astype(int)
    assert reliability(probabilities, labels).ece < 0.01
    assert reliability(np.full(1000, 0.9), np.repeat([0, 1], 500)).ece == pytest.approx(0.4)


@pytest.mark.parametrize("bins", [3, 10, 20])
def test_equals_scikit_learn(bins):
    rng = np.random.default_rng(bins)
    probabilities = rng.beta(0.6, 0.8, (3000, 4))
    labels = (rng.uniform(size=probabilities.shape) < probabilities**2).astype(int)
    labels[rng.uniform(size=labels.shape) < 0.2] = -1
    known = labels >= 0
    curve = reliability(probabilities, labels, bins)
    present, mean = calibration_curve(labels[known], probabilities[known], n_bins=bins)
    filled = curve.counts > 0
    np.testing.assert_allclose(curve.present[filled], present, atol=1e-12)
    np.testing.assert_allclose(curve.probability[filled], mean, atol=1e-12)
    expected = [brier_score_loss(labels[known[:, k], k], probabilities[known[:, k], k]) for k in range(4)]
    np.testing.assert_allclose(brier_score(probabilities, labels), expected, atol=1e-12)


def test_nothing_known_is_nan():
    curve = reliability(np.array([0.3]), np.array([-1]))
    assert np.isnan(curve.ece)
    assert np.isnan(curve.present).all()
    assert np.isnan(brier_score(np.array([[0.3]]), np.array([[-1]]))).all()


def test_bad_input():
    for arguments in (
        (np.zeros(3), np.zeros(4)),
        (np.array([1.5]), np.array([1])),
        (np.array([-0.1]), np.array([1])),
        (np.array([0.5]), np.array([1]), 0),
    ):
        with pytest.raises(ValueError, match=r"shape|0-1|bin"):
            reliability(*arguments)
