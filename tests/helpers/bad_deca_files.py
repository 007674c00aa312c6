"""Checkpoints of DECA and EMOCA that are wrong, renamed, cut off or hostile."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from made_deca import deca_checkpoint, emoca_checkpoint, hollow_state, save


class Hostile:
    """Runs code when it is unpickled by something that runs code."""

    def __reduce__(self):
        return exec, ("import au_d3dface; au_d3dface.pwned = True",)


class Shell:
    def __reduce__(self):
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


BAD_CHECKPOINTS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
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
"""By what each is: the kind it is converted as, how it is made, and a pattern of the sentence that the user reads."""
