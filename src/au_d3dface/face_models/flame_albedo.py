"""Albedo of FLAME's skin: a mean map and linear components, from FLAME_texture.npz or FLAME_albedo_from_BFM.npz.

The authors' maps are 512 x 512, blue first; DECA uses every second pixel of them. So does the converted file, whose
maps are 256 x 256 RGB with values in about [0, 1], their first row at v = 1.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..assets.converted import Shape, read_converted
from ..errors import CheckpointError, UsageError
from .flame import find_flame
from .restricted_pickle import load_npz

SIZE = 256
"""Pixels a side."""

_SOURCE_SIZE = 512
_ARRAYS = {"flame": ("mean", "tex_dir", 255.0), "bfm": ("MU", "PC", 1.0)}
"""For each kind the authors' arrays, mean and components, and what they are divided by."""

KINDS = tuple(_ARRAYS)


class FLAMEAlbedo(nn.Module):
    """A linear model of the albedo map.

    Attributes:
        mean: (256, 256, 3).
        basis: (A, 256, 256, 3), change of the map per unit of coefficient.

    Args:
        path: the converted file, its folder, or that of FLAME; None for where `find_flame` finds FLAME.
        kind: "bfm" (FLAME_albedo_from_BFM.npz, 199 components; DECA's) or "flame" (FLAME_texture.npz, 200).
        num_components: how many are read; DECA has 50.

    Raises:
        CheckpointError: the file is missing or damaged.
        UsageError: another kind.
    """

    def __init__(self, path: str | Path | None = None, kind: str = "bfm", num_components: int = 50) -> None:
        super().__init__()
        if kind not in KINDS:
            raise UsageError(f"there is no albedo model {kind!r} of FLAME; choose one of {', '.join(KINDS)}")
        name = f"flame_albedo_{kind}"
        file = Path(path).expanduser() if path is not None else find_flame().parent
        file = file / f"{name}.safetensors" if file.is_dir() else file
        if not file.is_file():
            source = "FLAME_texture.npz" if kind == "flame" else "FLAME_albedo_from_BFM.npz"
            raise CheckpointError(f"{file} is missing: convert {source} with `au-d3dface assets convert flame FILE`.")
        shapes: dict[str, Shape] = {"mean": (SIZE, SIZE, 3), "basis": (None, SIZE, SIZE, 3)}
        tensors = read_converted(file, name, shapes).tensors
        if len(tensors["basis"]) < num_components:
            raise CheckpointError(f"{file} has {len(tensors['basis'])} components, and {num_components} are asked for.")
        self.kind = kind
        self.register_buffer("mean", tensors["mean"])
        self.register_buffer("basis", tensors["basis"][:num_components].clone())

    def forward(self, coefficients: Tensor) -> Tensor:
        """(..., A) coefficients, A at most `num_components`, to (..., 256, 256, 3) albedo; not clamped to [0, 1]."""
        return self.mean + torch.tensordot(coefficients, self.basis[: coefficients.shape[-1]], dims=1)


def read_albedo(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Reads FLAME_texture.npz or FLAME_albedo_from_BFM.npz, told apart by their arrays.

    Returns:
        The name of the converted file, without its suffix, and what it holds.

    Raises:
        CheckpointError: the file is missing, damaged or something else.
    """
    content = load_npz(path, tuple(name for mean, basis, _ in _ARRAYS.values() for name in (mean, basis)))
    kind = next((kind for kind, (mean, basis, _) in _ARRAYS.items() if mean in content and basis in content), None)
    if kind is None:
        raise CheckpointError(
            f"{path} has none of the arrays of FLAME's textures (mean and tex_dir, or MU and PC), nor those of its "
            "landmarks; take it from its authors again."
        )
    names = _ARRAYS[kind]
    mean, basis = (np.asarray(content.pop(name)) for name in names[:2])
    pixels = 3 * _SOURCE_SIZE**2
    if mean.dtype.kind not in "iuf" or basis.dtype.kind not in "iuf" or mean.size != pixels or basis.size % pixels:
        raise CheckpointError(f"{path} has maps that are not 512 x 512, which FLAME's are.")
    count = basis.size // pixels
    if basis.ndim < 2 or basis.shape[-1] != count:
        raise CheckpointError(f"{path} has maps of shape {basis.shape}, whose last number is not that of components.")
    # Every second pixel, as nearest-neighbour resampling to half the size takes it; RGB.
    mean = mean.reshape(_SOURCE_SIZE, _SOURCE_SIZE, 3)[::2, ::2, ::-1] / names[2]
    basis = basis.reshape(_SOURCE_SIZE, _SOURCE_SIZE, 3, count)[::2, ::2, ::-1].transpose(3, 0, 1, 2)
    tensors = {
        "mean": torch.from_numpy(np.ascontiguousarray(mean, np.float32)),
        "basis": torch.from_numpy(np.ascontiguousarray(basis, np.float32)) / names[2],
    }
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path} holds numbers that are not finite in its {name}; take it again.")
    return f"flame_albedo_{kind}", tensors
