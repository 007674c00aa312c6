"""Benchmarks as coefficients in memory: labels and faces belong together, every frame is scored once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_layouts import make_bp4d
from prepared_benchmarks import prepare_copy

from au_d3dface.data import benchmark_clips, collate_clips
from au_d3dface.data.benchmark_clips import ScoredRuns, TrainingRuns, read_coefficient_sequences
from au_d3dface.data.clip_meshes import ClipMeshes, FLAMEClipMeshes
from au_d3dface.data.loading import benchmark_builder
from au_d3dface.data.prepared import read_prepared
from au_d3dface.errors import InputError
from au_d3dface.face_models import FLAME, FaceMesh

pytest.importorskip("datasets")

UNITS = (1, 6, 12)
LOST = 110
PEOPLE = (("F001", "T1"), ("M007", "T2"), ("F007", "T1"))


def made(folder: Path, face_model=None, **quirks):
    """The sequences of a copy whose frames begin at 95, with a gap, and without a face in one frame."""
    options = {"length": 60, "first": 95, "gaps": (20, 21, 22), "pictures": None, "unknown": 0.05} | quirks
    written = make_bp4d(folder / "copy", PEOPLE, **options)
    prepare_copy(folder / "coarse", written, face_model or FaceMesh(), UNITS, lost=(LOST,))
    return written, read(folder, face_model)


def read(folder: Path, face_model=None, **settings):
    builder = benchmark_builder(
        "bp4d",
        str(folder / "copy"),
        "P3",
        str(folder / "cache"),
        action_units=UNITS,
        prepared=str(folder / "coarse"),
        missing="skip",
        **settings,
    )
    names = [name for names in builder.splits().values() for name in names]
    return read_coefficient_sequences(builder.labelled_sequences(names), face_model or FaceMesh(), 10.0)


def assert_faces_show_labels(clip) -> None:
    """The k-th coefficient is large exactly where the k-th label is present: no frame has a neighbour's face."""
    seen, known = clip["frame_mask"], clip["au_labels"] >= 0
    shown = clip["expression"][:, : len(UNITS)] > 1.5
    both = seen[:, None] & known
    assert both.any()
    assert torch.equal(shown[both], clip["au_labels"][both] == 1)
    assert not clip["expression"][~seen].any()


def test_every_frame_that_counts_is_scored_once_with_its_own_face(tmp_path):
    written, (sequences, coarse) = made(tmp_path)
    assert coarse == "landmarks"
    assert [one.name for one in sequences] == ["F001_T1", "M007_T2", "F007_T1"]
    runs = ScoredRuns(sequences, warm_up=0)
    clips = [runs[index] for index in range(len(runs))]
    found = []
    for clip in clips:
        assert_faces_show_labels(clip)
        found += [tuple(row) for row in clip["au_labels"][clip["scored"]].tolist()]
    wanted = [
        tuple(-1 if codes[unit] == 9 else codes[unit] for unit in UNITS)
        for truth in written.values()
        for codes in truth.codes.values()
    ]
    wanted = [row for row in wanted if max(row) >= 0]
    assert sorted(found) == sorted(wanted)
    # A frame without a face is scored all the same, unless only frames with faces count.
    assert sum(int((clip["scored"] & ~clip["frame_mask"]).sum()) for clip in clips) == 3
    fewer = ScoredRuns(read(tmp_path, frames="prepared")[0], warm_up=0)
    fewer_clips = [fewer[index] for index in range(len(fewer))]
    assert sum(int(clip["scored"].sum()) for clip in fewer_clips) == len(wanted) - 3
    assert not any((clip["scored"] & ~clip["frame_mask"]).any() for clip in fewer_clips)
    assert [len(clip["scored"]) for clip in clips] == sorted((len(clip["scored"]) for clip in clips), reverse=True)


def test_long_runs_are_cut_into_pieces_that_begin_warm(tmp_path, monkeypatch):
    _, (sequences, _) = made(tmp_path, gaps=())
    whole = ScoredRuns(sequences, warm_up=4)
    monkeypatch.setattr(benchmark_clips, "MOST_ENTRIES", 10)
    pieces = ScoredRuns(sequences, warm_up=4)
    assert len(pieces) > len(whole)
    assert max(len(piece["scored"]) for piece in pieces) == 14
    for one, rows, scored, _ in pieces.pieces:
        same = [clip for other, clip, _, _ in whole.pieces if other is one and set(rows[rows >= 0]) <= set(clip)]
        start = int(np.flatnonzero(same[0] == rows[0])[0])
        np.testing.assert_array_equal(rows, same[0][start : start + len(rows)])
        assert not scored[: 4 if start else 0].any()
    for runs in (whole, pieces):
        assert sum(int(scored.sum()) for _, _, scored, _ in runs.pieces) == sum(
            int(one.counted.sum()) for one in sequences
        )


