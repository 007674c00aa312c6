"""The network: shapes, equations, what may see what, and what a checkpoint keeps."""

import copy
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModel

from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.errors import CheckpointError
from au_d3dface.modeling_au_d3dface import (
    AUD3DFaceForReconstruction,
    AUD3DFaceModel,
    banded_mask,
    face_model_checksum,
    periodic_positional_encoding,
)

UNITS, VERTICES, FACES, SIZE, WINDOW = (1, 2, 12), 10, 6, 16, 4
SMALL = {
    "action_units": UNITS,
    "num_vertices": VERTICES,
    "num_faces": FACES,
    "hidden_size": SIZE,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_temporal_layers": 2,
    "num_spatial_layers": 2,
    "attention_window": WINDOW,
    "positional_period": 5,
    "au_positive_rates": (0.3, 0.2, 0.4),
    "image_size": 32,
    "clip_length": 6,
    "video_embed_dim": 4,
    "video_depths": (1, 1),
    "video_num_heads": (1, 2),
    "video_window_size": (2, 2, 2),
}
TABLE_4 = {
    "video, temporal": {"use_mesh": False, "use_video": True, "use_spatial": False},
    "mesh, temporal": {"use_spatial": False},
    "mesh, spatial": {"use_temporal": False},
    "mesh, temporal + spatial": {},
    "mesh + video, temporal": {"use_video": True, "use_spatial": False},
    "mesh + video, spatial": {"use_video": True, "use_temporal": False},
    "mesh + video, temporal + spatial": {"use_video": True},
}
EVERY_ROW = pytest.mark.parametrize("row", TABLE_4.values(), ids=TABLE_4.keys())


def face(seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(len(UNITS), VERTICES, generator=generator) < 0.4).float()
    masks[:, 0] = 1
    faces = torch.randint(0, VERTICES, (FACES, 3), generator=generator)
    return torch.randn(VERTICES, 3, generator=generator) * 0.05, faces, masks


