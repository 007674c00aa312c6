"""Fed-back labels: corruption keeps what is unknown, and the training pass equals the network's own."""

import pytest
import torch

from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.face_models import load_face_model
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.training.feedback import FeedbackForward, corrupt_labels

SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "attention_window": 8, "clip_length": 8}


def test_nothing_is_corrupted_without_shares():
    labels = torch.randint(-1, 2, (2, 10, 5))
    assert torch.equal(corrupt_labels(labels, 0.0, 0.0), labels)


@pytest.mark.parametrize(("flip", "unknown"), [(0.1, 0.0), (0.0, 0.2), (0.05, 0.1)])
def test_shares_are_those_asked_for(flip, unknown):
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (200, 40, 6))
    kept = labels.clone()
    out = corrupt_labels(labels, flip, unknown)
    assert torch.equal(labels, kept)
    assert (out == -1).float().mean() == pytest.approx(unknown, abs=0.02)
    flipped = ((out != labels) & (out >= 0)).float().mean()
    assert flipped == pytest.approx(flip * (1 - unknown), abs=0.35 * flip + 1e-9)


def test_unknown_labels_stay_unknown():
    labels = torch.full((4, 10, 3), -1)
    assert (corrupt_labels(labels, 0.5, 0.1) == -1).all()


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(1)
    mask = torch.rand(2, 14) > 0.15
    return torch.randn(2, 14, 468, 3) * 0.01, torch.zeros(2, 468, 3), torch.randint(-1, 2, (2, 14, 19)), mask


def network(**switches) -> AUD3DFaceForReconstruction:
    torch.manual_seed(0)
    config = AUD3DFaceConfig(**SIZE, **switches)
    model = AUD3DFaceForReconstruction(config)
    face_model = load_face_model("facemesh")
    model.set_face_model(face_model.template, face_model.faces, face_model.au_masks(config.action_units))
    torch.nn.init.normal_(model.au_head.weight)  # so that decisions vary
    return model.eval()


@pytest.mark.parametrize("switches", [{}, {"use_temporal": False}, {"use_spatial": False}, {"refine_from": "coarse"}])
def test_the_training_pass_is_the_networks(batch, switches):
    model = network(**switches)
    vertices, neutral, labels, mask = batch
    expected = model(vertices=vertices, neutral_vertices=neutral, au_labels=labels, frame_mask=mask)
    output = FeedbackForward(model)(vertices, neutral, labels, mask, torch.zeros(2, dtype=torch.bool))
    for name in ("vertices", "au_logits", "au_intensities", "temporal_embeddings"):
        torch.testing.assert_close(output[name], expected[name])


def test_enough_passes_are_free_decoding(batch):
    """Every pass makes at least one more frame's labels final."""
    model = network()
    vertices, neutral, labels, mask = batch
    free = model.generate(vertices=vertices, neutral_vertices=neutral, frame_mask=mask)
    own = torch.tensor([True, False])
    output = FeedbackForward(model, passes=14)(vertices, neutral, labels, mask, own)
    torch.testing.assert_close(output.au_probabilities[0][mask[0]], free.au_probabilities[0][mask[0]])
    taught = model(vertices=vertices, neutral_vertices=neutral, au_labels=labels, frame_mask=mask)
    torch.testing.assert_close(output.au_logits[1], taught.au_logits[1])
