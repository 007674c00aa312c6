"""The video branch: clips as frames come, features computed before, activation checkpointing, Kinetics weights."""

import copy
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface import kinetics_weights
from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.errors import CheckpointError, MissingDependencyError
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction

SIZE, VERTICES = 16, 8
SMALL = {
    "action_units": (1, 2, 12),
    "num_vertices": VERTICES,
    "num_faces": 4,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_temporal_layers": 2,
    "num_spatial_layers": 2,
    "attention_window": 4,
    "positional_period": 5,
    "use_video": True,
    "image_size": SIZE,
    "clip_length": 6,
    "video_embed_dim": 4,
    "video_depths": (1, 1),
    "video_num_heads": (1, 2),
    "video_window_size": (2, 2, 2),
}
READINGS = pytest.mark.parametrize("reading", ["twice", "repeat"])


def network(**fields) -> AUD3DFaceForReconstruction:
    torch.manual_seed(0)
    model = AUD3DFaceForReconstruction(AUD3DFaceConfig(**{**SMALL, **fields})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    masks = torch.rand(3, VERTICES) < 0.5
    masks[:, 0] = True
    model.set_face_model(torch.randn(VERTICES, 3) * 0.05, torch.randint(0, VERTICES, (4, 3)), masks)
    return model


def clip(frames: int, batch: int = 2) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(frames)
    neutral = torch.randn(batch, VERTICES, 3, generator=random) * 0.05
    return {
        "neutral_vertices": neutral,
        "vertices": neutral[:, None] + torch.randn(batch, frames, VERTICES, 3, generator=random) * 0.003,
        "pixel_values_videos": torch.randn(batch, frames, 3, SIZE, SIZE, generator=random),
        "frame_mask": torch.rand(batch, frames, generator=random) < 0.8,
    }


def with_features(model, inputs: dict) -> dict:
    """The same inputs with the features of the video in place of its pixels."""
    pixels, mask = inputs["pixel_values_videos"], inputs["frame_mask"]
    with torch.no_grad():
        features = model.model.video_features(pixels, mask)
    assert features.shape == (*mask.shape, model.config.video_feature_size)
    return {**{k: v for k, v in inputs.items() if k != "pixel_values_videos"}, "video_features": features}


def assert_same(one, other) -> None:
    for name in ("vertices", "au_probabilities", "au_intensities"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=1e-5, rtol=1e-5)


# --- clips as frames come ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 65),
    length=st.integers(1, 20),
    reading=st.sampled_from(["twice", "repeat"]),
    cuts=st.lists(st.integers(0, 65), max_size=12),
)
def test_frames_in_parts_of_any_length_give_the_features_of_the_whole(frames, length, reading, cuts):
    model = network(clip_length=length, video_frames=reading).model
    inputs = clip(frames, batch=1)
    pixels, mask = inputs["pixel_values_videos"], inputs["frame_mask"]
    bounds = [0, *sorted(min(cut, frames) for cut in cuts), frames]
    taken = 0

    def parts():
        nonlocal taken
        for start, end in itertools.pairwise(bounds):
            taken = end
            yield pixels[:, start:end], mask[:, start:end]

    with torch.no_grad():
        done, found = 0, []
        for part in model.video_backbone.read(parts()):
            found.append(part)
            done += part.shape[1]
            assert done <= taken
        # The clips written out: every L // 2 frames, the last at the end, cut in the middle of their overlaps.
        starts = [*range(0, frames - length, max(1, length // 2)), max(0, frames - length)]
        cuts = [0, *((a + b + length) // 2 for a, b in itertools.pairwise(starts)), frames]
        dark = pixels.masked_fill(~mask[..., None, None, None], 0)
        expected = [
            model.video_backbone(dark[:, start : start + length])[:, a - start : b - start]
            for start, (a, b) in zip(starts, itertools.pairwise(cuts), strict=True)
        ]
        torch.testing.assert_close(torch.cat(found, 1), torch.cat(expected, 1), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.video_features(pixels, mask), torch.cat(found, 1), atol=1e-5, rtol=1e-5)


# --- features in place of pixels --------------------------------------------------------------------------------------


@READINGS
@pytest.mark.parametrize("row", [{}, {"use_temporal": False}, {"use_mesh": False, "use_spatial": False}])
def test_forward_with_features_is_forward_with_pixels(reading, row):
    model = network(video_frames=reading, **row)
    inputs = clip(15)
    labels = torch.randint(-1, 2, (2, 15, 3))
    pixels = model(**inputs, au_labels=labels)
    given = with_features(model, inputs)
    assert_same(pixels, model(**given, au_labels=labels))
    given["video_features"] = given["video_features"].flip(1)
    assert (model(**given, au_labels=labels).au_logits - pixels.au_logits).abs().max() > 0.01
    # Whatever lies at masked frames changes nothing, and spoils no gradient.
    given = with_features(model, inputs)
    given["video_features"][~inputs["frame_mask"]] = float("nan")
    output = model(**given, au_labels=labels)
    assert_same(pixels, output)
    output.au_logits.sum().backward()
    assert model.model.feature_projection.weight.grad.isfinite().all()


@READINGS
@pytest.mark.parametrize("decoding", ["cached", "fixed_point", "full"])
def test_generate_with_features_is_generate_with_pixels(reading, decoding, monkeypatch):
    monkeypatch.setattr("au_d3dface.generation_au_d3dface.FRAMES_AT_ONCE", 7)
    model = network(video_frames=reading)
    inputs = clip(23)
    pixels = model.generate(**inputs, decoding=decoding, block_size=4)
    given = with_features(model, inputs)
    features = given.pop("video_features")
    assert_same(pixels, model.generate(**given, video_features=features, decoding=decoding, block_size=4))
    parts = iter(features.split([1, 0, 9, 2, 7, 4], 1))
    assert_same(pixels, model.generate(**given, video_features=parts, decoding=decoding, block_size=4))
    assert_same(model(**inputs, au_labels=pixels.au_labels), pixels)


def test_features_alone_are_enough_for_a_network_without_meshes():
    model = network(use_mesh=False, use_spatial=False)
    inputs = clip(9)
    given = with_features(model, inputs)
    del given["vertices"]
    assert_same(model(**inputs), model(**given))
    parts = given.pop("video_features").split(2, 1)
    assert_same(model.generate(**inputs), model.generate(**given, video_features=parts))


def test_features_that_do_not_fit_are_refused():
    model = network()
    inputs = clip(9)
    given = with_features(model, inputs)
    for call in (model, model.generate):
        with pytest.raises(ValueError, match="give one of them, not both"):
            call(**given, pixel_values_videos=inputs["pixel_values_videos"])
        with pytest.raises(ValueError, match=r"video_features must be \(B, T, h · w · C\) = \(2, 9, 32\)"):
            call(**{**given, "video_features": given["video_features"][..., 1:]})
    with pytest.raises(ValueError, match=r"video_features must be \(B, T"):
        model(**{**given, "video_features": given["video_features"][:, 1:]})
    features = given.pop("video_features")
    with pytest.raises(ValueError, match="video_features end after 5 of 9 frames"):
        model.generate(**given, video_features=[features[:, :5]])
    with pytest.raises(ValueError, match="video_features go on after the last of 9 frames"):
        model.generate(**given, video_features=[features, features[:, :1]])
    with pytest.raises(ValueError, match="use_video=False"):
        network(use_video=False).model.video_features(inputs["pixel_values_videos"], inputs["frame_mask"])


# --- activation checkpointing -----------------------------------------------------------------------------------------


def gradients(model, inputs) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients by name, and the bytes that the forward pass kept for the backward one."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address is given twice
        return tensor

    model.zero_grad()
    torch.manual_seed(3)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(**inputs)
    saved = sum(size for address, (size, _) in kept.items() if address not in parameters)
    (output.vertices.square().sum() + output.au_logits.square().sum()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, saved


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_activation_checkpointing_keeps_the_gradients_and_saves_memory(dropout):
    # Single blocks cost little; the second stage has several, as in Video Swin, and the clip is a batch of training.
    model = network(
        hidden_dropout=dropout,
        attention_dropout=dropout,
        video_stochastic_depth=dropout,
        video_depths=(1, 3),
        num_temporal_layers=3,
        num_spatial_layers=3,
    ).train()
    inputs = clip(12)
    plain, plain_bytes = gradients(model, inputs)
    model.activation_checkpointing_enable()
    checkpointed, fewer_bytes = gradients(model, inputs)
    assert {name.split(".")[1] for name in plain} >= {"video_backbone", "temporal", "spatial"}
    assert plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, atol=1e-6, rtol=1e-5, msg=name)
    assert fewer_bytes < 0.5 * plain_bytes
    with pytest.warns(FutureWarning):  # the older name of the same
        model.gradient_checkpointing_enable()
    model.activation_checkpointing_disable()
    assert gradients(model, inputs)[1] == plain_bytes


# --- Kinetics weights -------------------------------------------------------------------------------------------------


@pytest.fixture
def kinetics(monkeypatch, tmp_path):
    """A server on this machine in place of torchvision's; `answer` is what it sends, None for an error."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if server.answer is None:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.answer)))
            self.end_headers()
            self.wfile.write(server.answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answer = None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/models/swin3d_t-7615ae03.pth"
    monkeypatch.setattr(kinetics_weights, "KINETICS_URL", address)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    yield server
    server.shutdown()
    server.server_close()


def test_the_name_of_the_weights_is_torchvision_s():
    assert kinetics_weights.KINETICS_URL.endswith("/swin3d_t-7615ae03.pth")
    assert str(kinetics_weights.KINETICS_WEIGHTS) == "Swin3D_T_Weights.KINETICS400_V1"


def test_weights_that_cannot_be_fetched_are_a_sentence(kinetics, tmp_path):
    model = network()
    before = copy.deepcopy(model.state_dict())

    def refused(reason: str) -> None:
        with pytest.raises(MissingDependencyError, match=reason) as error:
            model.load_video_backbone()
        for part in ("swin3d_t-7615ae03.pth", "Swin3D_T_Weights.KINETICS400_V1", "give its path"):
            assert part in str(error.value)
        assert "\n" not in str(error.value)
        assert not [path for path in (tmp_path / "hub").rglob("*") if path.is_file()], "nothing half is left"

    refused("503|Service Unavailable")
    kinetics.answer = b"half of the weights"
    refused("invalid hash value")
    kinetics.shutdown()
    kinetics.server_close()
    refused("Connection refused")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "is damaged, cut off or no file of weights"),
        (b"PK\x03\x04 text", "is damaged, cut off or no file of weights"),
        (b"just a text\n", "is damaged, cut off or no file of weights"),
        ("half", "is damaged, cut off or no file of weights"),
        ([1, 2], "something other than a network's weights"),
        ({"epoch": 3}, "something other than a network's weights"),
        ({"norm.weight": torch.zeros(3)}, "holds no weights of the config's Video Swin"),
    ],
)
def test_files_that_are_no_weights_are_a_sentence(content, message, tmp_path):
    path, model = tmp_path / "weights.pth", network()
    if content == "half":
        torch.save(model.model.video_backbone.swin.state_dict(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as error:
        model.load_video_backbone(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_file_in_the_cache_is_named(kinetics, tmp_path):
    cached = tmp_path / "hub" / "checkpoints" / "swin3d_t-7615ae03.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match=r"swin3d_t-7615ae03\.pth is damaged"):
        network().load_video_backbone()
