"""The MLP of the baselines: what it reads, what it says, and what a checkpoint keeps."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from au_d3dface.errors import UsageError
from au_d3dface.mlp_baseline import AUD3DFaceMLP, AUD3DFaceMLPConfig
from au_d3dface.training.arguments import read_arguments


def mlp(**fields) -> AUD3DFaceMLP:
    torch.manual_seed(0)
    config = {"action_units": (1, 12), "num_coefficients": 5, "au_positive_rates": (0.2, 0.4), **fields}
    return AUD3DFaceMLP(AUD3DFaceMLPConfig(**config)).eval()


def test_it_starts_at_the_positive_rates():
    model = mlp()
    with torch.no_grad():
        for layer in (model.au_head, model.intensity_head):
            layer.weight.zero_()
        output = model(torch.randn(2, 3, 5))
    torch.testing.assert_close(output.au_probabilities[0, 0], torch.tensor([0.2, 0.4]))
    torch.testing.assert_close(output.au_intensities[0, 0], torch.tensor([0.5, 1.0]))


def test_units_of_the_coefficients_do_not_matter():
    """Standardised coefficients: the same faces in other units are the same faces."""
    faces = torch.randn(40, 5)
    scale, shift = torch.tensor([1e-3, 1.0, 50.0, 2.0, 0.1]), torch.tensor([0.0, 3.0, -9.0, 0.0, 1.0])
    outputs = []
    for coefficients in (faces, faces * scale + shift):
        model = mlp()
        model.standardise(coefficients)
        with torch.no_grad():
            outputs.append(model(coefficients[None]).au_logits)
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-3, rtol=1e-3)


def test_frames_do_not_see_each_other_and_masked_ones_do_no_harm():
    model, given = mlp(), torch.randn(1, 4, 5)
    with torch.no_grad():
        alone = model(given[:, 2:3]).au_logits
        torch.testing.assert_close(model(given).au_logits[:, 2:3], alone)
        given[0, 1] = torch.nan
        decided = model.decide(given, torch.tensor([[True, False, True, True]]))
    assert decided.au_probabilities.isfinite().all()
    assert decided.au_labels[0, 1].tolist() == [-1, -1]
    assert set(decided.au_labels[0, [0, 2, 3]].flatten().tolist()) <= {0, 1}


def test_thresholds_decide():
    model, given = mlp(), torch.randn(1, 9, 5)
    model.config.au_thresholds = (0.0, 1.0)
    with torch.no_grad():
        assert (model.decide(given, torch.ones(1, 9, dtype=torch.bool)).au_labels == torch.tensor([1.0, 0.0])).all()


def test_a_checkpoint_keeps_everything(tmp_path):
    model = mlp(predict_intensity=False, hidden_sizes=(8,))
    model.standardise(torch.randn(30, 5) + 2)
    model.config.au_thresholds = (0.3, 0.6)
    model.save_pretrained(tmp_path)
    again, given = AutoModel.from_pretrained(tmp_path), torch.randn(2, 3, 5)
    assert isinstance(again, AUD3DFaceMLP)
    assert AutoConfig.from_pretrained(tmp_path).au_thresholds == (0.3, 0.6)
    with torch.no_grad():
        assert torch.equal(again(given).au_logits, model(given).au_logits)
    assert again(given).au_intensities is None


def test_other_coefficients_are_refused():
    with pytest.raises(ValueError, match=r"coefficients must be \(B, T, 5\)"):
        mlp()(torch.zeros(1, 2, 6))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"action_units": ()}, "at least one"),
        ({"hidden_sizes": (0,)}, "must be at least 1"),
        ({"hidden_dropout": 1.0}, "hidden_dropout"),
        ({"au_positive_rates": (0.5,)}, "au_positive_rates must be 2 numbers"),
    ],
)
def test_fields_that_make_no_sense(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        mlp(**fields)


def test_the_named_configs_make_one(tmp_path):
    """After a config of the paper's network, whose own fields an MLP has not."""
    arguments = read_arguments(["--config", "table4", "--config", "landmarks_mlp", "--rendered", "x"])
    config = arguments.validate()
    assert isinstance(config, AUD3DFaceMLPConfig)
    assert (config.coarse, config.face_model, config.frame_rate) == ("landmarks", "facemesh", 10)
    deca = read_arguments(["--config", "table4", "--config", "deca_mlp", "--rendered", "x"]).validate()
    assert (deca.coarse, deca.face_model) == ("deca", "flame")
    with pytest.raises(UsageError, match="'hidden_size' is not a field of AUD3DFaceMLPConfig; did you mean"):
        read_arguments(["--config", "landmarks_mlp", "--model", "hidden_size=8"]).validate()
    with pytest.raises(UsageError, match="whitening is for networks that read meshes"):
        read_arguments(["--config", "landmarks_mlp", "--whitening", "0.1"]).validate()
    with pytest.raises(UsageError, match="model_type must be au_d3dface or au_d3dface_mlp"):
        read_arguments(["--model", "model_type=other"]).validate()
