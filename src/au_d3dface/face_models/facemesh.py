"""The bundled face model: MediaPipe's 468 points, with identity and expression bases learned by this project.

Learned from renders of ICT-FaceKit that were tracked (`training.learn_facemesh`), so its bases span what the tracker
answers, which is what the landmark fitting has to explain. Faces are aligned without scale first, so overall size is
not among the identity modes.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from .. import facs
from ..errors import CheckpointError
from .base import FaceModel, LandmarkEmbedding
from .ibug68 import IBUG_68_OF_468

NUM_VERTICES = 468
ASSET = "facemesh.safetensors"

_SHAPES: dict[str, tuple[int | None, ...]] = {
    "template": (NUM_VERTICES, 3),
    "shape_basis": (None, NUM_VERTICES, 3),
    "expression_basis": (None, NUM_VERTICES, 3),
    "faces": (None, 3),
    "uv": (NUM_VERTICES, 2),
    "au_regions": (len(facs.ALL), NUM_VERTICES),
}


class FaceMesh(FaceModel):
    """The 468-vertex face.

    Besides the attributes of `FaceModel`: `au_regions` (19, 468) uint8, the masks of `facs.ALL`. Modes are ordered by
    variance; each is symmetric or antisymmetric between left and right up to what is learned.

    Args:
        path: a safetensors file as `training.learn_facemesh` writes it; None for the bundled one.

    Raises:
        CheckpointError: the file is missing, damaged or something else.
    """

    name = "facemesh"

    def __init__(self, path: str | Path | None = None) -> None:
        super().__init__()
        source = files(__package__).joinpath(ASSET) if path is None else Path(path)
        if not source.is_file():
            raise CheckpointError(f"{source} does not exist: give a facemesh file, or reinstall the package.")
        try:
            tensors = load_safetensors(source.read_bytes())
        except SafetensorError as error:
            raise CheckpointError(f"{source} is not a readable safetensors file ({error}); replace it.") from error
        for name, shape in _SHAPES.items():
            found = tuple(tensors[name].shape) if name in tensors else None
            if (
                found is None
                or len(found) != len(shape)
                or any(w not in (None, f) for w, f in zip(shape, found, strict=True))
            ):
                raise CheckpointError(f"{source} is not a facemesh model: its tensor {name!r} is {found or 'missing'}.")
        for name in ("template", "shape_basis", "expression_basis", "uv"):
            self.register_buffer(name, tensors[name].float())
        self.register_buffer("faces", tensors["faces"].long())
        self.register_buffer("au_regions", tensors["au_regions"].to(torch.uint8))
        every_vertex = _at_vertices(self.faces, torch.arange(NUM_VERTICES))
        rows = torch.tensor(IBUG_68_OF_468)
        self.landmarks_468 = every_vertex
        self.landmarks_68 = LandmarkEmbedding(every_vertex.triangles[rows], every_vertex.barycentric[rows])

    def au_masks(self, action_units: Sequence[int]) -> Tensor:
        """(N, 468) in {0, 1}, the same left and right.

        Raises:
            ValueError: an action unit that is not in `facs.ALL`.
        """
        unknown = [number for number in action_units if number not in facs.ALL]
        if unknown:
            raise ValueError(f"the face model 'facemesh' has no region for {facs.label(unknown[0])}")
        return self.au_regions[[facs.ALL.index(number) for number in action_units]].to(self.template.dtype)


def _at_vertices(faces: Tensor, vertices: Tensor) -> LandmarkEmbedding:
    """The embedding whose landmarks are vertices: for each, the first triangle that has it as a corner."""
    corner = (faces[None] == vertices[:, None, None]).flatten(1).int().argmax(1)
    barycentric = torch.nn.functional.one_hot(corner % 3, 3).float()
    return LandmarkEmbedding(corner // 3, barycentric)
