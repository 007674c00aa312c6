"""The pipeline over every kind of video that people have, made here from the packaged sample clip."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from au_d3dface import AUD3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.errors import CheckpointError, NoFaceError, UsageError
from au_d3dface.video import VideoReader


@pytest.fixture(scope="session")
def pipe() -> AUD3DFacePipeline:
    return AUD3DFacePipeline.from_pretrained()


@pytest.fixture(scope="session")
def frames() -> list[np.ndarray]:
    """The first two seconds of the sample clip."""
    with VideoReader(sample_video()) as reader:
        return [frame.image for frame, _ in zip(reader, range(60), strict=False)]


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def check(sequence, num_frames: int, num_valid: int | None = None) -> None:
    assert len(sequence) == num_frames
    assert sequence.valid.sum() == (num_frames if num_valid is None else num_valid)
    assert np.isfinite(sequence.vertices[sequence.valid]).all()
    assert np.isfinite(sequence.au_probabilities[sequence.valid]).all()


def test_a_whole_clip(pipe, frames, tmp_path, make_video):
    [sequence] = pipe(make_video(tmp_path / "clip.mp4", frames))
    check(sequence, 60)
    # At 30 frames a second and 10 samples, two of three frames are interpolated.
    assert sequence.interpolated.mean() == pytest.approx(2 / 3, abs=0.05)
    assert sequence.provenance["checkpoint"].startswith("bundled")
    # The mesh lies on the face: its points are inside the picture, around the same middle as the landmarks'.
    points = sequence.image_points[..., :2]
    assert (points > 0).all()
    assert (points < frames[0].shape[0]).all()


def test_values_between_samples_are_linear_in_time(pipe, frames, tmp_path, make_video):
    [sequence] = pipe(make_video(tmp_path / "clip.mp4", frames[:31]))
    sampled = np.flatnonzero(~sequence.interpolated)
    for a, b in itertools.pairwise(sampled):
        for frame in range(a + 1, b):
            t = (sequence.timestamps[frame] - sequence.timestamps[a]) / (
                sequence.timestamps[b] - sequence.timestamps[a]
            )
            mixed = (1 - t) * sequence.vertices[a] + t * sequence.vertices[b]
            assert np.allclose(sequence.vertices[frame], mixed, atol=1e-6)


def test_one_frame_and_a_still_image(pipe, frames, tmp_path, make_video):
    [sequence] = pipe(make_video(tmp_path / "one.mp4", frames[:1]))
    check(sequence, 1)
    Image.fromarray(frames[0]).save(tmp_path / "still.png")
    [sequence] = pipe(tmp_path / "still.png")
    check(sequence, 1)


def test_a_face_for_one_frame_only(pipe, frames, tmp_path, make_video):
    empty = np.full_like(frames[0], 128)
    [sequence] = pipe(make_video(tmp_path / "blip.mp4", [*[empty] * 6, frames[0], *[empty] * 6]))
    assert sequence.valid.sum() >= 1
    assert sequence.valid[6]
    assert not sequence.valid[:6].any()
    check(sequence, 13, int(sequence.valid.sum()))


def test_a_gap_stays_a_gap(pipe, frames, tmp_path, make_video):
    empty = np.full_like(frames[0], 128)
    [sequence] = pipe(make_video(tmp_path / "gap.mp4", [*frames[:15], *[empty] * 30, *frames[15:30]]))
    assert sequence.valid[:15].all()
    assert not sequence.valid[20:44].any()
    assert sequence.valid[50:].all()
    assert np.isnan(sequence.vertices[30]).all()


def test_a_folder_of_frames(pipe, frames, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, image in enumerate(frames[:12]):
        Image.fromarray(image).save(folder / f"{index + 8}.png")  # 8, 9, 10, ...: order by number, not by letter
    [sequence] = pipe(folder)
    check(sequence, 12)


@pytest.mark.parametrize(("rate", "step"), [(8.0, 4), (120.0, 1)], ids=["8 frames a second", "120 frames a second"])
def test_other_frame_rates(rate, step, pipe, frames, tmp_path, make_video):
    shown = frames[::step]
    [sequence] = pipe(make_video(tmp_path / "rate.mp4", shown, frame_rate=rate))
    check(sequence, len(shown))
    assert sequence.frame_rate == pytest.approx(rate, rel=0.02)


def test_variable_frame_rate(pipe, frames, tmp_path, make_video):
    times = np.cumsum(np.random.default_rng(1).uniform(0.014, 0.12, 24))
    [sequence] = pipe(make_video(tmp_path / "variable.mkv", frames[:24], timestamps=list(times)))
    check(sequence, 24)
    assert np.allclose(sequence.timestamps, times - times[0], atol=2e-3)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        pytest.param(lambda image: image, {"codec": "libx264", "pix_fmt": "gray"}, id="grayscale"),
        pytest.param(lambda image: image[:-1, :-3], {"pix_fmt": "yuv444p"}, id="odd size"),
        pytest.param(lambda image: np.rot90(image, -1).copy(), {"rotation": 90}, id="rotated phone video"),
        pytest.param(lambda image: image, {"codec": "libx265"}, id="hevc"),
        pytest.param(lambda image: resized(image, 96, 96), {}, id="tiny"),
    ],
)
def test_other_pictures(change, options, pipe, frames, tmp_path, make_video):
    [sequence] = pipe(make_video(tmp_path / "other.mp4", [change(image) for image in frames[:10]], **options))
    check(sequence, 10)
    # Upright whatever the file's rotation: the head's y axis points up in the camera.
    assert (sequence.rotation[:, 1, 1] > 0.8).all()


def test_uhd(pipe, frames, tmp_path, make_video):
    wide = np.zeros((2160, 3840, 3), np.uint8)
    shown = []
    for image in frames[:3]:
        wide[:, 840:3000] = resized(image, 2160, 2160)
        shown.append(wide.copy())
    [sequence] = pipe(make_video(tmp_path / "uhd.mp4", shown, options={"preset": "ultrafast"}))
    check(sequence, 3)
    assert (sequence.height, sequence.width) == (2160, 3840)


def test_a_file_cut_off_in_the_middle_gives_what_can_be_read_and_a_warning(pipe, frames, tmp_path, make_video):
    whole = make_video(tmp_path / "whole.mp4", frames, container_options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    result = pipe.reconstruct(cut)
    assert 5 < len(result.timestamps) < 60
    assert any("cut.mp4" in warning for warning in result.warnings)


def test_two_faces_and_the_largest_of_them(pipe, frames, tmp_path, make_video):
    size = frames[0].shape[0]
    shown = []
    for image in frames[:8]:
        small = np.zeros_like(image)
        small[size // 4 : size // 4 + size // 2, : size // 2] = resized(image[:, ::-1], size // 2, size // 2)
        shown.append(np.concatenate([small, image], 1))
    path = make_video(tmp_path / "two.mp4", shown)
    both = pipe(path, faces="all")
    assert len(both) == 2
    [largest] = pipe(path)
    assert largest.face_id == both[0].face_id
    assert largest.scale.mean() > 1.5 * both[1].scale.mean()
    assert largest.translation[:, 0].mean() > size  # the one on the right


def test_no_face_is_an_error_that_knows_the_frames(pipe, tmp_path, make_video):
    path = make_video(tmp_path / "nobody.mp4", [np.full((96, 128, 3), 60, np.uint8)] * 4)
    with pytest.raises(NoFaceError) as error:
        pipe(path)
    assert len(error.value.timestamps) == 4


def test_wrong_options(pipe):
    with pytest.raises(UsageError, match="faces must be"):
        pipe(sample_video(), faces="some")


def test_a_checkpoint_for_another_mesh_is_refused(pipe):
    import copy

    other = copy.copy(pipe.coarse)
    other.face_model = copy.copy(pipe.coarse.face_model)
    other.face_model.name = "clay"
    with pytest.raises(CheckpointError, match="clay"):
        AUD3DFacePipeline(pipe.model, other)


def test_real_smile(pipe, clips: Path):
    """single_face: at rest, a smile that sets in at frame 16 and is whole by 24, and falls in the last frames of 72."""
    [sequence] = pipe(clips / "pyfeat_single_face.mp4")
    check(sequence, 72)
    smile = sequence.au_probabilities[:, sequence.action_units.index(12)]
    assert smile[:15].max() < 0.5
    assert smile[23:66].min() > 0.5
    assert smile[-1] < smile[66] < 1


def test_real_face_that_leaves(pipe, clips: Path):
    [sequence] = pipe(clips / "pyfeat_face_noface.mov")
    assert len(sequence) == 169
    assert np.flatnonzero(sequence.valid).tolist() == list(range(72))


def test_autocast_is_for_the_network_alone(pipe, frames, tmp_path, make_video):
    path = make_video(tmp_path / "clip.mp4", frames[:20])
    exact = pipe(path)[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = pipe(path)[0]
    assert np.array_equal(half.coarse_vertices, exact.coarse_vertices)
    assert not np.array_equal(half.vertices, exact.vertices)
    assert np.abs(half.vertices - exact.vertices).max() < 1e-3
    assert np.abs(half.au_probabilities - exact.au_probabilities).max() < 0.05


def test_appearance(pipe, frames, tmp_path, make_video):
    """The colours of everyone, from one pass more; frames without the person have no light."""
    size = frames[0].shape[0]
    empty = np.full((size, 2 * size, 3), 128, np.uint8)
    small = [np.pad(resized(image, size // 2, size // 2), ((0, size // 2), (0, size // 2), (0, 0))) for image in frames]
    shown = [np.concatenate([left, right], 1) for left, right in zip(small[:8], frames[:8], strict=True)]
    path = make_video(tmp_path / "two.mp4", [*shown, *[empty] * 4])
    stages = []
    result = pipe.reconstruct(
        path, faces="all", appearance=True, progress=lambda stage, done, total: stages.append((stage, done))
    )
    assert ("appearance", 12) in stages
    assert result.seconds["appearance"] > 0
    assert len(result.sequences) == 2
    for sequence in result.sequences:
        assert sequence.texture.shape == (256, 256, 3)
        assert sequence.lighting.shape == (12, 9, 3)
        assert (sequence.lighting[~sequence.valid] == 0).all()
        assert (sequence.lighting[sequence.valid] != 0).any()
    # The same person twice: the two albedos are alike.
    one, other = (sequence.texture[90:130, 60:200] for sequence in result.sequences)
    assert np.abs(one - other).mean() < 0.06
    [plain] = pipe(path)
    assert plain.texture is None
    assert plain.lighting is None
