"""From a video to FLAME meshes with DECA and EMOCA: made-up weights of the true layout, every step of the real way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_deca import CAMERA, deca_checkpoint, emoca_checkpoint, hollow_state, random_state, save

from au_d3dface import AUD3DFaceConfig, AUD3DFaceForReconstruction, AUD3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.coarse.deca_files import convert_deca, convert_emoca
from au_d3dface.errors import CheckpointError, UsageError
from au_d3dface.face_models import FLAME
from au_d3dface.modeling_au_d3dface import face_model_checksum
from au_d3dface.streaming import AUD3DFaceStream
from au_d3dface.video import VideoReader

FRAMES = 9


@pytest.fixture(scope="module")
def deca_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted DECA with random weights."""
    folder = tmp_path_factory.mktemp("deca")
    path = save(deca_checkpoint(random_state(236, seed=0)), folder / "deca_model.tar")
    convert_deca([path], folder)
    path.unlink()
    return folder


@pytest.fixture(scope="module")
def flame_checkpoint(flame_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights on FLAME's mesh, saved without the mesh, as a licensed model must be."""
    flame, folder = FLAME(flame_folder), tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    config = AUD3DFaceConfig(
        action_units=(1, 4, 12, 25),
        num_vertices=flame.num_vertices,
        num_faces=len(flame.faces),
        face_model="flame",
        face_model_checksum=face_model_checksum(flame.template, flame.faces),
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        num_temporal_layers=1,
        num_spatial_layers=1,
    )
    AUD3DFaceForReconstruction(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """Nine frames of the sample clip, the middle three without a face."""
    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(FRAMES), strict=False)]
    frames[3:6] = [np.full_like(frames[0], 128)] * 3
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames)


@pytest.fixture(scope="module")
def pipe(flame_checkpoint, flame_folder, deca_folder) -> AUD3DFacePipeline:
    return AUD3DFacePipeline.from_pretrained(
        flame_checkpoint, coarse="deca", flame=flame_folder, deca=deca_folder, device="cpu"
    )


def test_a_clip_end_to_end(pipe, clip):
    stages: list[tuple[str, int]] = []
    result = pipe.reconstruct(clip, progress=lambda stage, done, total: stages.append((stage, done)))
    [sequence] = result.sequences
    assert sequence.vertices.shape == sequence.coarse_vertices.shape == (FRAMES, 5023, 3)
    assert sequence.valid.tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert np.isfinite(sequence.vertices[sequence.valid]).all()
    assert np.isnan(sequence.vertices[3]).all()
    assert sequence.au_probabilities.shape == (FRAMES, 4)
    assert sequence.provenance["coarse"] == "deca"
    assert sequence.provenance["face_model"] == "flame"
    assert [done for stage, done in stages if stage == "pictures"] == list(range(1, FRAMES + 1))
    # The network of the crop really looked: what it says changes from picture to picture.
    assert np.abs(sequence.coarse_vertices[0] - sequence.coarse_vertices[8]).max() > 1e-7
    # A camera of the frame: the made-up encoder says s = 9 in the crop, whose half side is some 100 pixels.
    half = sequence.scale[0] / CAMERA[0]
    assert 40 < half < sequence.width / 2
    middle = sequence.image_points[0, :, :2].mean(0)
    assert (middle > 0).all()
    assert (middle < (sequence.width, sequence.height)).all()