def network(cls=AUD3DFaceForReconstruction, with_face=True, seed=0, **fields):
    """A small network in eval mode whose every parameter is away from its start (D starts at zero)."""
    torch.manual_seed(seed)
    model = cls(AUD3DFaceConfig(**{**SMALL, **fields})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    if with_face:
        model.set_face_model(*face())
    return model


def clip(config, batch=2, frames=9, seed=1):
    generator = torch.Generator().manual_seed(seed)
    neutral = torch.randn(batch, VERTICES, 3, generator=generator) * 0.05
    moved = neutral[:, None] + torch.randn(batch, frames, VERTICES, 3, generator=generator) * 0.003
    inputs = {
        "vertices": moved if config.use_mesh else None,
        "neutral_vertices": neutral,
        "au_labels": torch.randint(-1, 2, (batch, frames, len(UNITS)), generator=generator),
    }
    if config.use_video:
        inputs["pixel_values_videos"] = torch.randn(batch, frames, 3, 32, 32, generator=generator)
    return inputs


def results(output):
    return [output.vertices, output.au_logits, output.au_intensities, output.temporal_embeddings]


# --- branches ---------------------------------------------------------------------------------------------------------


@EVERY_ROW
def test_every_row_of_table_4_runs_and_has_the_parameters_of_its_branches_only(row):
    model = network(**row)
    config = model.config
    inputs = clip(config)
    output = model(**inputs)
    assert output.vertices.shape == (2, 9, VERTICES, 3)
    assert output.au_logits.shape == output.au_probabilities.shape == output.au_intensities.shape == (2, 9, 3)
    assert output.temporal_embeddings.shape == (2, 9, SIZE)
    assert output.spatial_embeddings.shape == (2, 9, 3, SIZE)
    assert all(value.isfinite().all() for value in results(output))
    assert 0 <= output.au_intensities.min() <= output.au_intensities.max() <= 5
    assert config.use_spatial or not output.spatial_embeddings.any()
    assert config.use_temporal or config.use_video or not output.temporal_embeddings.any()

    modules = {name for name, _ in model.model.named_children()}
    expected = {
        "motion_encoder": config.use_mesh and config.use_temporal,
        "video_backbone": config.use_video,
        "feature_projection": config.use_video,
        "temporal": config.use_temporal,
        "spatial": config.use_spatial,
    }
    assert modules == {name for name, present in expected.items() if present}
    assert {name for name, _ in model.named_children()} == {"model", "motion_decoder", "au_head", "intensity_head"}


def test_the_number_of_parameters_is_the_sum_of_the_layers():
    model, n, f, v = network(), len(UNITS), 24, 3 * VERTICES
    linear = lambda a, b: a * b + b  # noqa: E731
    attention, feed_forward, norm = 4 * linear(SIZE, SIZE), linear(SIZE, f) + linear(f, SIZE), 2 * SIZE
    temporal = linear(n, SIZE) + 2 * (2 * attention + feed_forward + 3 * norm)
    spatial = linear(v, SIZE) + linear(SIZE, SIZE) + n * SIZE + 2 * (attention + feed_forward + 2 * norm)
    heads = linear(SIZE, v) + 2 * n * (SIZE + 1)
    assert sum(p.numel() for p in model.parameters()) == linear(v, SIZE) + temporal + spatial + heads
    assert sum(p.numel() for p in network(predict_intensity=False).parameters()) == (
        linear(v, SIZE) + temporal + spatial + heads - n * (SIZE + 1)
    )
    assert "au_embedding" not in dict(network(au_token_embedding=False).model.spatial.tokens.named_parameters())


def test_the_video_branch_is_swin3d_t_by_default():
    with torch.device("meta"):
        model = AUD3DFaceModel(AUD3DFaceConfig(use_video=True))
    assert round(sum(p.numel() for p in model.video_backbone.parameters()) / 1e6, 2) == 27.85


@EVERY_ROW
def test_gradients_reach_every_parameter(row):
    model = network(**row, hidden_dropout=0.0, video_stochastic_depth=0.0)
    output = model(**clip(model.config))
    (output.vertices.sum() * 1e3 + sum(value.square().sum() for value in results(output)[1:3])).backward()
    untouched = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    # A key's bias shifts all scores of a query alike: softmax gives it a gradient of rounding errors only.
    assert not [name for name in untouched if not name.endswith("key.bias")]


# --- equations --------------------------------------------------------------------------------------------------------


def test_the_positional_code_is_eq_3_and_4():
    code = periodic_positional_encoding(7, 6, period=5, size=8, like=torch.zeros(1))
    for row, slot in enumerate(range(7, 13)):
        for i in range(4):
            angle = (slot % 5) / 10000 ** (2 * i / 8)
            assert code[row, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert code[row, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


@given(
    valid=st.lists(st.booleans(), min_size=1, max_size=12),
    window=st.integers(1, 14),
    kind=st.sampled_from(["labels", "causal", "self", "past"]),
    data=st.data(),
)
def test_the_mask_is_the_band_that_the_spec_describes(valid, window, kind, data):
    num_queries = data.draw(st.integers(1, len(valid)))
    mask = banded_mask(torch.tensor([valid]), num_queries, window, kind)[0, 0]
    for row, q in enumerate(range(len(valid) - num_queries, len(valid))):
        seen = {k for k in range(len(valid)) if q - window < k <= q and valid[k]}
        if kind == "labels":
            seen |= {q}
        elif kind == "causal":
            seen = seen or {q}
        elif kind == "self":
            seen = {q}
        else:
            seen -= {q}
            assert mask[row, 0] == (not seen), "the null key is seen where nothing else is"
        keys = mask[row, 1:] if kind == "past" else mask[row]
        assert {k for k, visible in enumerate(keys.tolist()) if visible} == seen


@pytest.mark.parametrize("embedded", [True, False])
def test_tokens_of_masked_vertices_equal_the_dense_product_of_eq_7(embedded):
    model = network(au_token_embedding=embedded).model
    displacement = torch.randn(2, 5, 3 * VERTICES)
    tokens = model.spatial.tokens(displacement, model.regions())
    part, masks = model.spatial.tokens, face()[2].repeat_interleave(3, dim=1)
    masked = displacement[:, :, None] * masks  # M_k ⊗ (S_j − S̄), (B, T, N, 3V)
    dense = part.outer(torch.nn.functional.gelu(masked @ part.weight + part.bias))
    torch.testing.assert_close(tokens, dense + part.au_embedding if embedded else dense)


def test_action_units_of_one_region_are_told_apart_only_by_their_embedding():
    for embedded in (True, False):
        model = network(au_token_embedding=embedded)
        template, faces, masks = face()
        masks[1] = masks[0]
        model.set_face_model(template, faces, masks)
        spatial = model(**clip(model.config)).spatial_embeddings
        assert torch.allclose(spatial[:, :, 0], spatial[:, :, 1]) is not embedded


def test_the_heads_are_eq_9_and_10():
    model = network()
    inputs = clip(model.config)
    output = model(**inputs)
    temporal, spatial = output.temporal_embeddings, output.spatial_embeddings
    motion = (temporal + spatial.sum(2)) @ model.motion_decoder.weight.T + model.motion_decoder.bias
    motion = motion.unflatten(-1, (VERTICES, 3))
    expected = inputs["neutral_vertices"][:, None] + model.config.displacement_scale * motion
    torch.testing.assert_close(output.vertices, expected)
    for k in range(len(UNITS)):
        logit = (temporal + spatial[:, :, k]) @ model.au_head.weight[k] + model.au_head.bias[k]
        torch.testing.assert_close(output.au_logits[..., k], logit)
        level = (temporal + spatial[:, :, k]) @ model.intensity_head.weight[k] + model.intensity_head.bias[k]
        torch.testing.assert_close(output.au_intensities[..., k], 5 * level.sigmoid())
    torch.testing.assert_close(output.au_probabilities, output.au_logits.sigmoid())


@pytest.mark.parametrize("refine_from", ["neutral", "coarse"])
def test_training_starts_from_the_mesh_that_is_refined(refine_from):
    model = AUD3DFaceForReconstruction(AUD3DFaceConfig(**SMALL, refine_from=refine_from)).eval()
    model.set_face_model(*face())
    inputs = clip(model.config)
    start = inputs["vertices"] if refine_from == "coarse" else inputs["neutral_vertices"][:, None].expand(-1, 9, -1, -1)
    assert torch.equal(model(**inputs).vertices, start)


def test_unknown_labels_enter_as_the_positive_rate_and_intensities_as_a_fifth():
    model = network()
    inputs = clip(model.config)
    labels = inputs.pop("au_labels").float()
    rates = torch.tensor(model.config.au_positive_rates).expand_as(labels)
    filled = torch.where(labels < 0, rates, labels)
    unknown, explicit = model(**inputs, au_labels=labels), model(**inputs, au_labels=filled)
    assert torch.equal(unknown.au_logits, explicit.au_logits)
    assert torch.equal(model(**inputs).au_logits, model(**inputs, au_labels=rates).au_logits)
    levels = torch.randint(-1, 6, labels.shape).float()
    mixed = torch.where(levels >= 0, levels / 5, filled)
    with_levels = model(**inputs, au_labels=labels, au_intensity_labels=levels)
    assert torch.equal(with_levels.au_logits, model(**inputs, au_labels=mixed).au_logits)
    assert not torch.equal(with_levels.au_logits, unknown.au_logits)


# --- what may see what ------------------------------------------------------------------------------------------------


def changed_frames(before, after):
    """Which frames of any clip or output differ, as a set."""
    frames = set()
    for a, b in zip(results(before), results(after), strict=True):
        differs = ((a - b).abs() > 1e-6).flatten(2).any(-1).any(0)
        frames |= set(differs.nonzero()[:, 0].tolist())
    return frames


@settings(deadline=None, max_examples=15)
@given(frame=st.integers(0, 11), cross_attention=st.sampled_from(["causal", "self", "past"]))
def test_a_frame_changes_nothing_before_it_and_its_label_nothing_up_to_it(frame, cross_attention):
    model = network(cross_attention=cross_attention)
    inputs = clip(model.config, frames=12)
    before = model(**inputs)
    moved = {**inputs, "vertices": inputs["vertices"].clone()}
    moved["vertices"][:, frame] += 0.002 * torch.randn(VERTICES, 3, generator=torch.Generator().manual_seed(3))
    after = changed_frames(before, model(**moved))
    assert min(after) == frame, "its own outputs change, and none before"
    labelled = {**inputs, "au_labels": inputs["au_labels"].clone()}
    labelled["au_labels"][:, frame] = 1 - labelled["au_labels"][:, frame].clamp_min(0)
    after = changed_frames(before, model(**labelled))
    assert min(after, default=12) == frame + 1, "the next frame reads the label"


@pytest.mark.parametrize(("layers", "cross_attention"), [(1, "causal"), (2, "causal"), (1, "self"), (1, "past")])
def test_nothing_older_than_the_window_is_seen(layers, cross_attention):
    model = network(num_temporal_layers=layers, cross_attention=cross_attention)
    inputs = clip(model.config, frames=20)
    before = model(**inputs)
    moved = {**inputs, "vertices": inputs["vertices"].clone()}
    moved["vertices"][:, 2] += 0.004
    # Cross-attention reaches W - 1 frames; every further layer's self-attention carries it W - 1 slots on.
    reach = {"causal": layers * (WINDOW - 1), "self": 0, "past": WINDOW - 1}[cross_attention]
    assert changed_frames(before, model(**moved)) == set(range(2, 3 + reach))


frame_masks = st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=2, max_size=2)


@settings(deadline=None, max_examples=25)
@given(mask=frame_masks, cross_attention=st.sampled_from(["causal", "self", "past"]), seed=st.integers(0, 99))
def test_what_is_in_masked_frames_changes_nothing(mask, cross_attention, seed):
    model, mask = network(cross_attention=cross_attention), torch.tensor(mask)
    inputs = clip(model.config, seed=seed)
    other = clip(model.config, seed=seed + 1000)
    garbage = {
        "neutral_vertices": inputs["neutral_vertices"],
        "vertices": torch.where(mask[..., None, None], inputs["vertices"], torch.nan),
        "au_labels": torch.where(mask[..., None], inputs["au_labels"], other["au_labels"]),
    }
    for a, b in zip(results(model(**inputs, frame_mask=mask)), results(model(**garbage, frame_mask=mask)), strict=True):
        assert b.isfinite().all()
        torch.testing.assert_close(a[mask], b[mask], atol=1e-5, rtol=1e-5)


def test_a_masked_frame_s_label_is_seen_by_the_next_frame_s_own_token_alone():
    """All labels are known, so the positive rates stand for masked frames only: nothing else may follow them."""
    model = network()
    inputs = clip(model.config)
    inputs["au_labels"] = inputs["au_labels"].clamp_min(0)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[:, 3] = False
    before = model(**inputs, frame_mask=mask)
    model.config.au_positive_rates = (0.9, 0.8, 0.7)
    assert changed_frames(before, model(**inputs, frame_mask=mask)) == {4}


@pytest.mark.parametrize("row", [{}, {"use_video": True}], ids=["mesh", "video"])
def test_features_of_masked_frames_are_zero(row):
    model = network(**row).model
    inputs = clip(model.config)
    mask = torch.rand(2, 9, generator=torch.Generator().manual_seed(4)) < 0.6
    displacement = model.displacement(inputs["vertices"], inputs["neutral_vertices"], mask)
    features = model.frame_features(displacement, inputs.get("pixel_values_videos"), mask)
    assert not features[~mask].any()
    assert features[mask].any(-1).all()


@settings(deadline=None, max_examples=20)
@given(length=st.integers(1, 9), mask=frame_masks, cross_attention=st.sampled_from(["causal", "self", "past"]))
def test_padding_changes_nothing(length, mask, cross_attention):
    model, mask = network(cross_attention=cross_attention), torch.tensor(mask)
    inputs = clip(model.config)
    mask[:, length:] = False
    short = {k: v if k == "neutral_vertices" else v[:, :length] for k, v in inputs.items()}
    alone = results(model(**short, frame_mask=mask[:, :length]))
    for a, b in zip(alone, results(model(**inputs, frame_mask=mask)), strict=True):
        torch.testing.assert_close(a, b[:, :length], atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=15)
@given(cut=st.integers(1, 10), cross_attention=st.sampled_from(["causal", "self", "past"]))
def test_a_sequence_read_in_two_parts_is_the_whole(cut, cross_attention):
    model = network(cross_attention=cross_attention)
    inputs = clip(model.config, frames=11)
    mask = torch.rand(2, 11, generator=torch.Generator().manual_seed(cut)) < 0.8
    whole = model(**inputs, frame_mask=mask)
    first, cache = {}, None
    for part in (slice(0, cut), slice(cut, 11)):
        cut_inputs = {k: v if k == "neutral_vertices" else v[:, part] for k, v in inputs.items()}
        if not cut_inputs["au_labels"].shape[1]:
            continue
        first[part.start] = model(**cut_inputs, frame_mask=mask[:, part], past_key_values=cache, use_cache=True)
        cache = first[part.start].cache
        assert cache.slot_mask.shape[1] == min(part.stop, WINDOW - 1)
        for keys, values in cache.label_keys + cache.feature_keys:
            assert keys.shape[2] == values.shape[2] == min(part.stop, WINDOW - 1)
    joined = [torch.cat(parts, 1) for parts in zip(*map(results, first.values()), strict=True)]
    for a, b in zip(results(whole), joined, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cross_attention", ["causal", "self", "past"])
def test_sdpa_equals_eager(cross_attention):
    sdpa = network(cross_attention=cross_attention)
    assert sdpa.config._attn_implementation == "sdpa"
    eager = network(cross_attention=cross_attention, attn_implementation="eager")
    inputs = clip(sdpa.config)
    mask = torch.rand(2, 9) < 0.7
    outputs = [results(model(**inputs, frame_mask=mask)) for model in (sdpa, eager)]
    sdpa.set_attn_implementation("eager")
    outputs.append(results(sdpa(**inputs, frame_mask=mask)))
    for a, b, c in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert torch.equal(b, c)


def test_bfloat16_is_finite_and_near():
    model = network()
    inputs = clip(model.config)
    exact = model(**inputs)
    half = copy.deepcopy(model).to(torch.bfloat16)(**inputs)
    assert half.vertices.dtype == torch.float32, "metres keep the precision that they came with"
    assert (half.vertices - exact.vertices).abs().max() < 0.1 * (exact.vertices - inputs["vertices"]).abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        assert all(value.isfinite().all() for value in results(model(**inputs)))


# --- video ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 4, 5])
def test_video_gives_one_feature_map_a_frame(frames):
    pixels = torch.randn(2, frames, 3, 32, 32)
    for reading in ("twice", "repeat"):
        model = network(use_video=True, video_frames=reading).model
        cells = model.video_backbone(pixels)
        assert cells.shape == (2, frames, model.config.video_feature_size)
        pairs = torch.allclose(cells[:, 0], cells[:, min(1, frames - 1)])
        assert pairs is (reading == "repeat" or frames == 1)


def test_long_video_is_read_in_overlapping_clips_that_give_their_middles():
    model = network(use_video=True, use_temporal=False).model  # z^t is the projected appearance
    pixels = torch.randn(1, 15, 3, 32, 32)
    mask = torch.ones(1, 15, dtype=torch.bool)
    features = model.frame_features(None, pixels, mask)
    clips = {
        start: model.feature_projection(model.video_backbone(pixels[:, start : start + 6])) for start in (0, 3, 6, 9)
    }
    for start, kept in ((0, range(0, 4)), (3, range(4, 7)), (6, range(7, 10)), (9, range(10, 15))):
        torch.testing.assert_close(features[:, kept.start : kept.stop], clips[start][:, [t - start for t in kept]])


def test_kinetics_weights_are_loaded_when_asked(tmp_path):
    model, donor = network(use_video=True), network(use_video=True, seed=5)
    state = donor.model.video_backbone.swin.state_dict()
    torch.save({**state, "head.weight": torch.zeros(400, 8), "head.bias": torch.zeros(400)}, tmp_path / "swin.pth")
    model.load_video_backbone(tmp_path / "swin.pth")
    for name, value in model.model.video_backbone.swin.state_dict().items():
        assert torch.equal(value, state[name])
    with pytest.raises(ValueError, match="use_video=False"):
        network().load_video_backbone(tmp_path / "swin.pth")
    torch.save({"features.0.0.norm1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth holds no weights of the config's Video Swin"):
        model.load_video_backbone(tmp_path / "other.pth")


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [{}, {"use_video": True}, {"cross_attention": "past"}], ids=["mesh", "video", "past"])
def test_a_checkpoint_keeps_every_parameter_and_buffer(tmp_path, row):
    model = network(**row)
    model.save_pretrained(tmp_path)
    loaded = AUD3DFaceForReconstruction.from_pretrained(tmp_path)
    before, after = dict(model.state_dict()), dict(loaded.state_dict())
    assert before.keys() == after.keys() == load_file(tmp_path / "model.safetensors").keys()
    assert {n for n, _ in model.named_buffers()} <= before.keys(), "a buffer outside the state comes back as garbage"
    assert [n for n in before if not torch.equal(before[n], after[n])] == []
    inputs = clip(model.config)
    for a, b in zip(results(model(**inputs)), results(loaded(**inputs)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    base = AutoModel.from_pretrained(tmp_path)
    assert type(base) is AUD3DFaceModel
    torch.testing.assert_close(base(**inputs).spatial_embeddings, model(**inputs).spatial_embeddings)


def test_a_checkpoint_read_in_bfloat16_keeps_its_metres(tmp_path):
    model = network()
    model.save_pretrained(tmp_path)
    loaded = AUD3DFaceForReconstruction.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded.model.template, model.model.template)


def test_a_licensed_face_model_stays_out_of_the_checkpoint(tmp_path):
    template, faces, masks = face()
    model = network(face_model="flame", face_model_checksum=face_model_checksum(template, faces))
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert not [name for name in saved if name.endswith(("template", "faces", "au_masks"))]
    loaded, report = AUD3DFaceForReconstruction.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    inputs = clip(model.config)
    with pytest.raises(ValueError, match="no face model: give it the files of 'flame'"):
        loaded(**inputs)
    with pytest.raises(ValueError, match="checksum differs"):
        loaded.set_face_model(template * 1.01, faces, masks)
    loaded.set_face_model(template, faces, masks)
    for a, b in zip(results(model(**inputs)), results(loaded(**inputs)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_a_network_without_a_face_model_says_so():
    model = network(with_face=False)
    with pytest.raises(ValueError, match="set_face_model"):
        model(**clip(model.config))


def test_masks_that_are_replaced_are_read_anew():
    model = network()
    inputs = clip(model.config)
    before = model(**inputs).spatial_embeddings
    template, faces, masks = face(seed=8)
    model.set_face_model(template, faces, masks)
    assert not torch.allclose(before, model(**inputs).spatial_embeddings)


def test_a_mesh_checkpoint_starts_a_video_network(tmp_path):
    network().save_pretrained(tmp_path)
    config = AUD3DFaceConfig(**SMALL, use_video=True)
    model = AUD3DFaceForReconstruction.from_pretrained(tmp_path, config=config, ignore_mismatched_sizes=True)
    fresh = AUD3DFaceForReconstruction(config)
    for name, buffer in fresh.model.video_backbone.named_buffers():
        assert torch.equal(buffer, model.model.video_backbone.get_buffer(name))
    for name, parameter in model.model.video_backbone.named_parameters():
        assert parameter.isfinite().all()
        assert parameter.abs().max() <= 2 * fresh.model.video_backbone.get_parameter(name).abs().max() + 0.1
    assert all(value.isfinite().all() for value in results(model.eval()(**clip(config))))


def test_the_backbone_keeps_its_own_initialisation():
    with torch.random.fork_rng():
        swin = AUD3DFaceForReconstruction(AUD3DFaceConfig(**{**SMALL, "video_embed_dim": 32}, use_video=True)).model
    for name, parameter in swin.video_backbone.named_parameters():
        if "norm" not in name and name.endswith(("qkv.weight", "proj.weight", "mlp.0.weight")) and parameter.ndim == 2:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15)


def test_the_config_of_a_checkpoint_is_readable(tmp_path):
    network().save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    assert fields["action_units"] == list(UNITS)
    assert fields["id2label"]["2"] == "AU12"
    assert fields["architectures"] == ["AUD3DFaceForReconstruction"]


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neutral_vertices": None}, "neutral_vertices"),
        ({"vertices": None}, "vertices must be"),
        ({"vertices": torch.zeros(2, 9, VERTICES + 1, 3)}, "vertices must be"),
        ({"neutral_vertices": torch.zeros(2, VERTICES + 1, 3)}, "neutral_vertices must be"),
        ({"pixel_values_videos": None}, "pixel_values_videos must be"),
        ({"pixel_values_videos": torch.zeros(2, 9, 3, 16, 16)}, "pixel_values_videos must be"),
        ({"au_labels": torch.zeros(2, 9, 4)}, "au_labels must be"),
        ({"frame_mask": torch.ones(2, 8)}, "frame_mask must be"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    model = network(use_video=True)
    with pytest.raises(ValueError, match=message):
        model(**{**clip(model.config), **change})


def test_nothing_at_all_is_refused():
    model = network(use_mesh=False, use_video=True, use_spatial=False)
    with pytest.raises(ValueError, match="needs vertices, pixel_values_videos or video_features"):
        model(neutral_vertices=torch.zeros(2, VERTICES, 3))


def test_face_models_that_do_not_fit_are_refused():
    model = network(with_face=False)
    template, faces, masks = face()
    empty = masks.clone()
    empty[1] = 0
    for arguments, message in (
        ((template[1:], faces, masks), "template of the face model must have shape"),
        ((template, faces[1:], masks), "faces of the face model"),
        ((template, faces, masks[1:]), "au_masks of the face model"),
        ((template, faces + VERTICES, masks), "faces must index"),
        ((template, faces, masks * 0.5), "zeros and ones"),
        ((template, faces, empty), "no vertex for AU02"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_face_model(*arguments)


def test_a_config_changed_into_nonsense_is_refused_by_the_network():
    config = AUD3DFaceConfig(**SMALL)
    config.attention_window = 50
    with pytest.raises(ValueError, match="positional_period"):
        AUD3DFaceForReconstruction(config)
