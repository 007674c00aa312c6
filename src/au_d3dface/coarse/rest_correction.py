"""What the tracker gets wrong in the depth of a face at rest, taken back.

A single camera hardly sees depth: the tracker infers it, and has every face nearer to its idea of faces than it is. How
far off it is depends on the face, and was learned by `training.learn_rest_correction` from synthetic people, whose
surfaces are known; real ones were not at hand.

Only depth is corrected, along z of the head frame: x and y are what the camera sees. (Synthetic people's points differ
from the tracked ones in x and y too, but putting them there moves outlines and brows off real faces by millimetres.)
The correction holds no shift and no tilt of the face, so that the head pose that was fitted stays the face's.
"""

from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from ..errors import CheckpointError
from ..geometry import similarity_alignment
from ..tracking import NUM_FACE_LANDMARKS

ASSET = "rest_correction.safetensors"

LIMIT = 2.0
"""Standard deviations over people up to which a trait of a face is followed: real faces lie farther from the mean than
the synthetic ones that this was learned on, of which nothing is lost by it."""

_SHAPES: dict[str, tuple[int | None, ...]] = {
    "mean": (NUM_FACE_LANDMARKS, 3),
    "traits": (None, NUM_FACE_LANDMARKS, 3),
    "mean_depth": (NUM_FACE_LANDMARKS,),
    "depth": (None, NUM_FACE_LANDMARKS),
}


class RestCorrection:
    """The depth to be added to a face at rest, of the 468 points, from that face alone.

    With the face laid on `mean` by a similarity, a trait is the product of its difference from the mean with the
    trait's direction, in standard deviations over people, and the depth is  mean_depth + Σ_k trait_k · depth_k. Traits
    are symmetric or antisymmetric between left and right, so that a mirrored face has the mirrored correction.

    Attributes:
        mean: (468, 3) metres, the mean face at rest.
        traits: (K, 468, 3) standard deviations a metre.
        mean_depth: (468,) metres. depth: (K, 468) metres a standard deviation.
    """

    def __init__(self, mean: Tensor, traits: Tensor, mean_depth: Tensor, depth: Tensor) -> None:
        self.mean, self.traits, self.mean_depth, self.depth = mean, traits, mean_depth, depth

    @classmethod
    def load(cls, path: str | Path | None = None) -> "RestCorrection":
        """Reads a file of `training.learn_rest_correction`; None for the bundled one.

        Raises:
            CheckpointError: the file is missing, damaged or something else.
        """
        source = files(__package__).joinpath(ASSET) if path is None else Path(path)
        if not source.is_file():
            raise CheckpointError(f"{source} does not exist: make it with training.learn_rest_correction.")
        try:
            tensors = load_safetensors(source.read_bytes())
        except SafetensorError as error:
            raise CheckpointError(f"{source} is not a readable safetensors file ({error}); replace it.") from error
        for name, shape in _SHAPES.items():
            found = tuple(tensors[name].shape) if name in tensors else ()
            if len(found) != len(shape) or any(w not in (None, f) for w, f in zip(shape, found, strict=True)):
                raise CheckpointError(
                    f"{source} is no correction of resting faces: its tensor {name!r} is {found or 'missing'}."
                )
        if len(tensors["traits"]) != len(tensors["depth"]):
            raise CheckpointError(f"{source} is no correction of resting faces: traits and depths differ in number.")
        return cls(**{name: tensors[name].float() for name in _SHAPES})  # stored as float16, to be small

    def __call__(self, neutral: Tensor) -> Tensor:
        """(468, 3) metres, head frame, the face at rest as the landmarks say it, to (468, 3) to be added; x and y 0."""
        rotation, scale, translation = similarity_alignment(neutral, self.mean)
        difference = scale * neutral @ rotation.mT + translation - self.mean
        traits = torch.tensordot(self.traits, difference, dims=2).clamp(-LIMIT, LIMIT)
        correction = torch.zeros_like(neutral)
        correction[:, 2] = (self.mean_depth + traits @ self.depth) / scale
        return correction
