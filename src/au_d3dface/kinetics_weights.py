"""torchvision's Kinetics-400 weights of Video Swin: fetched once into torch's cache, or read from a user's file."""

import re
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.video import Swin3D_T_Weights

from .errors import CheckpointError, MissingDependencyError

KINETICS_WEIGHTS = Swin3D_T_Weights.KINETICS400_V1
"""What Video Swin was trained on in the paper; 121 MB, BSD-3-Clause, from the authors of torchvision."""

KINETICS_URL = KINETICS_WEIGHTS.url


def fetch_kinetics_weights() -> Path:
    """The weights in torch's cache, fetched where they are not there yet: whole and checked, or not at all.

    Raises:
        MissingDependencyError: they cannot be fetched, or what arrives is not they.
    """
    name = KINETICS_URL.rsplit("/", 1)[1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(KINETICS_URL, str(path), re.search(r"-([0-9a-f]+)\.", name)[1])
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum
        raise MissingDependencyError(
            f"the weights of Video Swin cannot be fetched from {KINETICS_URL} ({_reason(error)}): check the network, "
            f"or fetch the file {name} elsewhere (torchvision's {KINETICS_WEIGHTS}) and give its path"
        ) from error
    return path


def read_swin_weights(path: str | Path) -> dict[str, Tensor]:
    """A state dict of torchvision's Video Swin without its classifier, read without running what a pickle may hold.

    Raises:
        CheckpointError: the file is missing, cut off, or of another kind.
    """
    path = Path(path).expanduser()
    again = f"give torchvision's {KINETICS_URL.rsplit('/', 1)[1]} ({KINETICS_WEIGHTS}), whole"
    try:
        path.open("rb").close()
    except OSError as error:
        raise CheckpointError(f"the weights {path} cannot be read ({_reason(error)}); {again}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, for people who write checkpoints
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that anyone may have made can fail anywhere in the reader
        raise CheckpointError(f"{path} is damaged, cut off or no file of weights; {again}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds something other than a network's weights; {again}")
    return {name: value for name, value in state.items() if not str(name).startswith("head.")}


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(reason).split())[:150].rstrip(".") or type(error).__name__