def test_training_takes_one_phase_of_every_run_by_epoch(tmp_path):
    _, (sequences, _) = made(tmp_path)
    clips, again = TrainingRuns(sequences, 6, seed=3), TrainingRuns(sequences, 6, seed=3)
    # 20 frames and 37 frames at 25 a second: 8 and 15 entries at 10 a second, one and two clips of 6.
    assert len(clips) == 3 * (1 + 2)
    drawn = []
    for epoch in (0, 1, 2, 1):
        clips.begin_epoch(epoch)
        batch = collate_clips([clips[index] for index in range(len(clips))])
        assert batch["frame_mask"].shape == (9, 6)
        for index in range(len(clips)):
            assert_faces_show_labels(clips[index])
        drawn.append(batch["expression"])
    assert torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])
    again.begin_epoch(2)
    assert torch.equal(collate_clips([again[index] for index in range(9)])["expression"], drawn[2])

    seen: set[float] = set()
    for epoch in range(150):
        clips.begin_epoch(epoch)
        seen |= {float(value) for index in range(9) for value in clips[index]["expression"][:, 5]}
    assert len(seen - {0.0}) == sum(int(one.usable.sum()) for one in sequences)  # every frame gets its turn


def test_a_run_shorter_than_a_clip_is_one_padded_clip(tmp_path):
    _, (sequences, _) = made(tmp_path)
    clips = TrainingRuns(sequences, 12)
    lengths = [int((clips[index]["au_labels"] >= 0).any(1).sum()) for index in range(len(clips))]
    assert len(clips) == 6
    assert sorted(lengths)[:3] == pytest.approx([8, 8, 8], abs=1)
    short = clips[lengths.index(min(lengths))]
    assert not short["frame_mask"][-1]
    assert (short["au_labels"][-1] == -1).all()
    assert (short["au_intensity_labels"][-1] == -1).all()


@pytest.mark.parametrize("coarse", ["deca", "landmarks"])
def test_meshes_on_the_device_are_those_of_read_prepared(coarse, flame_folder, tmp_path):
    flame = FLAME(flame_folder)
    written = make_bp4d(tmp_path / "copy", PEOPLE, 12, pictures=None)
    prepare_copy(tmp_path / "coarse", written, flame, UNITS, coarse=coarse, lost=(4,))
    sequences, name = read(tmp_path, flame)
    assert name == coarse
    if coarse == "deca":
        meshes: torch.nn.Module = FLAMEClipMeshes(flame)
    else:
        meshes = ClipMeshes(benchmark_clips.expression_basis(flame, coarse, sequences))
    for one in sequences:
        made_now = meshes(collate_clips([one.clip(np.arange(12))]))
        video = read_prepared(tmp_path / "coarse" / one.subject / f"{one.name.split('_')[1]}.npz", flame)
        mask = made_now["frame_mask"][0]
        assert mask.tolist() == [frame != 4 for frame in range(1, 13)]
        torch.testing.assert_close(made_now["vertices"][0][mask], video.faces[0].vertices[mask], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(made_now["neutral_vertices"][0], video.faces[0].neutral_vertices)
        assert (made_now["vertices"][0][mask] - made_now["neutral_vertices"][0]).norm(dim=-1).max() > 1e-3


def test_faces_prepared_otherwise_are_one_sentence(flame_folder, tmp_path):
    written, _ = made(tmp_path)
    flame = FLAME(flame_folder)
    with pytest.raises(InputError, match="was prepared with the face model 'facemesh'"):
        read(tmp_path, flame)
    prepare_copy(tmp_path / "coarse", {"F001_T1": written["F001_T1"]}, flame, UNITS, coarse="deca")
    prepare_copy(tmp_path / "coarse", {n: written[n] for n in ("M007_T2", "F007_T1")}, flame, UNITS)
    with pytest.raises(InputError, match="were prepared in different ways"):
        read(tmp_path, flame)
    prepare_copy(tmp_path / "coarse", written, FaceMesh(), UNITS)
    (tmp_path / "coarse" / "F001" / "T1.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"T1\.npz is missing or no file of `au-d3dface prepare`"):
        read(tmp_path)
