"""Rasterizers by name: `torch`, the project's own, and `pytorch3d`, for those who have that package.

Both take and give the same (`Rasterizer`), so that everything above chooses by name and knows neither.
"""

from importlib.util import find_spec
from typing import Protocol

from torch import Tensor

from ..errors import MissingDependencyError, UsageError
from .rasterizer import Fragments, rasterize

BACKENDS = ("torch", "pytorch3d")


class Rasterizer(Protocol):
    """`rendering.rasterize`, or another that gives the same: see there for shapes, units and conventions."""

    def __call__(
        self,
        points: Tensor,
        faces: Tensor,
        height: int,
        width: int,
        cull_backfaces: bool = False,
        perspective: bool = False,
    ) -> Fragments: ...


def load_rasterizer(name: str = "torch") -> Rasterizer:
    """The rasterizer of this name.

    Raises:
        UsageError: an unknown name.
        MissingDependencyError: pytorch3d is asked for and not installed.
    """
    if name not in BACKENDS:
        raise UsageError(f"unknown rasterizer {name!r}; choose one of {', '.join(BACKENDS)}")
    if name == "torch":
        return rasterize
    if find_spec("pytorch3d") is None:
        raise MissingDependencyError(
            "the rasterizer 'pytorch3d' needs the package pytorch3d, which no package index carries: install it as its "
            "own page says (https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md), or use 'torch'"
        )
    from .pytorch3d_rasterizer import rasterize_with_pytorch3d

    return rasterize_with_pytorch3d
