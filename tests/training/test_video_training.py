"""The video branch in training: crops, frozen features, weights from elsewhere, and the table of all rows."""

import json

import numpy as np
import pytest
import torch

from au_d3dface import AUD3DFaceForReconstruction, cli
from au_d3dface.data.synthetic.crop_pool import CropPool, build_crop_pool, build_feature_pool
from au_d3dface.data.synthetic.filming import RenderSettings
from au_d3dface.data.synthetic.rendered_sequences import (
    PER_SHARD,
    RenderedSequenceSampler,
    StoredSequences,
    render_sequences,
)
from au_d3dface.data.synthetic.stored_pictures import StoredPictures
from au_d3dface.errors import CheckpointError, InputError, UsageError
from au_d3dface.evaluation.benchmarks.table4 import ROWS
from au_d3dface.training import table4
from au_d3dface.training.arguments import read_arguments
from au_d3dface.training.feedback_gap import main as feedback_gap
from au_d3dface.training.loop import train
from au_d3dface.training.video_weights import load_video_weights
from au_d3dface.video_processing_au_d3dface import AUD3DFaceVideoProcessor, crop_face, normalise_crops

pytest.importorskip("accelerate")

TINY = [
    *("--model", "hidden_size=16", "--model", "intermediate_size=16", "--model", "num_attention_heads=2"),
    *("--model", "image_size=32", "--model", "video_embed_dim=4", "--model", "video_depths=[1, 1]"),
    *("--model", "video_num_heads=[1, 2]", "--model", "video_window_size=[2, 2, 2]", "--model", "clip_length=6"),
    *("--batch-size", "2", "--clip-length", "6", "--epochs", "1", "--warmup-steps", "1", "--calibrate", "2"),
]


@pytest.fixture(scope="module")
def filmed(shared_data, tmp_path_factory):
    """Eight people, of whom four are held out, a second each."""
    kit, folder = shared_data / "ict_facekit" / "ict_facekit.npz", tmp_path_factory.mktemp("filmed")
    for name, seed in (("train", 3), ("held_out", 4)):
        sampler = RenderedSequenceSampler(kit, RenderSettings(seconds=1.0, size=128), seed=seed)
        render_sequences(sampler, folder / name, PER_SHARD, pictures=True)
    return folder


@pytest.fixture(scope="module")
def data(filmed, tmp_path_factory):
    pools = tmp_path_factory.mktemp("pools")
    return [
        *("--rendered", str(filmed / "train"), "--rendered-held-out", str(filmed / "held_out")),
        *("--pool", str(pools)),
    ]


@pytest.fixture(scope="module")
def branch(data, tmp_path_factory):
    """A trained video branch."""
    output = tmp_path_factory.mktemp("branch")
    return train(read_arguments(["--config", "table4", "--config", "video_temporal", *TINY, *data,
                                 "--output", str(output)]))  # fmt: skip


@pytest.mark.shared_data
def test_crops_are_those_of_the_pipeline(filmed, tmp_path):
    pool = build_crop_pool(filmed / "train", 32)
    sequences, stored = StoredSequences(filmed / "train"), StoredPictures(filmed / "train")
    assert pool.crops.shape == (PER_SHARD, 10, 3, 32, 32)
    face = sequences(2).face
    assert face.valid.any()
    for frame in np.flatnonzero(face.valid):
        assert torch.equal(pool.crops[2, frame], crop_face(stored.pictures(2)[frame], face.landmarks[frame], 32))
    assert not pool.crops[2][torch.from_numpy(~face.valid)].any()
    pool.save(tmp_path / "crops.safetensors")
    assert torch.equal(CropPool.load(tmp_path / "crops.safetensors").crops, pool.crops)
    (tmp_path / "crops.safetensors").write_bytes(b"no crops")
    with pytest.raises(InputError, match=r"crops.safetensors is damaged .* delete it"):
        CropPool.load(tmp_path / "crops.safetensors")


def test_crops_are_normalised_as_the_processor_does():
    crops = torch.randint(0, 256, (3, 3, 224, 224), dtype=torch.uint8)
    expected = AUD3DFaceVideoProcessor()([crops], return_tensors="pt", do_resize=False)["pixel_values_videos"][0]
    torch.testing.assert_close(normalise_crops(crops), expected, atol=2e-6, rtol=0)


@pytest.mark.shared_data
def test_features_are_what_the_branch_says_of_the_crops(filmed, branch):
    model = AUD3DFaceForReconstruction.from_pretrained(branch).eval()
    crops = build_crop_pool(filmed / "train", 32)
    valid = torch.ones(PER_SHARD, 10, dtype=torch.bool)
    valid[1, 4] = False
    features = build_feature_pool(crops, valid, model.model)
    with torch.no_grad():
        expected = model.model.video_features(normalise_crops(crops.crops), valid)
    torch.testing.assert_close(features.features.float(), expected, atol=0.01, rtol=0.002)  # kept in half precision
    assert torch.equal(features.clip(1, slice(2, 5))["video_features"], features.features[1, 2:5].float())