def test_the_command_line_does_the_same(flame_checkpoint, flame_folder, deca_folder, clip, tmp_path, capsys, pipe):
    where = ["--model", str(flame_checkpoint), "--flame", str(flame_folder), "--deca", str(deca_folder)]
    command = ["reconstruct", str(clip), "--coarse", "deca", *where, "--device", "cpu", "--formats", "csv,npz"]
    assert main([*command, "--output", str(tmp_path)]) == 0, capsys.readouterr().err
    with np.load(tmp_path / "sequence.npz") as arrays:
        np.testing.assert_allclose(arrays["coarse_vertices"], pipe(clip)[0].coarse_vertices, atol=1e-6)
        assert arrays["faces"].shape == (9976, 3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["settings"]["coarse"] == "deca"


def test_emoca_found_through_the_environment(flame_checkpoint, flame_folder, clip, tmp_path, monkeypatch):
    states = random_state(236, seed=0), random_state(53, seed=1)
    convert_emoca([save(emoca_checkpoint(*states), tmp_path / "emoca.ckpt")], tmp_path)
    monkeypatch.setenv("AU_D3DFACE_FLAME", str(flame_folder))
    monkeypatch.setenv("AU_D3DFACE_EMOCA", str(tmp_path))
    pipe = AUD3DFacePipeline.from_pretrained(flame_checkpoint, coarse="emoca", device="cpu")
    [sequence] = pipe(clip)
    assert sequence.provenance["coarse"] == "emoca"
    assert np.isfinite(sequence.vertices[sequence.valid]).all()


def test_decas_file_converted_by_the_command_line(tmp_path, capsys):
    original = save(deca_checkpoint(hollow_state()), tmp_path / "deca_model.tar")
    assert main(["assets", "convert", "deca", str(original), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "deca.safetensors").is_file()
    said = capsys.readouterr().out
    assert "--deca" in said
    assert "AU_D3DFACE_DECA" in said
    assert main(["assets", "convert", "emoca", str(original)]) == 6
    assert "convert it with `assets convert deca`" in capsys.readouterr().err


def test_the_bundled_checkpoint_says_what_deca_needs(clip, tmp_path, capsys):
    command = ["reconstruct", str(clip), "--coarse", "deca", "--output", str(tmp_path / "out")]
    assert main(command) == 6
    said = capsys.readouterr().err
    assert "trained on 'facemesh' with 468" in said
    assert "gives the face model 'flame' with 5023 vertices" in said
    assert "give a checkpoint that was trained on 'flame' (--model)" in said
    assert said.count("\n") == 1


def test_a_checkpoint_on_flame_refuses_another_mesh(flame_checkpoint, flame_folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"trained on the face model 'flame' with 5023 vertices; .* 'facemesh'"):
        AUD3DFacePipeline.from_pretrained(flame_checkpoint, face_model="facemesh", device="cpu")
    config = json.loads((flame_checkpoint / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"face_model_checksum": "0" * 64}))
    (tmp_path / "model.safetensors").write_bytes((flame_checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"does not fit the checkpoint: .* checksum differs"):
        AUD3DFacePipeline.from_pretrained(tmp_path, flame=flame_folder, device="cpu")


def test_paths_and_pictures_that_would_be_ignored_are_refused(pipe, flame_folder, deca_folder, clip):
    with pytest.raises(UsageError, match="a path of DECA goes with the coarse reconstructor 'deca', not 'landmarks'"):
        AUD3DFacePipeline.from_pretrained(deca=deca_folder)
    with pytest.raises(UsageError, match="a path of FLAME goes with the face model 'flame', not 'facemesh'"):
        AUD3DFacePipeline.from_pretrained(flame=flame_folder)
    with pytest.raises(UsageError, match="'deca' takes no neutral picture"):
        pipe(clip, neutral=clip)
    with pytest.raises(UsageError, match="live use needs the coarse reconstructor 'landmarks', not 'deca'"):
        AUD3DFaceStream(pipe)


def test_files_that_are_missing_are_named(flame_checkpoint, flame_folder, deca_folder, tmp_path, monkeypatch):
    for kind in ("FLAME", "DECA"):
        monkeypatch.delenv(f"AU_D3DFACE_{kind}", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"FLAME is not here: convert .*`au-d3dface assets convert flame"):
        AUD3DFacePipeline.from_pretrained(flame_checkpoint, coarse="deca", deca=deca_folder, device="cpu")
    with pytest.raises(CheckpointError, match=r"DECA is not here: convert .*`au-d3dface assets convert deca"):
        AUD3DFacePipeline.from_pretrained(flame_checkpoint, coarse="deca", flame=flame_folder, device="cpu")
