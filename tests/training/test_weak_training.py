"""The weak recipe from pictures to a checkpoint, on a few rendered people; and arguments that do not go together."""

import json

import pytest
import torch

from au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.data.synthetic.filming import RenderSettings
from au_d3dface.data.synthetic.rendered_sequences import PER_SHARD, RenderedSequenceSampler, render_sequences
from au_d3dface.errors import InputError, UsageError
from au_d3dface.training.arguments import read_arguments
from au_d3dface.training.loop import train

SMALL = [
    *("--model", "hidden_size=16", "--model", "intermediate_size=16", "--model", "num_attention_heads=2"),
    *("--picture-size", "48", "--batch-size", "2", "--clip-length", "4", "--epochs", "1", "--warmup-steps", "1"),
]


@pytest.fixture(scope="module")
def filmed(shared_data, tmp_path_factory):
    kit = shared_data / "ict_facekit" / "ict_facekit.npz"
    folder = tmp_path_factory.mktemp("filmed")
    sampler = RenderedSequenceSampler(kit, RenderSettings(seconds=0.6, size=128), seed=3)
    render_sequences(sampler, folder, PER_SHARD, pictures=True)
    return folder


@pytest.mark.shared_data
def test_pictures_and_landmarks_teach_a_mesh(filmed, tmp_path):
    data = ["--rendered", str(filmed), "--rendered-held-out", str(filmed), "--output", str(tmp_path / "run")]
    folder = train(read_arguments(["--config", "weak", *SMALL, *data]))
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [step for step in steps if "loss" in step]
    assert len(steps) == 4  # four people, twice an epoch, two a batch
    for step in steps:
        assert 0 < step["image"] < 0.5
        assert 0 < step["landmarks"] < 0.5
        assert "vertices" not in step
        weighted = 60 * (step["image"] + step["landmarks"]) + step["smooth"] + 5 * step["au"] + step["intensity"]
        assert step["loss"] == pytest.approx(weighted, rel=1e-3)
    model = AUD3DFaceForReconstruction.from_pretrained(folder)
    assert model.motion_decoder.weight.shape == (3 * 468, 16)
    assert model.motion_decoder.weight.abs().max() > 0  # it has learned to move the mesh
    vertices = model.model.template.expand(1, 4, -1, -1) + 0.001 * torch.randn(1, 4, 468, 3)
    assert model.generate(vertices=vertices, neutral_vertices=model.model.template[None]).vertices.isfinite().all()


@pytest.mark.shared_data
def test_sequences_that_were_not_rendered_are_one_sentence(stored, tmp_path):
    arguments = read_arguments(
        ["--config", "weak", *SMALL, "--rendered", str(stored), "--held-out", "1", "--output", str(tmp_path)]
    )
    with pytest.raises(InputError, match="does not say what pictures there are"):
        train(arguments)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pictures", "true"], "data.pictures needs data.rendered"),
        (["--pictures", "true", "--rendered", "x", "--sequences", "5"], "fast ones have no pictures"),
        (["--landmarks", "51"], "must be 68 or 468, not 51"),
        (["--landmark-source", "guessed"], "must be true or tracked, not 'guessed'"),
        (["--picture-size", "0"], "data.picture_size must be at least 1"),
    ],
)
def test_arguments_that_make_no_sense(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        read_arguments(options).validate()
