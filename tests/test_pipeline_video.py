"""Checkpoints with the video branch, from a video to files: one result however it is read, and few crops held."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from au_d3dface import AUD3DFaceConfig, AUD3DFaceForReconstruction, AUD3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.checkpoints import load_checkpoint
from au_d3dface.cli import main
from au_d3dface.errors import InputError
from au_d3dface.video import VideoReader
from au_d3dface.video_processing_au_d3dface import normalise_crops

LENGTH = 6
TINY_SWIN = {
    "use_video": True,
    "image_size": 32,
    "clip_length": LENGTH,
    "video_embed_dim": 4,
    "video_depths": (1, 1),
    "video_num_heads": (1, 2),
    "video_window_size": (2, 2, 2),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """An untrained mesh + video network over the bundled face, whose every parameter is away from its start."""
    folder, bundled = tmp_path_factory.mktemp("checkpoint"), load_checkpoint(device="cpu")
    torch.manual_seed(0)
    config = AUD3DFaceConfig(**{**bundled.config.to_diff_dict(), **TINY_SWIN})
    model = AUD3DFaceForReconstruction(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    model.set_face_model(bundled.model.template, bundled.model.faces, bundled.model.au_masks)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(checkpoint) -> AUD3DFacePipeline:
    return AUD3DFacePipeline.from_pretrained(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, make_video) -> Path:
    """90 frames of the rendered sample; the face comes after six and is away for fifteen in the middle."""
    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(69), strict=False)]
    empty = np.full_like(frames[0], 128)
    shown = [*[empty] * 6, *frames[:35], *[empty] * 15, *frames[35:]]
    return make_video(tmp_path_factory.mktemp("rendered") / "rendered.mp4", shown)


def reconstruct(pipe, video, monkeypatch, **options):
    """The result; what `generate` was given beside the features, and gave; the normalised crops that were read."""
    crops, calls = [], []
    generate = pipe.model.generate

    def normalised(given):
        crops.append(normalise_crops(given))
        return crops[-1]

    def generated(**inputs):
        output = generate(**inputs)
        calls.append(({k: v for k, v in inputs.items() if k != "video_features"}, output))
        return output

    with monkeypatch.context() as patch:
        patch.setattr("au_d3dface.pipeline_au_d3dface.normalise_crops", normalised)
        patch.setattr(pipe.model, "generate", generated)
        [sequence] = pipe.reconstruct(video, **options).sequences
    [(inputs, output)] = calls
    return sequence, inputs, output, torch.cat(crops, 1)


def check_against_whole(pipe, video, monkeypatch):
    sequence, inputs, output, pixels = reconstruct(pipe, video, monkeypatch)
    assert pixels.shape == (*inputs["frame_mask"].shape, 3, 32, 32)
    assert pixels.shape[1] > 2 * LENGTH, "several clips"
    whole = pipe.model.generate(**inputs, pixel_values_videos=pixels)
    for name in ("vertices", "au_probabilities", "au_intensities"):
        torch.testing.assert_close(getattr(output, name), getattr(whole, name), atol=1e-5, rtol=1e-5)
    dark = pipe.model.generate(**inputs, pixel_values_videos=torch.zeros_like(pixels))
    assert (dark.vertices - whole.vertices).abs().max() > 1e-4, "the pictures matter"
    assert np.isfinite(sequence.vertices[sequence.valid]).all()
    assert np.isnan(sequence.vertices[~sequence.valid]).all()
    return sequence, inputs


def test_a_clip_read_in_parts_is_the_clip_read_whole(pipe, rendered, monkeypatch):
    monkeypatch.setattr("au_d3dface.generation_au_d3dface.FRAMES_AT_ONCE", 5)
    sequence, inputs = check_against_whole(pipe, rendered, monkeypatch)
    assert not sequence.valid[:6].any()
    assert not sequence.valid[46:55].any()
    assert not inputs["frame_mask"].all()


def test_a_real_clip_read_in_parts_is_the_clip_read_whole(pipe, clips, monkeypatch):
    sequence, _ = check_against_whole(pipe, clips / "pyfeat_single_face.mp4", monkeypatch)
    assert sequence.valid.all()


@pytest.mark.parametrize("source", ["rendered", "real"])
def test_the_command_line(source, pipe, checkpoint, rendered, tmp_path, request):
    video = rendered if source == "rendered" else request.getfixturevalue("clips") / "pyfeat_single_face.mp4"
    out = tmp_path / "out"
    arguments = ["reconstruct", str(video), "--model", str(checkpoint), "--device", "cpu", "-o", str(out), "--quiet"]
    assert main([*arguments, "--formats", "csv,npz"]) == 0
    assert {path.name for path in out.iterdir()} == {"action_units.csv", "sequence.npz", "summary.json"}
    [sequence] = pipe(video)
    with np.load(out / "sequence.npz") as stored:
        np.testing.assert_allclose(stored["vertices"], sequence.vertices, atol=1e-6)
        np.testing.assert_allclose(stored["au_probabilities"], sequence.au_probabilities, atol=1e-5)


def test_crops_held_at_once_are_bounded(pipe, rendered, monkeypatch):
    """Each crop's numbers lie in an array that is counted until nothing holds it."""
    live, most, made = 0, 0, 0

    def gone():
        nonlocal live
        live -= 1

    def normalised(given):
        nonlocal live, most, made
        array = normalise_crops(given).numpy().copy()
        weakref.finalize(array, gone)
        live, made = live + 1, made + 1
        most = max(most, live)
        return torch.from_numpy(array)

    monkeypatch.setattr("au_d3dface.pipeline_au_d3dface.normalise_crops", normalised)
    pipe(rendered)
    assert live == 0
    assert made > 3 * LENGTH
    assert LENGTH < most <= LENGTH + LENGTH // 2 + 1


def test_progress_and_interrupts(pipe, rendered):
    seen = []

    def progress(stage, done, total):
        seen.append((stage, done, total))
        if (stage, done) == ("pictures", 40):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe.reconstruct(rendered, progress=progress)
    pictures = [done for stage, done, _ in seen if stage == "pictures"]
    assert pictures == list(range(1, 41))


def test_a_video_that_is_shorter_when_it_is_read_again(checkpoint, rendered):
    opened = []

    class Shrinking(VideoReader):
        def __init__(self, path):
            super().__init__(path)
            opened.append(path)
            self.first = len(opened) == 1

        def _frames(self):
            for frame in super()._frames():
                if frame.index == 50 and not self.first:
                    return
                yield frame

    pipe = AUD3DFacePipeline.from_pretrained(checkpoint, device="cpu")
    pipe.reader = Shrinking
    with pytest.raises(InputError, match=r"rendered\.mp4 ended before frame \d+ when it was read again"):
        pipe(rendered)
