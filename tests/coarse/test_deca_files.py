"""DECA's and EMOCA's checkpoints: what is converted, and what a reader of a wrong, cut off or hostile file is told."""

import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
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


class Hostile:
    """Runs code when it is unpickled by something that runs code."""

    def __reduce__(self):
        return exec, ("import au_d3dface; au_d3dface.pwned = True",)


class Shell:
    def __reduce__(self):
        import os

        return os.system, ("echo pwned",)


def without(state: dict, key: str) -> dict:
    return {name: value for name, value in state.items() if name != key}


def renamed(state: dict, old: str, new: str) -> dict:
    return {new if name == old else name: value for name, value in state.items()}


def cut_off(checkpoint: dict, path: Path, share: float, **how: object) -> Path:
    save(checkpoint, path, **how)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def zip_with(path: Path, content: bytes) -> Path:
    """A zip in torch's layout with this pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "no such file": ("deca", lambda f: f / "nowhere.tar", "does not exist"),
    "an empty folder": ("deca", lambda f: f, "holds no file deca_model.tar"),
    "an empty file": ("deca", lambda f: written(f / "deca_model.tar", b""), "damaged, cut off or no torch checkpoint"),
    "a text": ("deca", lambda f: written(f / "deca_model.tar", b"<html>Please log in</html>"), "or it is damaged"),
    "cut off": (
        "deca",
        lambda f: cut_off(deca_checkpoint(hollow_state()), f / "deca_model.tar", 0.6),
        "damaged, cut off or no torch checkpoint",
    ),
    "cut off, before torch 1.6": (
        "deca",
        lambda f: cut_off(
            deca_checkpoint(hollow_state()), f / "deca_model.tar", 0.6, _use_new_zipfile_serialization=False
        ),
        "damaged, cut off or no torch checkpoint",
    ),
    "another zip": ("deca", lambda f: zip_with(f / "deca_model.tar", b"not a pickle"), "or it is damaged"),
    "code in a checkpoint": (
        "deca",
        lambda f: save({"E_flame": Hostile()}, f / "deca_model.tar"),
        "refused: reading it would import builtins.exec",
    ),
    "code in an old checkpoint": (
        "deca",
        lambda f: save({"E_flame": Hostile()}, f / "deca_model.tar", _use_new_zipfile_serialization=False),
        "refused: reading it would import exec",
    ),
    "a shell command": (
        "emoca",
        lambda f: save({"state_dict": Shell()}, f / "emoca.ckpt"),
        "refused: reading it would import (os|posix|nt).system",
    ),
    "a plain pickle with code": (
        "deca",
        lambda f: written(f / "deca_model.tar", pickle.dumps({"E_flame": Hostile()}, protocol=2)),
        "refused: reading it would import exec",
    ),
    "code by a modern pickle's opcode": (
        "deca",
        lambda f: zip_with(f / "deca_model.tar", pickle.dumps({"E_flame": Hostile()}, protocol=4)),
        "or it is damaged",
    ),
    "a whole module": (
        "deca",
        lambda f: save({"E_flame": torch.nn.Linear(2, 2)}, f / "deca_model.tar"),
        "refused: reading it would import torch.nn.modules.linear.Linear",
    ),
    "a list": ("deca", lambda f: save([1, 2], f / "deca_model.tar"), "holds a list, not the dict"),
    "an empty dict": (
        "deca",
        lambda f: save({}, f / "deca_model.tar"),
        r"no weights under 'E_flame' \(its keys: none\)",
    ),
    "another network": (
        "deca",
        lambda f: save(hollow_state(), f / "resnet.tar"),
        r"no weights under 'E_flame' \(its keys: 'encoder.conv1.weight', ",
    ),
    "E_flame is no dict": ("deca", lambda f: save({"E_flame": 3}, f / "deca_model.tar"), "no weights under 'E_flame'"),
    "a key is missing": (
        "deca",
        lambda f: save(deca_checkpoint(without(hollow_state(), "layers.2.bias")), f / "deca_model.tar"),
        "lacks 'E_flame.layers.2.bias'",
    ),
    "a key is renamed": (
        "deca",
        lambda f: save(
            deca_checkpoint(renamed(hollow_state(), "encoder.conv1.weight", "encoder.stem.weight")),
            f / "deca_model.tar",
        ),
        "lacks 'E_flame.encoder.conv1.weight'",
    ),
    "a key too many": (
        "deca",
        lambda f: save(deca_checkpoint(hollow_state() | {"layers.4.bias": torch.ones(3)}), f / "deca_model.tar"),
        r"tensors that the encoder has not \(1, 'E_flame.layers.4.bias'",
    ),
    "a number in place of a tensor": (
        "deca",
        lambda f: save(deca_checkpoint(hollow_state() | {"layers.2.bias": 3.0}), f / "deca_model.tar"),
        "lacks 'E_flame.layers.2.bias'",
    ),
    "other sizes": (
        "deca",
        lambda f: save(deca_checkpoint(hollow_state(159)), f / "deca_model.tar"),
        r"of shape \(159, 1024\) where the encoder has \(236, 1024\)",
    ),
    "a shape that would fill the memory": (
        "deca",
        lambda f: save(
            deca_checkpoint(hollow_state() | {"layers.2.bias": torch.ones(1).expand(10**15)}), f / "deca_model.tar"
        ),
        r"of shape \(1000000000000000,\)",
    ),
    "whole numbers": (
        "deca",
        lambda f: save(
            deca_checkpoint(hollow_state() | {"layers.2.bias": torch.ones(236, dtype=torch.long)}), f / "deca_model.tar"
        ),
        "another kind of tensor",
    ),
    "a tensor without numbers": (
        "deca",
        lambda f: save(
            deca_checkpoint(hollow_state() | {"layers.2.bias": torch.ones(236, device="meta")}), f / "deca_model.tar"
        ),
        "another kind of tensor",
    ),
    "a sparse tensor": (
        "deca",
        lambda f: save(
            deca_checkpoint(hollow_state() | {"layers.2.bias": torch.ones(236).to_sparse()}), f / "deca_model.tar"
        ),
        "another kind of tensor",
    ),
    "not a number": (
        "deca",
        lambda f: save(
            deca_checkpoint(hollow_state() | {"layers.2.bias": torch.full((236,), torch.nan)}), f / "deca_model.tar"
        ),
        "not finite in 'E_flame.layers.2.bias'",
    ),
    "EMOCA given as DECA": (
        "deca",
        lambda f: save(emoca_checkpoint(hollow_state(), hollow_state(50)), f / "emoca.ckpt"),
        "is a checkpoint of EMOCA, not DECA: convert it with `assets convert emoca`",
    ),
    "DECA given as EMOCA": (
        "emoca",
        lambda f: save(deca_checkpoint(hollow_state()), f / "deca_model.tar"),
        "is a checkpoint of DECA, not EMOCA: convert it with `assets convert deca`",
    ),
    "EMOCA without its expression encoder": (
        "emoca",
        lambda f: save(emoca_checkpoint(hollow_state(), {}), f / "emoca.ckpt"),
        "no key 'deca.E_expression...'",
    ),
    "EMOCA with a shared body": (
        "emoca",
        lambda f: save(
            emoca_checkpoint(
                hollow_state(), {"resnet.encoder.conv1.weight": torch.ones(1), "layers.2.bias": torch.ones(1)}
            ),
            f / "emoca.ckpt",
        ),
        "whose expression encoder shares DECA's body",
    ),
    "EMOCA with another head": (
        "emoca",
        lambda f: save(emoca_checkpoint(hollow_state(), hollow_state(56)), f / "emoca.ckpt"),
        "56 outputs; EMOCA's gives 50",
    ),
    "two EMOCA checkpoints in a folder": (
        "emoca",
        lambda f: (save({}, f / "a.ckpt"), save({}, f / "b.ckpt"))[0].parent,
        r"holds 2 files \*.ckpt; give the path of the one",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_sentence(case, tmp_path, convert, capfd):
    kind, make, sentence = BAD[case]
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