@pytest.mark.shared_data
def test_a_frozen_branch_stays_and_the_rest_learns(data, branch, tmp_path):
    rows = ["--config", "table4", "--config", "video_mesh_temporal_spatial", *TINY, *data]
    frozen = ["--video-weights", str(branch), "--freeze-video", "true"]
    model = AUD3DFaceForReconstruction.from_pretrained(
        train(read_arguments([*rows, *frozen, "--output", str(tmp_path / "frozen")]))
    )
    taught = AUD3DFaceForReconstruction.from_pretrained(
        train(read_arguments([*rows, "--video-weights", str(branch), "--output", str(tmp_path / "taught")]))
    )
    before = AUD3DFaceForReconstruction.from_pretrained(branch).model.video_backbone.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.model.video_backbone.state_dict().items())
    changed = taught.model.video_backbone.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in changed.items())
    record = json.loads((tmp_path / "frozen" / "model" / "training.json").read_text())
    assert record["held_out"]["frames"] > 0
    assert record["held_out"]["refined_error_mm"] > 0


@pytest.mark.shared_data
def test_the_table_of_all_rows_and_nothing_is_trained_twice(data, tmp_path, capsys, monkeypatch):
    rendered = data[:4]
    options = [*rendered, "--output", str(tmp_path), *TINY]
    assert table4.main(options) == 0
    printed = capsys.readouterr().out
    table = json.loads((tmp_path / "table4.json").read_text())
    assert [row["row"] for row in table["rows"]] == list(ROWS)
    assert (tmp_path / "table4.md").read_text().strip() in printed
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line[:1] == "|"]
    last = next(row for row in cells if row[:2] == ["mesh + video", "temporal + spatial"])
    assert last[-2:] == ["66.0", "61.0"]  # the paper's, beside
    assert "rendered synthetic people" in printed
    assert len({row["frames"] for row in table["rows"]}) == 1
    assert table["rows"][-1]["mesh_mm"] is None  # an MLP moves no mesh

    assert cli.main(["evaluate", "table4", str(tmp_path), "-o", str(tmp_path / "again"), "--quiet"]) == 0
    again = json.loads((tmp_path / "again/table4.json").read_text())
    assert again["rows"] == table["rows"]
    capsys.readouterr()

    def never(arguments):
        raise AssertionError("a row was trained again")

    monkeypatch.setattr("au_d3dface.training.series.train", never)
    assert table4.main(options) == 0
    with pytest.raises(AssertionError, match="trained again"):  # with other arguments it would be
        table4.main([*options, "--label-flip", "0.2"])
    assert table4.main([*rendered, "--output", str(tmp_path), "--seeds", "one"]) == 2
    assert "--seeds takes numbers" in capsys.readouterr().err


@pytest.mark.shared_data
def test_the_feedback_gap_of_a_checkpoint(data, branch, capsys):
    options = ["--config", "table4", *data, "--calibrate", "0", "--whitening", "0"]
    assert feedback_gap([str(branch), *options]) == 0
    scores = {line.split()[0]: float(line.split()[1]) for line in capsys.readouterr().out.splitlines()}
    assert scores["last_true_label"] > scores["always_positive"]
    assert scores["gap"] == pytest.approx(scores["teacher_forced"] - scores["free"], abs=2e-4)
    assert feedback_gap(["--config", "table4"]) == 2
    assert "name the folder of the checkpoint first" in capsys.readouterr().err


@pytest.mark.shared_data
def test_weights_that_do_not_fit(branch, tmp_path):
    other = AUD3DFaceForReconstruction.from_pretrained(branch)
    config = other.config
    config.video_embed_dim = 8
    with pytest.raises(CheckpointError, match="has other sizes than this one"):
        load_video_weights(AUD3DFaceForReconstruction(config), str(branch))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_video_weights(other, str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read"):
        load_video_weights(other, str(tmp_path))


def test_weights_of_a_model_without_video(tmp_path):
    from au_d3dface.checkpoints import BUNDLED, load_checkpoint

    with pytest.raises(CheckpointError, match="has no video branch"):
        load_video_weights(load_checkpoint(), str(BUNDLED))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--freeze-video", "true"], "training.freeze_video needs a video branch"),
        (["--model", "use_video=true"], "model.use_video needs data.rendered and data.rendered_held_out"),
        (
            ["--model", "use_video=true", "--rendered", "x", "--rendered-held-out", "y", "--sequences", "0",
             "--freeze-video", "true"],
            "training.freeze_video needs training.video_weights",
        ),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        read_arguments(options).validate()
