"""overlay.mp4: the mesh lies where the camera puts it, frames keep their times, gaps stay untouched."""

from pathlib import Path

import numpy as np
import pytest

from au_d3dface.errors import InputError, UsageError
from au_d3dface.export.overlay import overlay_frames, write_overlay
from au_d3dface.face_sequence import FaceSequence
from au_d3dface.video import VideoReader


def test_the_mesh_is_drawn_on_the_face_only(sequence_with_video: FaceSequence) -> None:
    sequence = sequence_with_video
    with VideoReader(sequence.source) as reader:
        plain = [frame.image for frame in reader]
    drawn = list(sequence.render())
    assert len(drawn) == len(plain) == len(sequence)
    for row, (before, after) in enumerate(zip(plain, drawn, strict=True)):
        changed = np.abs(after.astype(int) - before).max(-1) > 8
        if not sequence.valid[row]:
            assert not changed.any()
            continue
        points = sequence.image_points[row, :, :2]
        (left, top), (right, bottom) = points.min(0).astype(int) + 3, points.max(0).astype(int) - 3
        assert changed[top:bottom, left:right].mean() > 0.9


def test_active_action_units_are_named(sequence_with_video: FaceSequence) -> None:
    quiet = FaceSequence(**{**vars(sequence_with_video), "thresholds": [2, 2, 2]})
    with_names, without = (list(overlay_frames([sequence])) for sequence in (sequence_with_video, quiet))
    for row in np.flatnonzero(sequence_with_video.valid):
        differs = bool((with_names[row] != without[row]).any())
        assert differs == sequence_with_video.au_decisions[row].any()


def test_the_file_keeps_the_times_of_the_frames(tmp_path: Path, sequence_with_video: FaceSequence) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = write_overlay(tmp_path / "overlay.mp4", [sequence_with_video], lambda *step: seen.append(step))
    with VideoReader(path) as reader:
        frames = list(reader)
    assert [frame.timestamp for frame in frames] == pytest.approx(list(sequence_with_video.timestamps), abs=1e-3)
    assert frames[0].image.shape == (160, 160, 3)
    drawn = next(overlay_frames([sequence_with_video]))
    assert np.abs(frames[0].image.astype(int) - drawn).mean() < 12
    assert seen[-1] == ("overlay", 24, 24)
    assert list(tmp_path.iterdir()) == [path]


def test_two_faces_are_drawn_and_told_apart(sequence_with_video: FaceSequence) -> None:
    other = FaceSequence(
        **{
            **vars(sequence_with_video),
            "face_id": 1,
            "scale": np.full(24, 150.0),
            "translation": np.full((24, 2), 20.0),
        }
    )
    one, two = next(overlay_frames([sequence_with_video])), next(overlay_frames([sequence_with_video, other]))
    assert (np.abs(two.astype(int) - one).max(-1) > 8)[12:28, 12:28].mean() > 0.5


def test_what_cannot_be_drawn(make_sequence, sequence_with_video: FaceSequence) -> None:
    small_sequence = make_sequence()
    with pytest.raises(UsageError, match="an overlay needs the video"):
        overlay_frames([small_sequence])
    with pytest.raises(UsageError, match="faces of one video"):
        overlay_frames([small_sequence, sequence_with_video])
    sequence_with_video.width = 200
    with pytest.raises(InputError, match="has changed since"):
        next(overlay_frames([sequence_with_video]))
    Path(sequence_with_video.source).unlink()
    with pytest.raises(InputError):
        next(overlay_frames([sequence_with_video]))
