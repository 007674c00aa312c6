"""Decoding: every way gives the numbers of the teacher-forced pass fed with its own outputs."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.streamers import BaseStreamer

from au_d3dface import generation_au_d3dface as generation
from au_d3dface.checkpoints import load_checkpoint
from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.face_models import load_face_model
from au_d3dface.generation_au_d3dface import AUD3DFaceGenerateOutput, AUD3DFaceGenerationConfig
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction

UNITS, VERTICES, WINDOW = (1, 2, 12), 8, 4
MODES = ("cached", "fixed_point", "full")


def network(seed=0, **fields):
    """A small network whose outputs depend strongly on the labels that are fed back."""
    torch.manual_seed(seed)
    small = {
        "action_units": UNITS,
        "num_vertices": VERTICES,
        "num_faces": 4,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_temporal_layers": 2,
        "num_spatial_layers": 1,
        "attention_window": WINDOW,
        "positional_period": 5,
        "au_positive_rates": (0.3, 0.2, 0.4),
        "image_size": 16,
        "clip_length": 6,
        "video_embed_dim": 4,
        "video_depths": (1, 1),
        "video_num_heads": (1, 2),
        "video_window_size": (2, 2, 2),
    }
    model = AUD3DFaceForReconstruction(AUD3DFaceConfig(**{**small, **fields})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.au_head.weight.mul_(3)
        if model.config.use_temporal:
            model.model.temporal.label_embedding.weight.mul_(4)
    masks = torch.rand(len(UNITS), VERTICES) < 0.5
    masks[:, 0] = True
    model.set_face_model(torch.randn(VERTICES, 3) * 0.05, torch.randint(0, VERTICES, (4, 3)), masks)
    return model


def clip(config, batch=2, frames=14, seed=1):
    generator = torch.Generator().manual_seed(seed)
    neutral = torch.randn(batch, VERTICES, 3, generator=generator) * 0.05
    inputs = {"neutral_vertices": neutral}
    if config.use_mesh:
        moved = torch.randn(batch, frames, VERTICES, 3, generator=generator) * 0.002
        inputs["vertices"] = neutral[:, None] + moved
    if config.use_video:
        inputs["pixel_values_videos"] = torch.randn(batch, frames, 3, 16, 16, generator=generator)
    return inputs


def assert_same(a, b, mask=None):
    for name in ("vertices", "au_probabilities", "au_intensities"):
        one, other = (getattr(x, name) if mask is None else getattr(x, name)[mask] for x in (a, b))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def stream(model, inputs, mask=None, **options):
    """The same inputs through decode_step, one frame at a time."""
    state = model.start_decoding(inputs["neutral_vertices"], **options)
    steps = []
    for t in range(len(next(v for k, v in inputs.items() if k != "neutral_vertices")[0])):
        steps.append(
            model.decode_step(
                state,
                vertices=inputs["vertices"][:, t] if "vertices" in inputs else None,
                pixel_values=inputs["pixel_values_videos"][:, t] if "pixel_values_videos" in inputs else None,
                au_labels=inputs["au_labels"][:, t] if "au_labels" in inputs else None,
                frame_mask=None if mask is None else mask[:, t],
            )
        )
    return AUD3DFaceGenerateOutput(**{k: torch.cat([s[k] for s in steps], 1) for k in steps[0]})


# --- one result -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(
    frames=st.integers(1, 20),
    block_size=st.integers(1, 9),
    cross_attention=st.sampled_from(["causal", "self", "past"]),
    hidden=st.floats(0, 0.5),
    known=st.booleans(),
    seed=st.integers(0, 999),
)
def test_cached_uncached_fixed_point_and_live_decoding_equal_the_teacher_forced_pass(
    frames, block_size, cross_attention, hidden, known, seed
):
    # In double precision: this network is made to magnify, and single precision's rounding with it.
    model = network(cross_attention=cross_attention).double()
    inputs = {name: value.double() for name, value in clip(model.config, frames=frames, seed=seed).items()}
    random = torch.Generator().manual_seed(seed)
    mask = torch.rand(2, frames, generator=random) >= hidden
    if known:
        inputs["au_labels"] = torch.randint(-1, 2, (2, frames, len(UNITS)), generator=random)
    outputs = {m: model.generate(**inputs, frame_mask=mask, decoding=m, block_size=block_size) for m in MODES}
    outputs["live"] = stream(model, inputs, mask)
    inputs.pop("au_labels", None)
    forced = model(**inputs, au_labels=outputs["full"].au_labels, frame_mask=mask)
    for output in outputs.values():
        assert torch.equal(output.au_labels, outputs["full"].au_labels)
        assert_same(output, forced)


def test_the_bundled_checkpoint_decodes_alike_in_single_precision():
    model = load_checkpoint()
    face = load_face_model("facemesh")
    random = torch.Generator().manual_seed(0)
    # A minute and a half of expressions that come and go, longer than what is read at once.
    course = torch.randn(1, 900, face.expression_basis.shape[0], generator=random).cumsum(1)
    course = (course - course.roll(30, 1)) / 30**0.5
    inputs = {
        "vertices": face(torch.zeros(face.shape_basis.shape[0]), course),
        "neutral_vertices": face.template[None],
    }
    cached = model.generate(**inputs, decoding="cached")
    assert 0.01 < cached.au_labels.float().mean() < 0.9
    forced = model(**inputs, au_labels=cached.au_labels)
    for other in (forced, model.generate(**inputs, decoding="fixed_point")):
        assert_same(cached, other)
    start = {**inputs, "vertices": inputs["vertices"][:, :40]}
    assert_same(model.generate(**start, decoding="full"), model.generate(**start, decoding="cached"))


@pytest.mark.parametrize(
    "row",
    [
        {"use_mesh": False, "use_video": True, "use_spatial": False},
        {"use_spatial": False},
        {"use_temporal": False},
        {"use_video": True},
        {"use_video": True, "use_temporal": False},
        {"refine_from": "coarse", "predict_intensity": False},
    ],
    ids=lambda row: ", ".join(row),
)
def test_every_branch_decodes_as_it_trains(row):
    model = network(**row)
    inputs = clip(model.config)
    outputs = [model.generate(**inputs, decoding=mode, block_size=4) for mode in MODES]
    if not model.config.use_video:
        outputs.append(stream(model, inputs))
    forced = model(**inputs, au_labels=outputs[0].au_labels)
    for output in outputs:
        if not model.config.predict_intensity:
            assert output.au_intensities is None
            output.au_intensities = forced.au_intensities = torch.zeros(1)
        assert_same(output, forced)


@pytest.mark.parametrize("frames", [1, 4, 6])
def test_live_video_equals_generate_on_the_trailing_clip(frames):
    model = network(use_video=True)
    inputs = clip(model.config, frames=9)
    live = stream(model, inputs)
    # The last frame of a clip that ends there sees nothing of the future in either.
    until = {k: v if k == "neutral_vertices" else v[:, :frames] for k, v in inputs.items()}
    features = model.model.frame_features(
        model.model.displacement(until["vertices"], until["neutral_vertices"], torch.ones(2, frames).bool()),
        until["pixel_values_videos"],
        torch.ones(2, frames).bool(),
    )
    state = model.start_decoding(inputs["neutral_vertices"])
    for t in range(frames):
        model.decode_step(state, until["vertices"][:, t], until["pixel_values_videos"][:, t])
    assert state.pixel_values_videos.shape[1] == min(frames, 5)
    keys = model.model.temporal.feature_keys(features[:, -1:], frames - 1)
    for (kept, _), (fresh, _) in zip(state.cache.feature_keys, keys, strict=True):
        torch.testing.assert_close(kept[:, :, -1:], fresh, atol=1e-5, rtol=1e-5)
    assert live.vertices.shape == (2, 9, VERTICES, 3)


@pytest.mark.parametrize("feedback", ["soft", "intensity"])
def test_soft_feedback_is_what_the_teacher_forced_pass_reads(feedback):
    model = network()
    inputs = clip(model.config)
    cached, full = (model.generate(**inputs, feedback=feedback, decoding=mode) for mode in ("cached", "full"))
    assert_same(cached, full)
    assert_same(cached, model(**inputs, au_labels=cached.au_labels))
    fed = cached.au_probabilities if feedback == "soft" else cached.au_intensities / 5
    torch.testing.assert_close(cached.au_labels, fed)
    assert_same(stream(model, inputs, feedback=feedback), cached)
    assert not torch.equal(model.generate(**inputs).au_labels, cached.au_labels)


def test_a_long_sequence_in_chunks_is_the_sequence(monkeypatch):
    model = network()
    inputs = clip(model.config, frames=40)
    whole = {mode: model.generate(**inputs, decoding=mode) for mode in MODES}
    monkeypatch.setattr(generation, "FRAMES_AT_ONCE", 7)
    for mode in MODES:
        assert_same(model.generate(**inputs, decoding=mode), whole["full"])


def test_the_cache_is_bounded_by_the_window():
    model = network()
    inputs = clip(model.config, frames=30)
    state = model.start_decoding(inputs["neutral_vertices"])
    for t in range(30):
        model.decode_step(state, inputs["vertices"][:, t])
        cache = state.cache
        assert cache.num_frames == t + 1
        for keys, values in cache.label_keys + cache.feature_keys:
            assert keys.shape[2] == values.shape[2] == min(t + 1, WINDOW - 1)


def test_fixed_point_needs_fewer_passes():
    model = network()
    inputs = clip(model.config, batch=1, frames=60)
    inputs["vertices"] = inputs["vertices"][:, :1].expand(-1, 60, -1, -1)  # a face that does not move
    passes = {}
    for mode in ("cached", "fixed_point"):
        count = []
        hook = model.model.temporal.register_forward_hook(lambda *_, count=count: count.append(1))
        model.generate(**inputs, decoding=mode)
        hook.remove()
        passes[mode] = len(count)
    assert passes["cached"] == 60
    assert passes["fixed_point"] < 60


# --- what may see what ------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(frame=st.integers(0, 13), mode=st.sampled_from(["cached", "fixed_point"]))
def test_a_frame_changes_nothing_before_it(frame, mode):
    model = network()
    inputs = clip(model.config)
    before = model.generate(**inputs, decoding=mode, block_size=5)
    inputs["vertices"] = inputs["vertices"].clone()
    inputs["vertices"][:, frame] += 0.01 * torch.randn(VERTICES, 3, generator=torch.Generator().manual_seed(2))
    after = model.generate(**inputs, decoding=mode, block_size=5)
    for name in ("vertices", "au_probabilities", "au_intensities"):
        torch.testing.assert_close(getattr(after, name)[:, :frame], getattr(before, name)[:, :frame])
        assert not torch.allclose(getattr(after, name)[:, frame], getattr(before, name)[:, frame], atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(
    length=st.integers(1, 14),
    hidden=st.floats(0, 0.6),
    mode=st.sampled_from(["cached", "fixed_point"]),
    seed=st.integers(0, 99),
)
def test_padding_and_the_content_of_masked_frames_change_nothing(length, hidden, mode, seed):
    model = network()
    inputs = clip(model.config, seed=seed)
    mask = torch.rand(2, 14, generator=torch.Generator().manual_seed(seed)) >= hidden
    mask[:, length:] = False
    short = {**inputs, "vertices": inputs["vertices"][:, :length]}
    alone = model.generate(**short, frame_mask=mask[:, :length], decoding=mode, block_size=5)
    inputs["vertices"] = torch.where(mask[..., None, None], inputs["vertices"], torch.nan)
    padded = model.generate(**inputs, frame_mask=mask, decoding=mode, block_size=5)
    for name in ("vertices", "au_probabilities", "au_intensities", "au_labels"):
        torch.testing.assert_close(getattr(alone, name), getattr(padded, name)[:, :length], atol=1e-5, rtol=1e-5)
    assert (padded.au_labels[~mask] == -1).all()


# --- labels, thresholds, streamer -------------------------------------------------------------------------------------


def test_known_labels_replace_predictions_where_they_are_known():
    model = network()
    inputs = clip(model.config)
    free = model.generate(**inputs)
    known = torch.full((2, 14, len(UNITS)), -1.0)
    known[:, 3, 1] = 1 - free.au_labels[:, 3, 1]
    steered = model.generate(**inputs, au_labels=known)
    assert torch.equal(steered.au_labels[:, 3, 1], known[:, 3, 1])
    torch.testing.assert_close(steered.au_probabilities[:, :4], free.au_probabilities[:, :4])
    assert not torch.allclose(steered.au_probabilities[:, 4], free.au_probabilities[:, 4])


def test_labels_are_decided_at_the_thresholds():
    model = network()
    inputs = clip(model.config)
    output = model.generate(**inputs)
    assert torch.equal(output.au_labels, (output.au_probabilities >= 0.5).float())
    always = model.generate(**inputs, threshold=0.0)
    assert (always.au_labels == 1).all()
    each = model.generate(**inputs, au_thresholds=[0.0, 1.0, 0.5])
    assert (each.au_labels[..., 0] == 1).all()
    assert (each.au_labels[..., 1] == 0).all()


class Collector(BaseStreamer):
    def __init__(self):
        self.frames, self.ended = [], False

    def put(self, value):
        self.frames.append(value)

    def end(self):
        self.ended = True


@pytest.mark.parametrize("mode", MODES)
def test_a_streamer_receives_every_frame_in_order(mode):
    model = network()
    inputs = clip(model.config)
    collector = Collector()
    output = model.generate(**inputs, streamer=collector, decoding=mode, block_size=4)
    assert collector.ended
    assert len(collector.frames) == 14
    for t, frame in enumerate(collector.frames):
        assert torch.equal(frame.vertices, output.vertices[:, t : t + 1])
        assert torch.equal(frame.au_labels, output.au_labels[:, t : t + 1])


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_settings_are_saved_beside_the_model(tmp_path):
    model = network()
    model.generation_config.feedback = "soft"
    model.generation_config.au_thresholds = [0.4, 0.5, 0.6]
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text())["feedback"] == "soft"
    loaded = AUD3DFaceForReconstruction.from_pretrained(tmp_path)
    assert type(loaded.generation_config) is AUD3DFaceGenerationConfig
    assert loaded.generation_config == model.generation_config
    inputs = clip(model.config)
    assert_same(loaded.generate(**inputs), model.generate(**inputs))
    given = AUD3DFaceForReconstruction.from_pretrained(tmp_path, generation_config=AUD3DFaceGenerationConfig())
    assert given.generation_config.feedback == "hard"


def test_without_the_file_the_defaults_hold_and_a_damaged_one_is_an_error(tmp_path):
    model = network()
    model.generation_config.threshold = 0.7
    model.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    assert AUD3DFaceForReconstruction.from_pretrained(tmp_path).generation_config.threshold == 0.5
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(OSError, match=r"generation_config\.json"):
        AUD3DFaceForReconstruction.from_pretrained(tmp_path)


def test_a_call_leaves_the_model_s_settings_alone():
    model = network()
    model.generate(**clip(model.config), threshold=0.9, decoding="cached")
    assert model.generation_config.threshold == 0.5
    assert model.generation_config.decoding == "auto"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedback": "strong"}, "feedback must be one of"),
        ({"decoding": "beam"}, "decoding must be one of"),
        ({"decoding": "fixed_point", "feedback": "soft"}, "exact for feedback='hard' only"),
        ({"threshold": 1.5}, "in \\[0, 1\\]"),
        ({"au_thresholds": [0.5]}, "au_thresholds has 1 numbers for 3"),
        ({"block_size": 0}, "block_size"),
        ({"treshold": 0.5}, "treshold"),
        ({"au_labels": torch.zeros(2, 14, 2)}, "au_labels must be"),
        ({"neutral_vertices": None}, "neutral_vertices"),
        ({"vertices": torch.zeros(2, 14, 5, 3)}, "vertices must be"),
        ({"frame_mask": torch.ones(2, 3)}, "frame_mask must be"),
    ],
)
def test_mistakes_are_refused(options, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        model.generate(**{**clip(model.config), **options})


def test_intensity_feedback_needs_intensities():
    model = network(predict_intensity=False)
    with pytest.raises(ValueError, match="predicts intensities"):
        model.generate(**clip(model.config), feedback="intensity")


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match="'treshold' is not a setting"):
        AUD3DFaceGenerationConfig(treshold=0.4)
