"""The video branch on videos of any length: read as a whole or crop by crop, and through the pipeline."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface import AUD3DFaceConfig, AUD3DFaceForReconstruction, AUD3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.face_models import load_face_model
from au_d3dface.video import VideoReader
from au_d3dface.video_backbone import video_windows
from au_d3dface.video_features import streamed_video_features
from au_d3dface.video_processing_au_d3dface import normalise_crops

SMALL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_temporal_layers": 1,
    "num_spatial_layers": 1,
    "image_size": 32,
    "clip_length": 6,
    "video_embed_dim": 4,
    "video_depths": (1, 1),
    "video_num_heads": (1, 2),
    "video_window_size": (2, 2, 2),
    "use_video": True,
}


def network(**fields) -> AUD3DFaceForReconstruction:
    """Not trained, but every parameter is away from its start, so that pictures change the result."""
    torch.manual_seed(0)
    config = AUD3DFaceConfig(**{**SMALL, **fields})
    model, face = AUD3DFaceForReconstruction(config).eval(), load_face_model("facemesh")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.set_face_model(face.template, face.faces, face.au_masks(config.action_units))
    return model


@given(frames=st.integers(1, 70), length=st.integers(1, 20))
def test_windows_give_every_frame_once(frames, length):
    given_frames = []
    starts = []
    for start, part in video_windows(frames, length):
        assert start <= part.start < part.stop <= start + length  # a clip gives frames that it has
        assert start == 0 or start + length <= frames
        given_frames += range(part.start, part.stop)
        starts.append(start)
    assert given_frames == list(range(frames))
    assert all(0 < b - a <= max(1, length // 2) for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize("video_frames", ["twice", "repeat"])
@given(frames=st.integers(1, 65), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_crop_by_crop_is_as_a_whole(video_frames, frames, seed):
    model = network(video_frames=video_frames)
    rng = np.random.default_rng(seed)
    crops = torch.from_numpy(rng.integers(0, 256, (frames, 3, 32, 32), dtype=np.uint8))
    seen = torch.from_numpy(rng.random(frames) < 0.8)
    with torch.no_grad():
        whole = model.model.video_features(normalise_crops(crops)[None], seen[None])
    stream = (crop if there else None for crop, there in zip(crops, seen, strict=True))
    torch.testing.assert_close(streamed_video_features(model.model, stream, frames), whole)


def test_no_more_than_a_clip_is_held():
    """The next crop is asked for only when the clip before it is done with."""
    model, alive, most = network(), set(), [0]

    class Crop(torch.Tensor):
        pass

    def crops():
        import weakref

        for number in range(60):
            crop = torch.zeros(3, 32, 32, dtype=torch.uint8)
            alive.add(number)
            weakref.finalize(crop, alive.discard, number)
            most[0] = max(most[0], len(alive))
            yield crop
            del crop

    streamed_video_features(model.model, crops(), 60)
    assert most[0] <= model.config.clip_length + 1


def test_wrong_crops_are_refused():
    model, crop = network().model, torch.zeros(3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match="the video ended after 2 crops of 3"):
        streamed_video_features(model, [crop, crop], 3)
    with pytest.raises(ValueError, match=r"a crop must be \(3, 32, 32\)"):
        streamed_video_features(model, [crop[:, 1:]], 1)


def test_a_checkpoint_with_video_through_the_command(tmp_path, make_video, monkeypatch):
    """Longer than a clip of the branch; the same video in other colours gives other action units."""
    network().save_pretrained(tmp_path / "model")
    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(75), strict=False)]
    video = make_video(tmp_path / "clip.mp4", frames)
    assert main(["reconstruct", str(video), "--model", str(tmp_path / "model"), "--output", str(tmp_path / "out"),
                 "--formats", "csv,npz"]) == 0  # fmt: skip
    with np.load(tmp_path / "out" / "sequence.npz") as arrays:
        assert arrays["valid"].all()
        assert len(arrays["valid"]) == 75
        said = arrays["au_probabilities"]
        assert np.isfinite(said).all()
    pipe = AUD3DFacePipeline.from_pretrained(tmp_path / "model")
    stages = []
    [again] = pipe(video, progress=lambda stage, done, total: stages.append(stage))
    np.testing.assert_allclose(again.au_probabilities, said, atol=1e-5)
    assert stages.count("pictures") > 60  # the pass over the video is reported

    @torch.no_grad()
    def at_once(model, crops, num_frames):
        crops = list(crops)
        seen = torch.tensor([crop is not None for crop in crops])
        pictures = torch.stack([torch.zeros(3, 32, 32, dtype=torch.uint8) if c is None else c for c in crops])
        return model.video_features(normalise_crops(pictures)[None], seen[None])

    with monkeypatch.context() as patch:
        patch.setattr("au_d3dface.pipeline_au_d3dface.streamed_video_features", at_once)
        [as_a_whole] = pipe(video)
    np.testing.assert_allclose(as_a_whole.au_probabilities, said, atol=1e-5)
    np.testing.assert_allclose(as_a_whole.vertices, again.vertices, atol=1e-7)

    dimmed = make_video(tmp_path / "dimmed.mp4", [(frame * 0.6).astype(np.uint8) for frame in frames])
    [other] = pipe(dimmed)
    assert np.nanmax(np.abs(other.au_probabilities - said)) > 1e-3
