"""Scores and thresholds of a network that is known through and through."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from au_d3dface.evaluation.decoding import joined
from au_d3dface.training.evaluation import best_thresholds, evaluate, summary
from au_d3dface.training.sampling import SharedBatches


class Oracle:
    """Decodes what it was told to, so that every score can be worked out by hand."""

    training = False
    device = torch.device("cpu")
    config = SimpleNamespace(action_units=(12, 25))

    def __init__(self, probabilities, vertices):
        self.probabilities, self.vertices = probabilities, vertices

    def eval(self):
        return self

    def train(self, mode=True):
        return self

    @property
    def network(self):
        return self

    def decode(self, batch):
        return {
            "au_probabilities": self.probabilities,
            "au_labels": (self.probabilities >= 0.5).float(),
            "au_intensities": 5 * self.probabilities,
            "vertices": self.vertices,
        }


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    labels = torch.tensor([[[1, 0], [1, 0], [0, 1], [0, 0]]])
    return {
        "vertices": torch.zeros(1, 4, 5, 3),
        "neutral_vertices": torch.zeros(1, 5, 3),
        "true_vertices": torch.zeros(1, 4, 5, 3) + torch.tensor([0.002, 0, 0]),
        "au_labels": labels,
        "au_intensity_labels": 3.0 * labels,
        "frame_mask": torch.tensor([[True, True, True, False]]),
    }


def meshes(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A batch that has its meshes already."""
    return batch


PROBABILITIES = torch.tensor([[[0.9, 0.1], [0.3, 0.1], [0.2, 0.4], [1.0, 1.0]]])


def test_scores_count_valid_frames_only(batch):
    scores = evaluate(Oracle(PROBABILITIES, batch["true_vertices"]), [batch], meshes)
    assert scores["frames"] == 3
    assert scores["coarse_error_mm"] == pytest.approx(2.0)
    assert scores["refined_error_mm"] == pytest.approx(0.0)
    assert scores["by_au"]["AU12"]["f1"] == pytest.approx(2 / 3, abs=1e-3)  # one hit, one miss
    assert scores["by_au"]["AU25"]["f1"] == 0
    assert scores["by_au"]["AU12"]["always_positive_f1"] == pytest.approx(0.8)
    assert scores["by_au"]["AU12"]["roc_area"] == scores["by_au"]["AU25"]["roc_area"] == 1
    assert scores["f1_mean"] == pytest.approx(1 / 3, abs=1e-3)


def test_thresholds_separate_what_can_be_separated(batch):
    low, middle = best_thresholds(Oracle(PROBABILITIES, batch["true_vertices"]), [batch], meshes)
    assert 0.2 < low <= 0.3
    assert 0.1 < middle <= 0.4


def test_an_action_unit_that_never_occurs_keeps_one_half(batch):
    batch["au_labels"] = torch.zeros_like(batch["au_labels"])
    assert best_thresholds(Oracle(PROBABILITIES, batch["true_vertices"]), [batch], meshes) == [0.5, 0.5]


def test_without_true_meshes_there_is_no_mesh_error(batch):
    del batch["true_vertices"]
    scores = evaluate(Oracle(PROBABILITIES, batch["vertices"]), [batch], meshes)
    assert not any(name.endswith("_mm") for name in scores)
    assert "mm" not in summary(1, scores)


def test_scored_frames_count_and_unknown_labels_do_not(batch):
    batch["scored"] = torch.tensor([[False, True, True, True]])
    batch["au_labels"][:, 1, 0] = -1
    batch["au_intensity_labels"] = -torch.ones(1, 4, 2)
    scores = evaluate(Oracle(PROBABILITIES, batch["true_vertices"]), [batch], meshes)
    assert scores["frames"] == 3
    untold = dict.fromkeys(("roc_area", "matthews_correlation", "intensity_r", "intensity_icc"))
    assert scores["by_au"]["AU12"] == {"f1": 0, "always_positive_f1": 0, **untold}
    assert scores["intensity_r_mean"] is None
    assert scores["refined_error_mm"] == pytest.approx(0.0)


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_every_clip_is_scored_once_and_in_order(processes):
    """Seven clips in batches of two: an uneven last batch, and for some numbers of processes uneven numbers of them."""
    shares = [[{"clips": np.array(rows)} for rows in SharedBatches(7, 2, n, processes)] for n in range(processes)]
    assert sum(len(part["clips"]) for share in shares for part in share) == 7
    assert joined(shares)["clips"].tolist() == list(range(7))
