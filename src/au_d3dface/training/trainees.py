"""The two kinds of network that the loop trains: the paper's, and the MLP of its baselines.

A trainee says how its network reads a batch, in the training pass and when it decides by itself; the loop, the losses
and the scores know nothing else of it.
"""

from typing import Any, Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from ..configuration_au_d3dface import AUD3DFaceConfig
from ..data.network_inputs import coefficients, reconstruction_inputs
from ..errors import UsageError
from ..evaluation.decoding import decide
from ..face_models import FaceModel
from ..mlp_baseline import AUD3DFaceMLP, AUD3DFaceMLPConfig
from ..modeling_au_d3dface import AUD3DFaceForReconstruction, face_model_checksum
from .feedback import FeedbackForward
from .training_data import Batch, TrainingData


class Trainee(Protocol):
    """A network in training.

    Attributes:
        network: what is saved.
        module: what is called in training, and wrapped for several processes.
    """

    network: PreTrainedModel
    module: nn.Module

    def inputs(self, batch: Batch, labels: Tensor, own: Tensor) -> dict[str, Any]:
        """The arguments of `module` for a batch with meshes; its output has `au_logits`, `vertices` and so on.

        Args:
            labels: (B, T, N), fed back. own: (B,) bool, clips that are fed the network's decisions instead.
        """
        ...

    def decode(self, batch: Batch) -> Any:
        """What the network says by itself: `au_probabilities`, `au_labels`, perhaps `au_intensities`, `vertices`."""
        ...

    def set_thresholds(self, thresholds: list[float] | None) -> None:
        """N probabilities from which an action unit counts as present, in `decode` and in what is saved."""
        ...


class ReconstructionTrainee:
    """The paper's network: teacher forced (Eq. 2) in training, autoregressive when it decides by itself."""

    def __init__(self, network: AUD3DFaceForReconstruction) -> None:
        self.network, self.module = network, FeedbackForward(network)

    def inputs(self, batch: Batch, labels: Tensor, own: Tensor) -> dict[str, Any]:
        """As `FeedbackForward` takes them."""
        return reconstruction_inputs(batch, self.network.config.use_video) | {"au_labels": labels, "own": own}

    def decode(self, batch: Batch) -> Any:
        """Frame by frame, with the generation settings of the network."""
        return decide(self.network, batch)

    def set_thresholds(self, thresholds: list[float] | None) -> None:
        self.network.generation_config.au_thresholds = thresholds


class MLPTrainee:
    """The baseline: each frame by itself, nothing fed back."""

    def __init__(self, network: AUD3DFaceMLP) -> None:
        self.network, self.module = network, network

    def inputs(self, batch: Batch, labels: Tensor, own: Tensor) -> dict[str, Any]:
        """As `AUD3DFaceMLP` takes them."""
        return {"coefficients": coefficients(batch), "frame_mask": batch["frame_mask"].bool()}

    def decode(self, batch: Batch) -> Any:
        """At the thresholds of the network."""
        return decide(self.network, batch)

    def set_thresholds(self, thresholds: list[float] | None) -> None:
        self.network.config.au_thresholds = None if thresholds is None else tuple(thresholds)


def make_trainee(config: AUD3DFaceConfig | AUD3DFaceMLPConfig, face_model: FaceModel, data: TrainingData) -> Trainee:
    """A fresh network of the kind that the config is of.

    Raises:
        UsageError: it does not fit the face model.
    """
    if isinstance(config, AUD3DFaceMLPConfig):
        config.num_coefficients = data.coefficients.shape[1]
        mlp = AUD3DFaceMLP(config)
        mlp.standardise(data.coefficients)
        return MLPTrainee(mlp)
    if face_model.licensed:  # the checkpoint then holds the mesh's checksum, and its user brings the mesh
        config.face_model_checksum = face_model_checksum(face_model.template, face_model.faces)
    try:
        network = AUD3DFaceForReconstruction(config)
        network.set_face_model(face_model.template, face_model.faces, face_model.au_masks(config.action_units))
    except ValueError as error:
        raise UsageError(f"model: {error}") from error
    return ReconstructionTrainee(network)
