"""Loading a checkpoint by name: the bundled one, a folder, or a Hub id."""

import json
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from ..face_models import FaceModel
    from ..mlp_baseline import AUD3DFaceMLP
    from ..modeling_au_d3dface import AUD3DFaceForReconstruction

BUNDLED = Path(__file__).parent / "default"
"""Folder of the checkpoint that ships in the package."""


def resolve_device(device: str | torch.device | None) -> torch.device:
    """`None` and `"auto"`: the first CUDA device where there is one, else the CPU.

    Raises:
        UsageError: no such device, here or anywhere.
    """
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError) as error:  # torch's words for an unknown, and for an absent, device
        raise UsageError(f"the device {str(device)!r} is not available here; use cpu, cuda, or auto") from error
    return resolved


def load_checkpoint(
    name: str | PathLike[str] | None = None, device: str | torch.device | None = None
) -> "AUD3DFaceForReconstruction":
    """The model in evaluation mode, on its device.

    Args:
        name: None for the bundled checkpoint, a folder, or the id of a model on the Hugging Face Hub.
        device: as `resolve_device`.

    Raises:
        CheckpointError: the folder or id does not exist, holds a model of another type, or is damaged or incomplete.
        UsageError: the device is not available.
    """
    from ..modeling_au_d3dface import AUD3DFaceForReconstruction

    return _loaded(AUD3DFaceForReconstruction, BUNDLED if name is None else name, device)


def load_mlp(name: str | PathLike[str], device: str | torch.device | None = None) -> "AUD3DFaceMLP":
    """An MLP of the baselines; as `load_checkpoint`, but there is no bundled one."""
    from ..mlp_baseline import AUD3DFaceMLP

    return _loaded(AUD3DFaceMLP, name, device)


def model_type_of(name: str | PathLike[str]) -> str | None:
    """The type that config.json of a folder or of a model on the Hub names; None where it cannot be read."""
    from transformers import PreTrainedConfig

    try:
        with _quiet_transformers():
            return PreTrainedConfig.get_config_dict(Path(name).expanduser() if Path(name).exists() else name)[0].get(
                "model_type"
            )
    except (OSError, ValueError):
        return None


def _loaded(kind, source: str | PathLike[str], device: str | torch.device | None):
    """A model of a class, in evaluation mode, on its device; every way in which that fails is one sentence."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    resolved = resolve_device(device)
    folder = Path(source).expanduser()
    if folder.exists() or _looks_like_a_path(str(source)):
        _check_folder(folder, kind.config_class.model_type)
        source = folder
    try:
        with _quiet_transformers():
            model, report = kind.from_pretrained(source, output_loading_info=True)
    except (SafetensorError, EOFError) as error:
        raise CheckpointError(
            f"the checkpoint {source} is damaged ({error}): its safetensors file cannot be read; fetch it again"
        ) from error
    except (OSError, ValueError, RuntimeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"the checkpoint {source} cannot be loaded: {reason}") from error
    wrong = sorted(report["missing_keys"]) + sorted(str(key) for key in report.get("mismatched_keys", ()))
    if wrong:
        raise CheckpointError(
            f"the checkpoint {source} is incomplete: {len(wrong)} tensors are missing or have another shape, "
            f"the first is {wrong[0]}; fetch it again"
        )
    return model.eval().to(resolved)


def give_face_model(network: "AUD3DFaceForReconstruction", face_model: "FaceModel") -> None:
    """Gives a checkpoint without a mesh (of a licensed face model) the user's own.

    Raises:
        CheckpointError: another mesh than the network was trained with, or one without AU regions.
    """
    try:
        masks = face_model.au_masks(network.config.action_units)
        network.set_face_model(face_model.template, face_model.faces, masks)
    except ValueError as error:
        raise CheckpointError(
            f"the face model {face_model.name!r} does not fit the checkpoint: {error}; give the files of the release "
            "that it was trained with"
        ) from error


def _looks_like_a_path(name: str) -> bool:
    """A Hub id has at most one slash and never starts with a dot, a tilde or a slash."""
    return name.startswith((".", "~", "/")) or name.count("/") > 1 or "\\" in name


def _check_folder(folder: Path, wanted: str) -> None:
    """Raises CheckpointError unless the folder holds a checkpoint of the wanted model type."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise CheckpointError(
            f"the model folder {folder} {what}; give a folder that holds config.json and model.safetensors"
        )
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(f"the model folder {folder} holds no config.json, so it is not a checkpoint")
    try:
        model_type = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{config} is damaged: it is not a JSON object; fetch the checkpoint again") from error
    if model_type != wanted:
        raise CheckpointError(f"the model folder {folder} holds a model of type {model_type!r}, not {wanted!r}")
    if not any(folder.glob("model*.safetensors")):
        raise CheckpointError(f"the model folder {folder} holds no model.safetensors")


@contextmanager
def _quiet_transformers():
    """Keeps transformers' reports and bar off the screen: what is wrong is raised as one sentence instead."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
