"""A frozen video branch on a copy of BP4D: its pictures are read once, and training and scores rest on the features."""

import json

import numpy as np
import pytest
import torch
from filmed_bp4d import film_bp4d, without

from au_d3dface import AUD3DFaceForReconstruction, cli
from au_d3dface.errors import InputError
from au_d3dface.face_models import FaceMesh
from au_d3dface.training.arguments import Arguments, parse
from au_d3dface.training.benchmark_data import benchmark_training_data
from au_d3dface.training.loop import train
from au_d3dface.video_processing_au_d3dface import normalise_crops

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

TINY = {
    **{"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "action_units": [1, 2, 4]},
    **{"num_temporal_layers": 1, "num_spatial_layers": 1, "clip_length": 6},
    **{"use_video": True, "image_size": 32, "video_embed_dim": 4, "video_depths": [1, 1]},
    **{"video_num_heads": [1, 2], "video_window_size": [2, 2, 2]},
}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filmed")
    film_bp4d(folder / "copy", 16)
    command = ["prepare", str(folder / "copy"), "--output", str(folder / "whole"), "--device", "cpu", "--quiet"]
    assert cli.main(command) == 0
    without(folder / "whole", folder / "coarse", valid=lambda valid: valid & (np.arange(len(valid)) != 5))
    return folder


def wanted(filmed, output, **training) -> Arguments:
    return parse(
        {
            "model": TINY,
            "data": {
                **{"dataset": "bp4d", "data_dir": str(filmed / "copy"), "prepared": str(filmed / "coarse")},
                **{"tested": "P3", "missing": "skip", "frame_rate": 25, "clip_length": 4, "pool": str(output / "pool")},
            },
            "training": {
                **{"output": str(output / "run"), "epochs": 2, "batch_size": 2, "evaluate_every": 0},
                **{"weight_image": 0, "weight_landmarks": 0, "weight_intensity": 0, "weight_vertices": 0},
            }
            | training,
        }
    )


def read(arguments: Arguments):
    return benchmark_training_data(arguments, arguments.validate(), FaceMesh(), show_progress=False)


@pytest.fixture(scope="module")
def branch(filmed, tmp_path_factory):
    """A network whose video branch was trained."""
    return train(wanted(filmed, tmp_path_factory.mktemp("branch")))


def test_features_are_what_the_branch_says_of_every_phase(filmed, branch, tmp_path):
    model = AUD3DFaceForReconstruction.from_pretrained(branch).eval().model
    cut, kept = (
        read(wanted(filmed, tmp_path)),
        read(wanted(filmed, tmp_path, video_weights=str(branch), freeze_video=True)),
    )
    phases, lost, change = set(), 0, 0.0

    def expected(one, number: int) -> torch.Tensor:
        """(K, F) of all entries of a phase."""
        rows = torch.from_numpy(one.clips[number].rows)
        mask = (rows >= 0) & one.usable[rows.clamp_min(0)]
        with torch.no_grad():
            return model.video_features(normalise_crops(one.crops(rows.clamp_min(0), mask)[None]), mask[None])[0]

    def compare(clip: dict, features: torch.Tensor) -> None:
        assert "crops" not in clip
        seen = clip["frame_mask"][: len(features)]
        found = clip["video_features"][: len(features)]
        torch.testing.assert_close(found[seen], features[seen], atol=0.01, rtol=0.002)  # kept in half precision

    for epoch in range(4):
        cut.clips.begin_epoch(epoch)
        kept.clips.begin_epoch(epoch)
        for index, (run, part) in enumerate(cut.clips.places):
            one, (number, start) = cut.clips.runs[run][0], cut.clips.drawn[run]
            features = expected(one, number)[start + 4 * part :][:4]
            change = max(change, float((features[1:] - features[:-1]).abs().max()))
            clip = kept.clips[index]
            compare(clip, features)
            phases.add(number)
            lost += int((~clip["frame_mask"]).sum())
    assert len(phases) > 1  # of 25 frames a second, 10 are seen at a time
    assert lost
    assert change > 0.1  # a neighbour's features would be seen
    for index, (one, _, _, _, number, start) in enumerate(cut.held_out.pieces):
        scored = kept.held_out[index]
        compare(scored, expected(one, number)[start:][: len(scored["scored"])])


def test_a_frozen_branch_stays_and_no_picture_is_read_again(filmed, branch, tmp_path, monkeypatch):
    arguments = wanted(filmed, tmp_path, video_weights=str(branch), freeze_video=True, learning_rate=0.01)
    folder = train(arguments)
    files = sorted((tmp_path / "pool").iterdir())
    assert [path.name.split("-")[0] for path in files] == ["F001_T1", "F003_T1", "F007_T1"]
    before, after = (AUD3DFaceForReconstruction.from_pretrained(path).model.video_backbone for path in (branch, folder))
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in after.state_dict().items())
    scores = json.loads((folder / "training.json").read_text())["held_out"]
    assert scores["frames"] == 16

    def forbidden(path):
        raise AssertionError(f"{path} was read")

    for module in ("benchmark_crops", "benchmark_clips"):
        monkeypatch.setattr(f"au_d3dface.data.{module}.read_picture", forbidden)
    again = wanted(filmed, tmp_path, video_weights=str(branch), freeze_video=True, learning_rate=0.01)
    again.training.output = str(tmp_path / "again")
    assert json.loads((train(again) / "training.json").read_text())["held_out"] == scores
    files[0].write_bytes(b"no features")
    data = read(again)
    with pytest.raises(InputError, match=r"F001_T1-features-.*safetensors is damaged .* delete it to make it anew"):
        data.clips[0]
