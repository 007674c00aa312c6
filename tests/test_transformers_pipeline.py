"""transformers' own entry to the pipeline, on the bundled checkpoint. Models of a Hub are in hub/test_load_back.py."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from au_d3dface import AUD3DFacePipeline, VideoTo3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.checkpoints import BUNDLED
from au_d3dface.errors import CheckpointError, InputError, UsageError
from au_d3dface.transformers_pipeline import TASK


@pytest.fixture(scope="module")
def pipe() -> VideoTo3DFacePipeline:
    return pipeline(TASK, model=str(BUNDLED), device="cpu")


def test_it_is_registered_and_tells_what_it_is(pipe):
    assert TASK in PIPELINE_REGISTRY.get_supported_tasks()
    assert type(pipe) is VideoTo3DFacePipeline
    assert not pipe.model.training
    assert "VideoTo3DFacePipeline" in repr(pipe)


def test_results_are_those_of_our_own_pipeline(pipe, tmp_path, make_video):
    from au_d3dface.video import VideoReader

    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(24), strict=False)]
    clip = make_video(tmp_path / "clip.mp4", frames)
    own = AUD3DFacePipeline.from_pretrained(device="cpu")
    [expected], [found] = own(clip), pipe(str(clip))
    assert np.array_equal(found.vertices, expected.vertices)
    assert np.array_equal(found.au_probabilities, expected.au_probabilities)
    assert found.provenance["checkpoint"] == str(BUNDLED)
    # Settings of a call, and of the pipeline; several videos give several lists.
    certain = own(clip, threshold=0.9, au_thresholds=None)[0]
    [[first], [second]] = pipe([str(clip), str(clip)], threshold=0.9, au_thresholds=None)
    assert np.array_equal(first.thresholds, certain.thresholds)
    assert np.array_equal(first.vertices, second.vertices)
    [set_before] = pipeline(TASK, model=pipe.model, device="cpu", threshold=0.9, au_thresholds=None)(str(clip))
    assert np.array_equal(set_before.thresholds, certain.thresholds)


def test_mistakes_are_our_own_sentences(pipe, tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        pipe(str(tmp_path / "nowhere.mp4"))
    with pytest.raises(UsageError, match="faces must be"):
        pipe(str(sample_video()), faces="some")
    with pytest.raises(UsageError, match="'thershold' is not a setting"):
        pipe(str(sample_video()), thershold=0.5)
    with pytest.raises(CheckpointError, match="was trained on 'facemesh'"):
        pipeline(TASK, model=str(BUNDLED), device="cpu", coarse="deca")
    with pytest.raises(UsageError, match="a path of FLAME goes with"):
        pipeline(TASK, model=pipe.model, flame="somewhere")


def test_what_it_saves_is_loaded_by_both(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    names = {"config.json", "generation_config.json", "model.safetensors", "video_preprocessor_config.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    back, ours = AUD3DFacePipeline.from_pretrained(tmp_path, device="cpu").model.state_dict(), pipe.model.state_dict()
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)
    assert not hasattr(AutoConfig.from_pretrained(tmp_path), "auto_map")
