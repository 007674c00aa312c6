"""The dataset of synthetic sequences: same rows however they are made, documented columns, held-out people."""

import sys

import numpy as np
import pytest

from au_d3dface import facs
from au_d3dface.data import load_synthetic, true_vertices
from au_d3dface.data.synthetic.sequences import HELD_OUT_SEED, SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import CheckpointError, MissingDependencyError, UsageError

datasets = pytest.importorskip("datasets")

SMALL = {"seconds": 2.0, "train_people": 5, "test_people": 3, "seed": 3}
SHAPES = {
    "landmarks": (20, 478, 3),
    "valid": (20,),
    "timestamps": (20,),
    "au_labels": (20, 19),
    "au_intensity": (20, 19, 2),
    "expression_weights": (20, 57),
    "identity": (100,),
    "rest_weights": (57,),
    "neutral_landmarks": (468, 3),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return load_synthetic(cache_dir=str(tmp_path_factory.mktemp("cache")), **SMALL)


def same(one, other) -> None:
    """Rows of both, exactly; NaN where the face was lost."""
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            x, y = (np.asarray(row[name], np.float64) for row in (a, b))
            np.testing.assert_array_equal(x, y, err_msg=name)


def test_columns(built):
    assert {name: split.num_rows for name, split in built.items()} == {"train": 5, "test": 3}
    rows = built["train"].with_format("numpy")
    for row in rows:
        for name, shape in SHAPES.items():
            assert row[name].shape == shape, name
        for name in ("landmarks", "au_intensity", "expression_weights", "neutral_landmarks"):
            assert row[name].dtype == np.float32, name
        np.testing.assert_array_equal(row["au_labels"] == 1, row["au_intensity"].max(-1) >= 1)
        assert set(np.unique(row["au_labels"])) <= {0, 1}
        np.testing.assert_array_equal(np.isfinite(row["landmarks"]).all((1, 2)), row["valid"])
        np.testing.assert_allclose(row["timestamps"], np.arange(20) / 10, atol=1e-6)
    assert [row["person"] for row in rows] == [0, 1, 2, 3, 4]
    assert sum(row["au_labels"].sum() for row in rows) > 20


def test_rows_are_the_samplers(built):
    settings = SequenceSettings(seconds=2.0)
    for split, seed in (("train", 3), ("test", 3 + HELD_OUT_SEED)):
        sampler = SequenceSampler(load_tracker_response(), settings=settings, seed=seed)
        sequence, row = sampler(2), built[split].with_format("numpy")[2]
        np.testing.assert_array_equal(row["landmarks"], sequence.face.landmarks)
        np.testing.assert_array_equal(row["au_intensity"], sequence.intensity)
        np.testing.assert_array_equal(row["expression_weights"], sequence.weights)
        np.testing.assert_array_equal(row["neutral_landmarks"], sequence.neutral)


def test_the_rows_do_not_depend_on_how_they_are_made(built, tmp_path):
    again = load_synthetic(cache_dir=str(tmp_path / "one"), **SMALL)
    parallel = load_synthetic(cache_dir=str(tmp_path / "two"), num_proc=2, **SMALL)
    streamed = load_synthetic(streaming=True, **SMALL)
    assert set(streamed) == {"train", "test"}
    for split, rows in built.items():
        same(rows, again[split])
        same(rows, parallel[split])
        same(rows, streamed[split])
        same(rows, load_synthetic(streaming=True, split=split, **SMALL))


def test_streams_are_shared_out_among_workers_person_by_person(built):
    stream = load_synthetic(streaming=True, split="train", **SMALL)
    assert stream.num_shards == 5
    parts = [list(stream.shard(num_shards=2, index=index)) for index in range(2)]
    people = [[row["person"] for row in part] for part in parts]
    assert sorted(people[0] + people[1]) == [0, 1, 2, 3, 4]
    assert min(map(len, people)) == 2
    same(sorted(parts[0] + parts[1], key=lambda row: row["person"]), built["train"])


def test_held_out_people_are_others(built):
    train, test = (built[split].with_format("numpy")["neutral_landmarks"][:] for split in ("train", "test"))
    assert np.abs(train[:, None] - test[None]).max((2, 3)).min() > 5e-4


def test_another_seed_has_other_rows_beside_these_in_the_cache(built, tmp_path):
    folder = str(tmp_path)
    first = load_synthetic(cache_dir=folder, split="test", **SMALL)
    other = load_synthetic(cache_dir=folder, split="test", **SMALL | {"seed": 4})
    same(first, built["test"])
    assert first.cache_files != other.cache_files
    assert np.abs(np.array(first[0]["neutral_landmarks"]) - np.array(other[0]["neutral_landmarks"])).max() > 5e-4


def test_a_style_may_be_chosen():
    rates = {}
    for style in ("conversation", "watching"):
        settings = {"seconds": 10.0, "train_people": 15, "seed": 3, "style": style}
        rows = load_synthetic(streaming=True, split="train", **settings).with_format("numpy")
        rates[style] = np.mean([row["au_labels"].mean() for row in rows])
    assert rates["conversation"] > 1.5 * rates["watching"]


def test_true_vertices_follow_from_a_row(built):
    row = built["train"].with_format("numpy")[1]
    vertices = true_vertices(row["neutral_landmarks"], row["expression_weights"])
    assert vertices.shape == (20, 468, 3)
    geometry = load_tracker_response().true_expression.numpy()
    shape = int(row["expression_weights"].max(0).argmax())
    frame = int(row["expression_weights"][:, shape].argmax())
    expected = row["neutral_landmarks"] + sum(
        w * g for w, g in zip(row["expression_weights"][frame], geometry, strict=True)
    )
    np.testing.assert_allclose(vertices[frame], expected, atol=1e-6)
    np.testing.assert_array_equal(
        true_vertices(row["neutral_landmarks"], np.zeros((1, 57)))[0], row["neutral_landmarks"]
    )


def test_what_the_dataset_says_of_itself(built):
    info = built["train"].info
    assert "ynthetic" in info.description
    assert "ICT-FaceKit (MIT License" in info.license
    assert "synthetic" in info.license
    assert str(info.version) == "1.0.0"
    assert info.config_name == "fast"
    labels = built["train"].features["au_labels"]
    assert (labels.shape, labels.dtype) == ((20, len(facs.ALL)), "int8")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quality": "best"}, "There is no quality 'best'"),
        ({"style": "singing"}, "There is no style 'singing'"),
        ({"frame_rate": 0.0}, "must be positive"),
        ({"seconds": float("nan")}, "must be positive"),
        ({"seconds": 0.1}, "two frames or more"),
        ({"train_people": 0}, "train_people must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"people": 3}, "no setting 'people'"),
        ({"split": "validation"}, "no split 'validation'"),
    ],
)
def test_settings_that_make_no_sense(settings, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        load_synthetic(cache_dir=str(tmp_path), **settings)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.delitem(sys.modules, "au_d3dface.data.synthetic.builder", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'au-d3dface\[train\]'"):
        load_synthetic()


def test_rendered_rows_need_the_kit(tmp_path, kit_path):
    settings = {"quality": "rendered", "cache_dir": str(tmp_path), "seconds": 0.2, "train_people": 1, "test_people": 1}
    with pytest.raises(CheckpointError, match=r"none\.npz does not exist"):
        load_synthetic(ict_facekit=str(tmp_path / "none.npz"), **settings)
    with pytest.raises(CheckpointError, match=r"kit\.npz lacks the shape"):  # found out while it is made
        load_synthetic(ict_facekit=str(kit_path), **settings)


def test_rendered_rows(full_kit_path, template_tracker, tmp_path):
    """Here of a made-up head and tracker: rows are the rendered sampler's, built and streamed."""
    settings = {"quality": "rendered", "seconds": 0.2, "train_people": 2, "test_people": 1, "seed": 3}
    built = load_synthetic(cache_dir=str(tmp_path), ict_facekit=str(full_kit_path), **settings)
    same(built["train"], load_synthetic(streaming=True, split="train", ict_facekit=str(full_kit_path), **settings))
    row, other = built["train"].with_format("numpy")[0], built["test"].with_format("numpy")[0]
    assert row["landmarks"].shape == (2, 478, 3)
    assert row["valid"].all()
    assert np.abs(row["identity"]).max() > 0.1
    assert row["rest_weights"].max() > 0
    assert np.abs(row["identity"] - other["identity"]).max() > 0.1


@pytest.mark.shared_data
def test_real_rendered_rows(ict_facekit, tmp_path):
    settings = {"seconds": 0.3, "train_people": 1, "test_people": 1, "ict_facekit": str(ict_facekit)}
    rows = load_synthetic("rendered", cache_dir=str(tmp_path), split="train", **settings).with_format("numpy")
    assert rows[0]["valid"].all()
    width = np.ptp(rows[0]["landmarks"][..., 0], axis=1)
    assert (width > 60).all()
    assert (width < 256).all()
