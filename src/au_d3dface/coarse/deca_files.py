"""DECA's and EMOCA's checkpoints: converted once to safetensors, with care, and read from there.

A torch checkpoint is a pickle, and a pickle can run code. These are read with `weights_only=True`, which makes tensors
and plain containers and nothing else. EMOCA's was saved by a training framework and names some of its classes; each is
stood in for by `_Inert`, which ignores whatever it is given. Any other name is refused.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..assets.converted import Shape, find_converted, read_converted, write_converted
from ..errors import CheckpointError, UsageError
from .deca_encoder import EXPRESSION_OUTPUTS, DECAEncoder, EMOCAEncoder

DECA_FILE = "deca_model.tar"
"""Name of DECA's checkpoint as its authors give it away. Despite it, the file is no tar archive."""

INERT = ("pytorch_lightning.", "lightning.", "omegaconf.", "numpy.", "pathlib.", "typing.", "argparse.Namespace")
"""Beginnings of the names that a training framework leaves in a checkpoint beside the weights; unused here."""

_COUNTER = ".num_batches_tracked"
"""Counters of the training that old checkpoints lack; nothing reads them."""


class _Inert:
    """Stands in for a class of a training framework, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


def convert_deca(paths: Sequence[Path], folder: Path, version: str | None = None) -> list[Path]:
    """Converts DECA's `deca_model.tar` (or the folder that has it) to `deca.safetensors` in `folder`.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, or not DECA's.
        OutputError: the result cannot be written.
        UsageError: several files, or a version.
    """
    path = _only_file("deca", paths, version, DECA_FILE)
    checkpoint = _read_checkpoint(path)
    if "state_dict" in checkpoint:
        raise CheckpointError(f"{path} is a checkpoint of EMOCA, not DECA: convert it with `assets convert emoca`.")
    if not isinstance(checkpoint.get("E_flame"), Mapping):
        raise CheckpointError(
            f"{path} is not DECA's {DECA_FILE}: it has no weights under 'E_flame' (its keys: {_listing(checkpoint)}); "
            "give the file that DECA's authors give away."
        )
    state = {f"E_flame.{key}": value for key, value in checkpoint["E_flame"].items()}
    tensors = _check_state(path, state, DECAEncoder)
    return [write_converted(folder / "deca.safetensors", "deca", tensors, {}, [path])]


def convert_emoca(paths: Sequence[Path], folder: Path, version: str | None = None) -> list[Path]:
    """Converts EMOCA's Lightning checkpoint (a `.ckpt`, or the folder that has it) to `emoca.safetensors` in `folder`.

    Raises:
        CheckpointError: the file is missing, damaged, hostile, not EMOCA's, or of a version with another encoder.
        OutputError: the result cannot be written.
        UsageError: several files, or a version.
    """
    path = _only_file("emoca", paths, version, "*.ckpt")
    checkpoint = _read_checkpoint(path)
    if "E_flame" in checkpoint:
        raise CheckpointError(f"{path} is a checkpoint of DECA, not EMOCA: convert it with `assets convert deca`.")
    stored = checkpoint.get("state_dict")
    if not isinstance(stored, Mapping):
        raise CheckpointError(
            f"{path} is not EMOCA's checkpoint: it has no 'state_dict' (its keys: {_listing(checkpoint)}); give the "
            ".ckpt file of EMOCA's authors."
        )
    state = {}
    for key, value in stored.items():
        if isinstance(key, str) and key.startswith(("deca.E_flame.", "deca.E_expression.")):
            state[key.removeprefix("deca.")] = value
    for name in ("E_flame", "E_expression"):
        if not any(key.startswith(f"{name}.") for key in state):
            raise CheckpointError(f"{path} is not EMOCA's checkpoint: its state_dict has no key 'deca.{name}...'.")
    if any(key.startswith("E_expression.resnet.") for key in state):
        raise CheckpointError(
            f"{path} is an EMOCA whose expression encoder shares DECA's body; only those with a ResNet-50 of its own, "
            "as in the released EMOCA, are read."
        )
    tensors = _check_state(path, state, lambda: EMOCAEncoder(_expression_outputs(path, state)))
    return [write_converted(folder / "emoca.safetensors", "emoca", tensors, {}, [path])]


def load_encoder(kind: str, path: str | Path | None = None) -> DECAEncoder:
    """The encoder of a converted file, float32 on the CPU, in evaluation mode.

    Args:
        kind: "deca" or "emoca".
        path: the converted file or its folder; None for what AU_D3DFACE_DECA or AU_D3DFACE_EMOCA names, else the
            default folder.

    Raises:
        CheckpointError: the file is missing, damaged, or another one.
    """
    with torch.device("meta"):  # no memory and no random numbers for weights that the file brings
        encoder = DECAEncoder() if kind == "deca" else EMOCAEncoder()
    shapes: dict[str, Shape] = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    if kind == "emoca":  # how many numbers the second encoder gives depends on the version
        shapes |= {"E_expression.layers.2.weight": (None, 1024), "E_expression.layers.2.bias": (None,)}
    stored = read_converted(find_converted(kind, path), kind, shapes)
    if kind == "emoca":
        with torch.device("meta"):
            encoder = EMOCAEncoder(_expression_outputs(stored.path, stored.tensors))
    encoder.load_state_dict(stored.tensors, assign=True)
    return encoder.float().eval().requires_grad_(False)


def _expression_outputs(path: Path, state: Mapping[str, Any]) -> int:
    bias = state.get("E_expression.layers.2.bias")
    outputs = bias.numel() if isinstance(bias, Tensor) else 0
    if outputs not in EXPRESSION_OUTPUTS:
        raise CheckpointError(
            f"{path} has an expression encoder with {outputs} outputs; EMOCA's gives 50 (expression) or 53 (and jaw)."
        )
    return outputs


def _only_file(kind: str, paths: Sequence[Path], version: str | None, pattern: str) -> Path:
    """The one file that is to be read."""
    if version is not None:
        raise UsageError(f"{kind} has no versions to choose from; leave --version out")
    if len(paths) != 1:
        raise UsageError(f"{kind} is converted from one file; {len(paths)} were given")
    path = Path(paths[0]).expanduser()
    if path.is_dir():
        found = sorted(path.rglob(pattern))
        if len(found) != 1:
            what = f"{len(found)} files {pattern}" if found else f"no file {pattern}"
            raise CheckpointError(f"{path} holds {what}; give the path of the one to convert.")
        return found[0]
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of the checkpoint from {kind.upper()}'s authors.")
    return path


def _read_checkpoint(path: Path) -> Mapping[str, Any]:
    """What a torch checkpoint holds, without running anything in it."""
    try:
        named: list[str] = []
        if zipfile.is_zipfile(path):  # the format of torch 1.6 and later; older files name no classes
            named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        for name in named:
            if not name.startswith(INERT):
                raise _hostile(path, name)
        with torch.serialization.safe_globals([(_Inert, name) for name in named]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, for people who write checkpoints
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        if name := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise _hostile(path, name[1]) from error
        raise CheckpointError(
            f"{path} is not a checkpoint of weights, or it is damaged ({_first_sentence(error)}); fetch it again from "
            "its authors."
        ) from error
    except Exception as error:  # a file that anyone may have made can fail anywhere in the reader
        raise CheckpointError(
            f"{path} is damaged, cut off or no torch checkpoint ({_first_sentence(error)}); fetch it again from its "
            "authors."
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(checkpoint).__name__}, not the dict of a checkpoint; give another."
        )
    return checkpoint


def _hostile(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is refused: reading it would import {name}, which no checkpoint of weights needs and which could run "
        "code; fetch the file again from its authors."
    )


def _check_state(path: Path, state: Mapping[str, Any], build: Callable[[], DECAEncoder]) -> dict[str, Tensor]:
    """The encoder's tensors, every one of them and no other, float32.

    Args:
        path: for the sentences.
        state: by the encoder's own keys.
        build: makes the encoder that they must fit.
    """
    with torch.device("meta"):
        expected = build().state_dict()
    state = {key: torch.zeros((), dtype=torch.long) for key in expected if key.endswith(_COUNTER)} | dict(state)
    for key, wanted in expected.items():
        value = state.get(key)
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{path} lacks {key!r}: it is incomplete, or of another version of the encoder.")
        if value.shape != wanted.shape:
            raise CheckpointError(
                f"{path} has {key!r} of shape {tuple(value.shape)} where the encoder has {tuple(wanted.shape)}: it is "
                "of another version."
            )
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.is_floating_point() != wanted.is_floating_point():
            raise CheckpointError(f"{path} has {key!r} as another kind of tensor than the encoder's; fetch it again.")
        if not value.isfinite().all():
            raise CheckpointError(f"{path} holds numbers that are not finite in {key!r}; fetch it again.")
    if unknown := sorted(set(state) - set(expected)):
        raise CheckpointError(
            f"{path} has tensors that the encoder has not ({len(unknown)}, {unknown[0]!r} for one): it is of another "
            "version."
        )
    return {
        key: state[key].detach().to(wanted.dtype).clone(memory_format=torch.contiguous_format)
        for key, wanted in expected.items()
    }


def _listing(checkpoint: Mapping[str, Any]) -> str:
    """The first keys of a checkpoint, for a sentence."""
    names = [repr(key)[:40] for key in list(checkpoint)[:4]]
    return ", ".join(names) + (", ..." if len(checkpoint) > 4 else "") if names else "none"


def _first_sentence(error: Exception) -> str:
    """What went wrong, without the advice to read the file unsafely that torch adds."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.split("WeightsUnpickler error: ")[-1]
    return re.split(r"(?<=\w)\. | Please | Check the ", text)[0][:200].rstrip(". ")
