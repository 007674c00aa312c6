"""The encoders: names and order of the coefficients, keys of the checkpoints, and what EMOCA replaces."""

import pytest
import torch

from au_d3dface.coarse.deca_encoder import CoefficientEncoder, DECACoefficients, DECAEncoder, EMOCAEncoder


class Affine(torch.nn.Module):
    """Stands in for a ResNet-50: numbers that follow from the crop's mean."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.arange(1.0, outputs + 1))

    def forward(self, crops):
        return crops.mean((1, 2, 3))[:, None] * self.slope


def test_coefficients_by_name_in_the_encoders_order():
    code = torch.arange(236.0).repeat(2, 1)
    split = DECACoefficients.split(code)
    first = {"shape": 0, "texture": 100, "expression": 150, "rotation": 200, "jaw": 203, "camera": 206, "lighting": 209}
    for name, value in first.items():
        assert getattr(split, name)[0, 0] == value
    assert split.lighting.shape == (2, 27)
    assert torch.equal(split.code, code)


def test_keys_are_those_of_the_checkpoints():
    with torch.device("meta"):
        state = EMOCAEncoder(53).state_dict()
    # Written down from the published description: a ResNet-50 without its last layer, and two linear layers.
    bodies = [key for key in state if key.startswith("E_flame.encoder.")]
    assert len(bodies) == 318
    assert state["E_flame.encoder.conv1.weight"].shape == (64, 3, 7, 7)
    assert state["E_flame.encoder.layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert state["E_flame.encoder.layer1.0.downsample.1.running_var"].shape == (256,)
    assert state["E_flame.layers.0.weight"].shape == (1024, 2048)
    assert state["E_flame.layers.2.weight"].shape == (236, 1024)
    assert state["E_expression.layers.2.weight"].shape == (53, 1024)
    assert len(state) == 2 * (318 + 4)


@pytest.fixture(scope="module")
def encoder() -> CoefficientEncoder:
    torch.manual_seed(0)
    return CoefficientEncoder(5).eval()


def test_a_crop_says_the_same_alone_and_in_a_batch(encoder):
    crops = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both, alone = encoder(crops), encoder(crops[1:])
    assert both.shape == (2, 5)
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-4)
    assert (both[0] - both[1]).abs().max() > 1e-4


@pytest.mark.parametrize(("outputs", "jaw"), [(50, "deca"), (53, "emoca")])
def test_emoca_replaces_expression_and_in_some_versions_the_jaw(outputs, jaw):
    with torch.device("meta"):
        deca, emoca = DECAEncoder(), EMOCAEncoder(outputs)
    deca.E_flame = emoca.E_flame = Affine(236)
    emoca.E_expression = Affine(outputs)
    crops = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    ours, theirs = deca(crops), emoca(crops)
    for name in ("shape", "texture", "rotation", "camera", "lighting"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    second = Affine(outputs)(crops)
    assert torch.equal(theirs.expression, second[:, :50])
    assert torch.equal(theirs.jaw, second[:, 50:] if jaw == "emoca" else ours.jaw)


def test_another_number_of_outputs_is_refused():
    with pytest.raises(ValueError, match="50 or 53 numbers, not 56"):
        EMOCAEncoder(56)
