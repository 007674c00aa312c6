"""DECA's and EMOCA's checkpoints: what is converted, and what a reader of a wrong, cut off or hostile file is told."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bad_deca_files import BAD_CHECKPOINTS
from made_deca import deca_checkpoint, emoca_checkpoint, hollow_state, save
from safetensors.torch import load_file

from au_d3dface.assets.converted import write_converted
from au_d3dface.coarse.deca_files import convert_deca, convert_emoca, load_encoder
from au_d3dface.errors import CheckpointError, UsageError


@pytest.fixture
def convert(tmp_path: Path) -> Callable[[str, Path], Path]:
    """Converts one file, and gives what was written."""

    def one(kind: str, path: Path) -> Path:
        [written] = {"deca": convert_deca, "emoca": convert_emoca}[kind]([path], tmp_path / "converted")
        return written

    return one


# ---------------------------------------------------------------------------------------------------- what is converted


@pytest.mark.parametrize("old_format", [False, True], ids=["zip", "before torch 1.6"])
def test_deca_is_converted_whole_and_read_again(old_format, tmp_path, convert):
    state = hollow_state()
    del state["encoder.bn1.num_batches_tracked"]  # files of old versions of torch have no such counters
    state["layers.2.bias"] = torch.arange(236.0)
    path = save(deca_checkpoint(state), tmp_path / "deca_model.tar", _use_new_zipfile_serialization=not old_format)
    written = convert("deca", path)
    assert written.name == "deca.safetensors"
    stored = load_file(written)
    assert {key.split(".")[0] for key in stored} == {"E_flame"}  # the detail layer's networks stay behind
    encoder = load_encoder("deca", written)
    assert not encoder.training
    assert torch.equal(encoder.E_flame.layers[2].bias, torch.arange(236.0))
    assert (encoder.E_flame.encoder.conv1.weight == 1).all()


@pytest.mark.parametrize("outputs", [50, 53])
def test_emoca_is_converted_with_both_encoders(outputs, tmp_path, convert):
    path = save(emoca_checkpoint(hollow_state(), hollow_state(outputs)), tmp_path / "EMOCA" / "epoch=1.ckpt")
    encoder = load_encoder("emoca", convert("emoca", path.parent))  # the folder will do
    assert encoder.E_flame.layers[2].out_features == 236
    assert encoder.E_expression.layers[2].out_features == outputs


def test_half_precision_weights_become_single_precision(tmp_path, convert):
    state = {key: value.half() if value.is_floating_point() else value for key, value in hollow_state().items()}
    encoder = load_encoder("deca", convert("deca", save(deca_checkpoint(state), tmp_path / "half.tar")))
    assert encoder.E_flame.encoder.conv1.weight.dtype == torch.float32


def framework_class(module: str, name: str) -> type:
    """A class that pickles by a name that no module here has."""
    kind = type(name, (), {"__module__": module, "__setstate__": lambda self, state: pytest.fail("it came to life")})
    for part in [module.rsplit(".", count)[0] for count in range(module.count(".") + 1)]:
        sys.modules.setdefault(part, types.ModuleType(part))
    setattr(sys.modules[module], name, kind)
    return kind


def test_classes_of_a_training_framework_are_passed_over(tmp_path, convert, monkeypatch):
    before = set(sys.modules)
    callback = framework_class("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    settings = framework_class("omegaconf.dictconfig", "DictConfig")()
    settings.rate = 0.1
    checkpoint = emoca_checkpoint(hollow_state(), hollow_state(50))
    checkpoint |= {"callbacks": {callback: {"best": 1.0}}, "hyper_parameters": {"config": settings}}
    path = save(checkpoint, tmp_path / "emoca.ckpt")
    for name in set(sys.modules) - before:  # where the file is read, nothing of the framework is installed
        monkeypatch.delitem(sys.modules, name)
    assert load_encoder("emoca", convert("emoca", path)).E_expression.layers[2].out_features == 50
    assert not any(name.startswith(("pytorch_lightning", "omegaconf")) for name in sys.modules)


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("case", BAD_CHECKPOINTS)
def test_a_bad_file_is_one_clear_sentence(case, tmp_path, convert, capfd):
    kind, make, sentence = BAD_CHECKPOINTS[case]
    folder = tmp_path / "bad"
    folder.mkdir()
    path = make(folder)
    with pytest.raises(CheckpointError, match=sentence) as error:
        convert(kind, path)
    said = str(error.value)
    assert str(folder) in said  # which file
    assert "\n" not in said
    assert len(said) < 500
    assert "weights_only" not in said  # torch's advice to read it unsafely is no advice
    assert not (tmp_path / "converted").exists()
    import au_d3dface

    assert not hasattr(au_d3dface, "pwned")
    assert "pwned" not in capfd.readouterr().out


def test_wrong_arguments(tmp_path):
    with pytest.raises(UsageError, match="converted from one file; 2 were given"):
        convert_deca([tmp_path / "a", tmp_path / "b"], tmp_path)
    with pytest.raises(UsageError, match="no versions"):
        convert_emoca([tmp_path / "a"], tmp_path, version="2")


def test_only_converted_files_are_read_when_faces_are_reconstructed(tmp_path, convert, monkeypatch):
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AU_D3DFACE_DECA", raising=False)
    original = save(deca_checkpoint(hollow_state()), tmp_path / "deca_model.tar")
    with pytest.raises(CheckpointError, match=r"deca_model.tar is not a converted file; .*assets convert deca"):
        load_encoder("deca", original)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_encoder("deca", tmp_path / "deca.safetensors")
    converted = convert("deca", original)
    monkeypatch.setenv("AU_D3DFACE_DECA", str(converted.parent))
    assert load_encoder("deca").E_flame.layers[2].out_features == 236  # found through the environment
    (tmp_path / "emoca.safetensors").write_bytes(converted.read_bytes())
    with pytest.raises(CheckpointError, match="is a converted 'deca', not 'emoca'"):
        load_encoder("emoca", tmp_path)
    content = converted.read_bytes()
    converted.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_encoder("deca")
    other = write_converted(tmp_path / "flame.safetensors", "flame", {"template": torch.zeros(2)}, {}, [])
    with pytest.raises(CheckpointError, match="is a converted 'flame', not 'deca'"):
        load_encoder("deca", other)
