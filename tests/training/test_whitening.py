"""Whitened input layers: motions of one size while they are trained, the same function and plain weights afterwards."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.face_models import load_face_model
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.training.whitening import fold, whiten

SIZES = (0.02, 0.005, 0.001, 1e-6)  # metres, over the whole face; the last is below the floor
FLOOR = 1e-4
UNITS = (12, 25, 45)
VIDEO = {
    "use_video": True,
    "image_size": 16,
    "video_embed_dim": 4,
    "video_depths": (1, 1),
    "video_num_heads": (1, 2),
    "video_window_size": (2, 2, 2),
}
MESH_BRANCHES = [
    {},
    {"use_temporal": False},
    {"use_spatial": False},
    {"cross_attention": "self", "au_token_embedding": False},
    VIDEO,
]
VIDEO_ALONE = VIDEO | {"use_mesh": False, "use_spatial": False}


@pytest.fixture(scope="module")
def pool(make_pool):
    generator = torch.Generator().manual_seed(0)
    expression = torch.randn(20, 50, len(SIZES), generator=generator)
    pool = make_pool(expression, torch.zeros(20, 50, 19), SIZES)
    pool.valid[:, :5] = False
    pool.expression[:, :5] = 100.0  # counts for nothing
    return pool


def network(**fields) -> AUD3DFaceForReconstruction:
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_temporal_layers": 1}
    config = AUD3DFaceConfig(**sizes, num_spatial_layers=1, action_units=UNITS, attention_window=10, **fields)
    model = AUD3DFaceForReconstruction(config)
    face_model = load_face_model("facemesh")
    model.set_face_model(face_model.template, face_model.faces, face_model.au_masks(UNITS))
    nn.init.normal_(model.motion_decoder.weight, std=0.1)
    nn.init.normal_(model.au_head.weight, std=0.3)
    return model.eval()


def outputs(model, pool) -> list[torch.Tensor]:
    inputs = {"neutral_vertices": pool.neutral[:2]}
    if model.config.use_mesh:
        inputs["vertices"] = torch.stack([pool.vertices(index)[5:20] for index in (0, 1)])
    if model.config.use_video:
        inputs["pixel_values_videos"] = torch.randn(2, 15, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        output = model(**inputs)
    scale = model.config.displacement_scale
    return [(output.vertices - pool.neutral[:2, None]) / scale, output.au_logits, output.au_intensities]


def displacements(pool, scale) -> torch.Tensor:
    moved = pool.expression[pool.valid]
    return (moved @ pool.expression_basis.flatten(1) / scale).double()


def root_of(module) -> torch.Tensor:
    return module.parametrizations.weight[0].root.double()


def expected(covariance: torch.Tensor, floor: float) -> torch.Tensor:
    """Variances of λ / (λ + floor²), the largest first."""
    values = torch.linalg.eigvalsh(covariance).clamp_min(0)
    return (values / (values + floor**2)).flip(0)


def test_motions_above_the_floor_get_one_size(pool):
    """What E^S of Eq. 1 and the first layer of Eq. 7 read, times the root: variance 1 from centimetres to a millimetre
    over the whole face, next to none of what is below the floor."""
    model = network()
    scale, floor = model.config.displacement_scale, FLOOR / model.config.displacement_scale
    whiten(model, [pool], FLOOR)
    seen = displacements(pool, scale)
    motion = seen @ root_of(model.model.motion_encoder)
    variances = torch.linalg.eigvalsh(motion.T @ motion / len(motion)).flip(0)
    assert variances[2] > 0.97
    assert variances[0] < 1.001
    assert variances[3] < 1e-3
    torch.testing.assert_close(variances[:4], expected(seen.T @ seen / len(seen), floor)[:4], atol=2e-3, rtol=0)
    directions = torch.nn.functional.normalize(pool.expression_basis.flatten(1).double())
    for direction in directions[:3]:  # a motion keeps its direction, nearly: the root is symmetric
        whitened = direction @ root_of(model.model.motion_encoder)
        assert abs(torch.nn.functional.cosine_similarity(whitened, direction, dim=0)) > 0.9

    masks = model.model.au_masks.double().repeat_interleave(3, dim=1)
    inside = (seen[:, None] * masks).flatten(0, 1)  # what the MLP of Eq. 7 sees: every region of every frame
    tokens = inside @ root_of(model.model.spatial.tokens)
    variances = torch.linalg.eigvalsh(tokens.T @ tokens / len(tokens)).flip(0)
    wanted = expected(inside.T @ inside / len(inside), floor)
    assert wanted[2] > 0.9
    torch.testing.assert_close(variances[:12], wanted[:12], atol=5e-3, rtol=0)


def test_all_pools_count(pool, make_pool):
    still = make_pool(torch.zeros(20, 50, len(SIZES)), torch.zeros(20, 50, 19), SIZES)
    still.valid[:, :5] = False
    alone, mixed = network(), network()
    whiten(alone, [pool], 1e-5)
    whiten(mixed, [pool, still], 1e-5)
    seen = displacements(pool, alone.config.displacement_scale)
    sizes = [(seen @ root_of(model.model.motion_encoder)).square().sum(1).mean() for model in (alone, mixed)]
    torch.testing.assert_close(sizes[1], 2 * sizes[0], rtol=1e-2, atol=0)  # half of the frames do not move


def test_layers_start_at_the_usual_size(pool):
    """Each hidden unit of E^S starts with variance about 1, as a layer of 1/√fan-in does on independent inputs."""
    model = network()
    whiten(model, [pool], FLOOR)
    seen = displacements(pool, model.config.displacement_scale).float()
    values = seen @ model.model.motion_encoder.weight.T
    assert 0.4 < values.square().mean() < 2.5
    assert model.model.motion_encoder.weight.requires_grad


def test_only_the_factor_is_trained(pool):
    model = network()
    whiten(model, [pool], FLOOR)
    names = [name for name, _ in model.named_parameters() if "parametrizations" in name]
    assert names == [
        "model.motion_encoder.parametrizations.weight.original",
        "model.spatial.tokens.parametrizations.weight.original",
    ]
    before = [root_of(module).clone() for module in (model.model.motion_encoder, model.model.spatial.tokens)]
    outputs(model, pool)
    model(vertices=pool.vertices(0)[None, 5:], neutral_vertices=pool.neutral[:1]).au_logits.sum().backward()
    for name, parameter in model.named_parameters():
        if name in names:
            assert parameter.grad.abs().max() > 0
    after = [root_of(module) for module in (model.model.motion_encoder, model.model.spatial.tokens)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("fields", MESH_BRANCHES, ids=lambda fields: ", ".join(fields) or "whole")
def test_folding_keeps_the_function_and_leaves_plain_weights(fields, pool, tmp_path):
    model = network(**fields)
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    whiten(model, [pool], FLOOR)
    layers = (
        model.config.use_temporal and model.model.motion_encoder,
        model.config.use_spatial and model.model.spatial,
    )
    assert sum(parametrize.is_parametrized(m) for m in model.modules()) == sum(layer is not False for layer in layers)
    before = outputs(model, pool)
    fold(model)
    for a, b in zip(before, outputs(model, pool), strict=True):
        assert a.std() > 1e-3
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)

    folded = model.state_dict()
    assert folded.keys() == plain.keys()
    assert all((folded[name].shape, folded[name].dtype) == (v.shape, v.dtype) for name, v in plain.items())
    changed = {name for name in plain if not torch.equal(plain[name], folded[name])}
    assert changed <= {"model.motion_encoder.weight", "model.spatial.tokens.weight"}
    assert len(changed) == sum(layer is not False for layer in layers)
    assert all(type(module).__module__ != "torch.nn.utils.parametrize" for module in model.modules())
    assert not any(type(module).__name__.startswith("Parametrized") for module in model.modules())
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in model.parameters())

    model.save_pretrained(tmp_path)
    loaded = AUD3DFaceForReconstruction.from_pretrained(tmp_path)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, folded[name]), name
    for a, b in zip(before, outputs(loaded.eval(), pool), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_copy_is_folded_and_the_trained_one_goes_on(pool):
    """As at every evaluation in a training."""
    model = network()
    whiten(model, [pool], FLOOR)
    before = outputs(model, pool)
    for _ in range(2):
        copied = copy.deepcopy(model)
        fold(copied)
        assert not any(parametrize.is_parametrized(module) for module in copied.modules())
    assert parametrize.is_parametrized(model.model.motion_encoder)
    assert all(map(torch.equal, outputs(model, pool), before))


@pytest.mark.parametrize("folded", [False, True])
def test_layers_that_read_displacements_are_not_computed_in_half_precision(pool, folded):
    """Neither in training, nor where the trained network is used; what follows them is."""
    model = network().eval()
    whiten(model, [pool], FLOOR)
    if folded:
        fold(model)
    seen: list[torch.Tensor] = []
    model.model.motion_encoder.register_forward_hook(lambda module, given, result: seen.append(result))
    model.model.spatial.tokens.outer.register_forward_pre_hook(lambda module, given: seen.append(*given))
    after: list[torch.dtype] = []
    model.model.spatial.tokens.outer.register_forward_hook(lambda module, given, result: after.append(result.dtype))
    inputs = {"vertices": pool.vertices(0)[None, 5:20], "neutral_vertices": pool.neutral[:1]}
    model(**inputs)
    with torch.autocast("cpu", torch.bfloat16):
        model(**inputs)
    assert after == [torch.float32, torch.bfloat16]
    assert all(map(torch.equal, seen[:2], seen[2:]))


def test_a_network_that_reads_no_mesh_stays_as_it_is(pool):
    model = network(**VIDEO_ALONE)
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    whiten(model, [pool], FLOOR)
    fold(model)
    assert list(model.state_dict()) == list(plain)
    assert all(torch.equal(value, plain[name]) for name, value in model.state_dict().items())


def test_folding_what_was_not_whitened_is_nothing(pool):
    model = network()
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    fold(model)
    assert all(torch.equal(value, plain[name]) for name, value in model.state_dict().items())


def test_faces_that_never_move(make_pool):
    """Nothing to whiten: no division by zero, and the weights are finite."""
    model = network()
    whiten(model, [make_pool(torch.zeros(2, 5, 4), torch.zeros(2, 5, 19), SIZES)], FLOOR)
    fold(model)
    assert all(value.isfinite().all() for value in model.state_dict().values())
