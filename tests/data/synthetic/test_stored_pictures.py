"""Pictures kept beside rendered sequences: the very ones that the tracker saw, the truth where it was seen, and damage.

The bookkeeping is tested on a made-up head and tracker, what is seen and true on the real ones.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from au_d3dface.data.synthetic import film, rendered_sequences
from au_d3dface.data.synthetic.filming import RenderSettings, load_head, random_take
from au_d3dface.data.synthetic.rendered_sequences import (
    PER_SHARD,
    RenderedSequenceSampler,
    StoredSequences,
    main,
    render_sequences,
)
from au_d3dface.data.synthetic.stored_pictures import StoredPictures
from au_d3dface.errors import InputError, OutputError

SETTINGS = RenderSettings(seconds=0.3, size=64)


@pytest.fixture
def sampler(full_kit_path, template_tracker) -> RenderedSequenceSampler:
    return RenderedSequenceSampler(full_kit_path, SETTINGS, seed=4)


@pytest.fixture
def folder(sampler, tmp_path) -> Path:
    render_sequences(sampler, tmp_path / "made", count=5, pictures=True)
    return tmp_path / "made"


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as npz:
        return dict(npz)


def test_the_pictures_are_those_that_the_tracker_saw(sampler, folder, template_tracker, monkeypatch):
    shown = []
    monkeypatch.setattr(
        template_tracker,
        "__call__",
        lambda self, picture, real=template_tracker.__call__: shown.append(picture) or real(self, picture),
    )
    stored = StoredPictures(folder)
    assert len(stored) == len(StoredSequences(folder)) == 2 * PER_SHARD
    assert (stored.size, stored.num_frames) == (64, 3)
    for index in (0, 3, 4, 0):
        shown.clear()
        sampler(index)
        pictures = stored.pictures(index)
        assert pictures.shape == (3, 64, 64, 3)
        assert pictures.dtype == np.uint8
        np.testing.assert_array_equal(pictures, [shown[0], shown[2], shown[3]])  # the first is shown twice
        np.testing.assert_array_equal(stored.pictures(index, slice(1, 2)), pictures[1:2])
        np.testing.assert_array_equal(stored.pictures(index, slice(-2, None)), pictures[1:])


def test_keeping_pictures_changes_nothing_else(sampler, folder, tmp_path):
    render_sequences(sampler, tmp_path / "without", count=5)
    for path in sorted((tmp_path / "without").glob("*.npz")):
        without, kept = arrays_of(path), arrays_of(folder / path.name)
        assert without.keys() == kept.keys()
        for name in without:
            np.testing.assert_array_equal(without[name], kept[name], err_msg=name)
    assert "pictures" not in StoredSequences(tmp_path / "without").provenance
    assert StoredPictures(folder).provenance == StoredSequences(folder).provenance
    assert StoredPictures(folder).provenance["pictures"] is True


def test_true_landmarks_are_the_projected_surface(sampler, folder):
    head, _ = load_head(sampler.kit)
    stored = StoredPictures(folder)
    assert stored.landmarks(5).dtype == stored.rotation(5).dtype == np.float32
    assert stored.visible(5).shape == (3, 468)
    assert stored.visible(5).dtype == np.bool_
    take = random_take(np.random.default_rng([4, 5]), head, SETTINGS)
    for frame in range(3):
        rotation = stored.rotation(5)[frame].astype(np.float64)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        vertices = head(torch.from_numpy(take.person.identity), torch.from_numpy(take.shapes[frame]))
        seen = head.landmarks_468(vertices, head.faces).double().numpy() @ rotation.T
        distance, scale = take.person.distance, take.scale[frame]
        flat = scale * distance / (distance - seen[:, 2:]) * seen[:, :2] * [1, -1]
        offset = stored.landmarks(5)[frame] - flat  # where the head's origin lands, for all points the same
        np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-3)
    assert np.abs(stored.landmarks(5) - stored.landmarks(4)).max() > 1


def test_a_shard_is_there_when_both_files_are(sampler, folder, template_tracker):
    names = ["pictures_00000.npz", "pictures_00001.npz", "sequences_00000.npz", "sequences_00001.npz"]
    assert sorted(path.name for path in folder.glob("*.npz")) == names
    before = {name: arrays_of(folder / name) for name in names}
    stamps = {name: (folder / name).stat().st_mtime_ns for name in names}
    template_tracker.pictures = 0
    render_sequences(sampler, folder, count=8, pictures=True)
    assert template_tracker.pictures == 0
    for lost in names[1::2]:
        (folder / lost).unlink()
        render_sequences(sampler, folder, count=8, pictures=True)
        for name in names:
            again = arrays_of(folder / name)
            assert again.keys() == before[name].keys()
            for key in again:
                np.testing.assert_array_equal(again[key], before[name][key], err_msg=key)
    for name in names[::2]:  # the first shard stayed
        assert (folder / name).stat().st_mtime_ns == stamps[name]


def test_folders_with_and_without_pictures_are_not_mixed(sampler, folder, tmp_path):
    with pytest.raises(InputError, match="differs in whether pictures are kept; give another folder as --output"):
        render_sequences(sampler, folder, count=12)
    render_sequences(sampler, tmp_path / "without", count=1)
    with pytest.raises(InputError, match="differs in whether pictures are kept"):
        render_sequences(sampler, tmp_path / "without", count=8, pictures=True)
    assert len(list(folder.glob("*.npz"))) == 4
    assert len(list((tmp_path / "without").glob("*.npz"))) == 1
    with pytest.raises(InputError, match=r"holds sequences without their pictures.*--pictures"):
        StoredPictures(tmp_path / "without")


def test_a_failure_leaves_no_sequences_without_pictures(sampler, tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(film.np, "savez", fail)
    with pytest.raises(OutputError, match=r"pictures_00000\.npz: the disk is full"):
        render_sequences(sampler, tmp_path, count=1, pictures=True)
    assert [path.name for path in tmp_path.iterdir()] == ["provenance.json"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda path: path.write_bytes(b""), lambda path: np.save(path.open("wb"), np.zeros(3))]
)
def test_a_damaged_shard_is_one_sentence(folder, damage):
    damage(folder / "pictures_00001.npz")
    stored = StoredPictures(folder)
    assert stored.pictures(PER_SHARD - 1).any()
    for read in (stored.pictures, stored.landmarks, stored.visible, stored.rotation):
        with pytest.raises(InputError, match=r"pictures_00001\.npz is damaged .*delete it and render it again"):
            read(PER_SHARD)


def test_an_array_that_claims_to_be_huge_is_one_sentence(folder):
    path = folder / "pictures_00001.npz"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**55,)})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | {"jpeg.npy": head.getvalue()}).items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"pictures_00001\.npz is damaged"):
        StoredPictures(folder).landmarks(PER_SHARD)


def test_a_missing_shard_is_one_sentence(folder):
    (folder / "pictures_00001.npz").unlink()
    with pytest.raises(InputError, match=r"pictures_00001\.npz is missing; render the same sequences again"):
        StoredPictures(folder).pictures(PER_SHARD)


def changed(path, **arrays):
    np.savez(path, **arrays_of(path) | arrays)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda arrays: {"visible": arrays["visible"].astype(np.uint8)}, "visible"),
        (lambda arrays: {"rotation": arrays["rotation"][:2]}, "rotation"),
        (lambda arrays: {"rotation": arrays["rotation"] * np.float32(np.nan)}, "rotation"),
        (lambda arrays: {"landmarks_468": arrays["landmarks_468"][:, :2]}, "landmarks_468"),
        (lambda arrays: {"landmarks_468": arrays["landmarks_468"] * np.float32(np.inf)}, "landmarks_468"),
        (lambda arrays: {"offsets": arrays["offsets"][:-1]}, "offsets"),
        (lambda arrays: {"offsets": arrays["offsets"][::-1]}, "offsets"),
        (lambda arrays: {"offsets": arrays["offsets"] - 1}, "offsets"),
        (lambda arrays: {"jpeg": arrays["jpeg"][:-1]}, "offsets"),
        (lambda arrays: {"jpeg": arrays["jpeg"].astype(np.int16)}, "jpeg"),
    ],
)
def test_other_arrays_are_no_shard(folder, change, name):
    path = folder / "pictures_00001.npz"
    changed(path, **change(arrays_of(path)))
    with pytest.raises(InputError, match=rf"pictures_00001\.npz is not a shard of pictures \('{name}'"):
        StoredPictures(folder).landmarks(PER_SHARD)


def test_a_packed_shard_is_not_unpacked(folder):
    """What is packed may unpack to any size; shards are not written so."""
    path = folder / "pictures_00001.npz"
    np.savez_compressed(path, **arrays_of(path))
    with pytest.raises(InputError, match="is not a shard of pictures"):
        StoredPictures(folder).landmarks(PER_SHARD)


def a_file(width: int, height: int, format: str = "jpeg", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, format)
    return file.getvalue()


def claiming(jpeg: bytes, width: int, height: int) -> bytes:
    """The file with another size in its head."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[place + 4 :]


