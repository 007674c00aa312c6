"""strip.png: which frames it shows, that meshes stand on the faces, and that it is written whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from au_d3dface.errors import InputError, NoFaceError, OutputError, UsageError
from au_d3dface.export import DEFAULT_FORMATS, write_outputs
from au_d3dface.export import strip as strip_module
from au_d3dface.export.strip import strip_frames, strip_picture, write_strip
from au_d3dface.face_sequence import FaceSequence
from au_d3dface.rendering import strips


def changed(sequence: FaceSequence, **fields) -> FaceSequence:
    return FaceSequence(**{**vars(sequence), **fields})


def rows_of(monkeypatch, sequence: FaceSequence, cell: int = 144, **options) -> tuple[list, list, list]:
    """Rows, labels of columns and notes that the strip is composed of."""
    seen = {}

    def compose(rows, labels, notes, **others):
        seen.update(rows=rows, labels=labels, notes=notes)
        return strips.compose_strip(rows, labels, notes, **others)

    monkeypatch.setattr(strip_module, "compose_strip", compose)
    strip_picture(sequence, cell=cell, **options)
    return seen["rows"], seen["labels"], seen["notes"]


def test_the_apexes_are_shown_and_the_rest_is_spread(make_sequence) -> None:
    sequence = make_sequence(frames=200, invalid=(100, 101))
    probabilities = np.full((200, 3), 0.1, np.float32)
    for column, (apex, peak) in enumerate(((40, 0.8), (150, 0.95), (43, 0.7))):
        probabilities[apex - 5 : apex + 6, column] = peak - 0.02 * np.abs(np.arange(-5, 6))
    probabilities[~sequence.valid] = np.nan
    sequence = changed(sequence, au_probabilities=probabilities, au_intensities=None)
    chosen = strip_frames(sequence)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 6
    assert {40, 150} <= set(chosen)
    assert 43 not in chosen  # as good as 40, which is stronger
    assert sequence.valid[chosen].all()
    assert np.diff(chosen).max() <= 60
    assert strip_frames(sequence, 1) == [150]


def test_few_frames_are_all_shown(make_sequence) -> None:
    assert strip_frames(make_sequence(frames=4, invalid=(1,))) == [0, 2, 3]
    assert strip_frames(make_sequence(frames=1, invalid=())) == [0]
    quiet = changed(make_sequence(frames=50, invalid=()), thresholds=[2, 2, 2])
    assert strip_frames(quiet, 3) == [0, 24, 49]


def test_rows_and_labels(monkeypatch, sequence_with_video: FaceSequence) -> None:
    rows, labels, notes = rows_of(monkeypatch, sequence_with_video)
    assert [row.label for row in rows] == ["video", "overlay", "coarse mesh", "refined mesh", "motion from neutral"]
    chosen = strip_frames(sequence_with_video)
    assert labels == [f"{frame / 25:.2f} s" for frame in chosen]
    assert [row.scale is not None for row in rows] == [False] * 4 + [True]
    for frame, lines in zip(chosen, notes, strict=True):
        active = sequence_with_video.au_activity[frame].sum()
        assert len(lines) == max(1, active)
        assert (lines == ["none active"]) == (not active)
    pictures = np.array([row.pictures for row in rows])
    assert pictures.shape == (5, 6, 144, 144, 3)


def test_meshes_lie_on_the_face_in_the_frame(monkeypatch, sequence_with_video: FaceSequence) -> None:
    rows, _, _ = rows_of(monkeypatch, sequence_with_video)
    video, overlay, _, refined, _ = (row.pictures for row in rows)
    for plain, drawn, mesh in zip(video, overlay, refined, strict=True):
        on_face = (np.abs(plain.astype(int) - drawn) > 8).any(-1)
        alone = (mesh != 255).any(-1)
        for mask in (on_face, alone):  # of one size, in the middle: 1 / 1.3 of the picture high
            assert np.ptp(np.nonzero(mask)[0]) == pytest.approx(144 / 1.3, rel=0.15)
        assert np.ptp(np.nonzero(on_face)[1]) == pytest.approx(np.ptp(np.nonzero(alone)[1]), abs=6)
        assert plain.min() > 40  # nothing but the video, which is nowhere so dark
        assert plain.max() < 140  # nor as bright as paper


def test_a_face_at_the_border_of_the_video(monkeypatch, sequence_with_video: FaceSequence) -> None:
    moved = changed(sequence_with_video, translation=np.full((24, 2), 5.0))
    rows, _, _ = rows_of(monkeypatch, moved)
    assert rows[0].pictures[0].max() < 140  # the window lies inside the video
    refined = (rows[3].pictures[0] != 255).any(-1)
    assert not refined[0].any()  # and the mesh, drawn alone, is whole
    assert not refined[:, 0].any()
    assert refined.any()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_faces_of_no_size_and_too_large_ones(sequence_with_video: FaceSequence, scale: float) -> None:
    strange = changed(sequence_with_video, scale=np.full(24, scale))
    assert strip_picture(strange, columns=2, cell=48).shape[1] > 2 * 48


def test_without_a_video_only_meshes_are_shown(monkeypatch, small_sequence: FaceSequence) -> None:
    rows, _, _ = rows_of(monkeypatch, small_sequence, columns=2)
    assert [row.label for row in rows] == ["coarse mesh", "refined mesh", "motion from neutral"]


def test_other_methods_have_rows_of_their_own(monkeypatch, small_sequence: FaceSequence, make_sequence) -> None:
    valid = small_sequence.valid.copy()
    first = strip_frames(small_sequence, 3)[0]
    valid[first] = False
    arrays = {name: getattr(small_sequence, name).copy() for name in ("vertices", "coarse_vertices")}
    arrays |= {name: getattr(small_sequence, name).copy() for name in ("au_probabilities", "au_intensities")}
    for array in arrays.values():
        array[first] = np.nan
    other = changed(small_sequence, valid=valid, **arrays)
    rows, _, _ = rows_of(monkeypatch, small_sequence, columns=3, others={"another": other})
    assert [row.label for row in rows] == ["coarse mesh", "refined mesh", "another", "motion from neutral"]
    assert rows[2].pictures[0] is None
    assert np.array_equal(rows[2].pictures[1], rows[1].pictures[1])
    with pytest.raises(UsageError, match="'short' has 5 frames and the sequence beside it 24"):
        strip_picture(small_sequence, others={"short": make_sequence(frames=5, invalid=())})


def test_nobody_to_show(tmp_path: Path, make_sequence) -> None:
    with pytest.raises(NoFaceError, match="no frame of this sequence"):
        make_sequence(frames=3, invalid=(0, 1, 2)).save(tmp_path / "out", "strip")
    assert not (tmp_path / "out").exists()
    with pytest.raises(NoFaceError):
        strip_picture(make_sequence(frames=0, invalid=()))


def test_a_video_that_has_changed(tmp_path: Path, sequence_with_video: FaceSequence, make_video) -> None:
    grey = np.full((160, 160, 3), 99, np.uint8)
    sequence_with_video.source = str(make_video(tmp_path / "short.mp4", [grey] * 5))
    with pytest.raises(InputError, match=r"short\.mp4 has changed"):
        write_strip(tmp_path / "strip.png", sequence_with_video)
    sequence_with_video.source = str(make_video(tmp_path / "small.mp4", [grey[:64, :64]] * 24))
    with pytest.raises(InputError, match=r"small\.mp4 has changed"):
        write_strip(tmp_path / "strip.png", sequence_with_video)
    sequence_with_video.source = str(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="does not exist"):
        write_strip(tmp_path / "strip.png", sequence_with_video)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["short.mp4", "small.mp4"]


def test_it_is_written_on_request_and_for_each_person(tmp_path: Path, make_sequence) -> None:
    small_sequence = make_sequence(frames=2, invalid=())
    assert "strip" not in DEFAULT_FORMATS
    (written,) = (path for path in small_sequence.save(tmp_path / "one", "strip") if path.suffix == ".png")
    assert written == tmp_path / "one" / "strip.png"
    assert np.array_equal(np.asarray(Image.open(written)), strip_picture(small_sequence))
    people = [small_sequence, changed(small_sequence, face_id=1)]
    write_outputs(people, tmp_path / "all", "strip", None, small_sequence.timestamps, (1, 12, 25), per_face=True)
    names = sorted(str(path.relative_to(tmp_path / "all")) for path in (tmp_path / "all").rglob("*.png"))
    assert names == ["face_00/strip.png", "face_01/strip.png"]


def test_whole_or_not_at_all(tmp_path: Path, small_sequence: FaceSequence, monkeypatch) -> None:
    path = tmp_path / "strip.png"
    path.write_bytes(b"an earlier strip")

    def fail(self, target, **_):
        Path(target).write_bytes(b"half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        write_strip(path, small_sequence, columns=1)
    assert path.read_bytes() == b"an earlier strip"
    assert list(tmp_path.iterdir()) == [path]
