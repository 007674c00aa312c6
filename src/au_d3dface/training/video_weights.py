"""Where the video branch of a network in training gets its weights from, and whether it keeps them."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError
from ..modeling_au_d3dface import AUD3DFacePreTrainedModel

KINETICS = "kinetics"
_PREFIX = "model.video_backbone."


def load_video_weights(network: AUD3DFacePreTrainedModel, source: str) -> None:
    """Gives the video branch of a network its weights.

    Args:
        source: "kinetics", torchvision's own, which it fetches; a file with that state dict; or the folder of a model
            of this package, whose video branch is taken.

    Raises:
        CheckpointError: the file is missing or damaged or of another size, or the model has no video branch.
    """
    folder = Path(source)
    if source == KINETICS or folder.is_file():
        network.load_video_backbone(None if source == KINETICS else source)
        return
    path = folder / "model.safetensors"
    try:
        with safe_open(path, "pt") as archive:
            names = [name for name in archive.keys() if name.startswith(_PREFIX)]  # noqa: SIM118
            state = {name.removeprefix(_PREFIX): archive.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"training.video_weights: {path} cannot be read ({error}); give `kinetics`, a file of torchvision's "
            "swin3d_t weights, or the folder of a model with a video branch"
        ) from error
    if not state:
        raise CheckpointError(f"training.video_weights: the model in {folder} has no video branch")
    try:
        network.base_model.video_backbone.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"training.video_weights: the video branch of {folder} has other sizes than this one; give the same "
            "model.image_size, model.video_embed_dim and so on"
        ) from error


def freeze_video(network: AUD3DFacePreTrainedModel) -> None:
    """Leaves the video branch out of training."""
    network.base_model.video_backbone.requires_grad_(False)


def video_digest(network: AUD3DFacePreTrainedModel) -> str:
    """Twelve letters that differ where weights of the video branch do."""
    digest = hashlib.sha256()
    for name, value in sorted(network.base_model.video_backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