@pytest.mark.parametrize(
    ("jpeg", "words"),
    [
        (b"", "cannot identify"),
        (b"no picture at all", "cannot identify"),
        (a_file(64, 64)[:-30], "truncated"),
        (a_file(65, 64), "65 x 64 pixels of RGB for 64 x 64"),
        (a_file(64, 64, mode="L"), "64 x 64 pixels of L for"),
        (a_file(64, 64, "png"), "cannot identify"),
        (claiming(a_file(64, 64), 12_000, 12_000), "12000 x 12000 pixels"),
        (claiming(a_file(64, 64), 65_000, 65_000), "decompression bomb"),
    ],
    ids=["empty", "text", "cut", "size", "gray", "png", "large", "bomb"],
)
@pytest.mark.filterwarnings("error")
def test_a_damaged_picture_is_one_sentence(folder, jpeg, words):
    """The second picture of the first sequence is replaced; the ones beside it are still read."""
    path = folder / "pictures_00000.npz"
    arrays = arrays_of(path)
    start, end = arrays["offsets"][1:3]
    whole = arrays["jpeg"].tobytes()
    arrays["jpeg"] = np.frombuffer(whole[:start] + jpeg + whole[end:], np.uint8)
    arrays["offsets"][2:] += len(jpeg) - (end - start)
    before = StoredPictures(folder).pictures(0)
    changed(path, **arrays)
    stored = StoredPictures(folder)
    np.testing.assert_array_equal(stored.pictures(0, slice(0, 3, 2)), before[::2])
    with pytest.raises(
        InputError, match=rf"pictures_00000\.npz has a damaged picture, frame 1 .*{words}.*render it again"
    ):
        stored.pictures(0)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {}},
        {"settings": None},
        {"settings": {"size": 10**9, "seconds": 0.3, "frame_rate": 10.0}},
        {"settings": {"size": 64.0, "seconds": 0.3, "frame_rate": 10.0}},
        {"settings": {"size": 64, "seconds": 1e300, "frame_rate": 1e300}},
        {"settings": {"size": 64, "seconds": 10**400, "frame_rate": 0.5}},
        {"settings": {"size": 64, "seconds": "0.3", "frame_rate": 10}},
        {"settings": {"size": 64, "seconds": -1, "frame_rate": 10}},
    ],
)
def test_a_record_that_does_not_say_what_pictures_there_are(folder, change):
    path = folder / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"provenance\.json does not say what pictures there are"):
        StoredPictures(folder)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"provenance\.json does not say what pictures there are"):
        StoredPictures(folder)


def test_folders_without_sequences(tmp_path):
    with pytest.raises(InputError, match="holds no sequences_"):
        StoredPictures(tmp_path)


def test_the_command(full_kit_path, template_tracker, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rendered_sequences, "RenderSettings", lambda style: SETTINGS)
    command = ["--ict-facekit", str(full_kit_path), "--output", str(tmp_path / "a"), "--count", "1", "--workers", "1"]
    assert main([*command, "--pictures"]) == 0
    assert len(StoredPictures(tmp_path / "a")) == PER_SHARD
    capsys.readouterr()
    assert main(command) == InputError.exit_status
    error = capsys.readouterr().err
    assert "differs in whether pictures are kept" in error
    assert error.count("\n") == 1


@pytest.mark.shared_data
def test_true_landmarks_lie_where_the_tracker_sees_them(ict_facekit, tmp_path):
    """A few pixels of a face some 75 pixels wide, on which the visible points lie."""
    sampler = RenderedSequenceSampler(ict_facekit, RenderSettings(seconds=0.3, size=160, width=(0.28, 0.32)), seed=2)
    assert render_sequences(sampler, tmp_path, PER_SHARD, pictures=True) == 0
    sequences, stored = StoredSequences(tmp_path), StoredPictures(tmp_path)
    for index in range(PER_SHARD):
        tracked, true = sequences(index).face.landmarks[:, :468, :2], stored.landmarks(index)
        visible = stored.visible(index)
        distance = np.linalg.norm(tracked - true, axis=-1)[visible]
        assert np.median(distance) < 2.5
        assert np.quantile(distance, 0.95) < 7
        assert 60 < np.ptp(true[..., 0], axis=1).mean() < 100
        assert 0.8 < visible.mean() < 1
        moved = np.roll(true, 1, axis=0)  # the truth of another frame, or of another person, is farther off
        assert np.median(distance) <= np.median(np.linalg.norm(tracked - moved, axis=-1)[visible])
        other = stored.landmarks((index + 1) % PER_SHARD)
        assert np.median(np.linalg.norm(tracked - other, axis=-1)) > 1.5 * np.median(distance)
