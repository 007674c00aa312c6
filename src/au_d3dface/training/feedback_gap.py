"""How much a network leans on the labels that it is fed: teacher-forced scores beside free-running ones.

    python -m au_d3dface.training.feedback_gap CHECKPOINT --config default --rendered-held-out DIR

Teacher forced, it is fed the true labels of earlier frames, as in training; free, its own decisions, as in use. The gap
is exposure bias. A baseline that repeats the last true label and looks at nothing shows how far true labels alone get.
What follows the checkpoint are options of the training, which name the data.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..checkpoints import load_checkpoint
from ..command_line import exit_status
from ..data import collate_clips
from ..errors import UsageError
from ..face_models import load_face_model
from ..metrics import always_positive_f1, f1_score
from ..modeling_au_d3dface import AUD3DFaceForReconstruction
from .arguments import read_arguments
from .loop import training_data
from .trainees import ReconstructionTrainee
from .training_data import Batch


@torch.no_grad()
def feedback_gap(
    network: AUD3DFaceForReconstruction, batches: Iterable[Batch], meshes: Callable[[Batch], Batch]
) -> dict[str, float]:
    """Macro F1, over the frames that count, of four ways to say the action units of a frame.

    Args:
        network: in evaluation mode.
        batches: of held-out people. meshes: adds the meshes to a batch.

    Returns:
        `free`, `teacher_forced`, `last_true_label` (the label of the frame before; none before the first) and
        `always_positive`; `gap`, teacher forced less free; and `decisions_changed`, the share of decisions that are
        others when the true labels are fed.
    """
    trainee = ReconstructionTrainee(network)
    thresholds = torch.tensor(network.generation_config.thresholds(network.config.num_action_units))
    columns: dict[str, list[np.ndarray]] = {"free": [], "teacher_forced": [], "last_true_label": [], "labels": []}
    for batch in batches:
        batch = meshes({name: value.to(network.device) for name, value in batch.items()})
        mask, labels = batch["frame_mask"].bool(), batch["au_labels"]
        own = torch.zeros(len(labels), dtype=torch.bool, device=labels.device)
        forced = trainee.module(**trainee.inputs(batch, labels, own)).au_probabilities >= thresholds.to(labels.device)
        said: dict[str, Tensor] = {
            "free": trainee.decode(batch).au_labels >= 0.5,
            "teacher_forced": forced,
            "last_true_label": torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], 1) == 1,
            "labels": labels,
        }
        for name, value in said.items():
            columns[name].append(value[mask].cpu().numpy())
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    labels_of_all = whole.pop("labels")
    scores = {name: float(np.nanmean(f1_score(said, labels_of_all))) for name, said in whole.items()}
    scores["always_positive"] = float(np.nanmean(always_positive_f1(labels_of_all)))
    scores["gap"] = scores["teacher_forced"] - scores["free"]
    scores["decisions_changed"] = float((whole["free"] != whole["teacher_forced"]).mean())
    return scores


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status of the error, if there was one, after its sentence."""
    given = list(sys.argv[1:] if argv is None else argv)
    return exit_status(lambda: _print_gap(given), "nothing was written")


def _print_gap(given: list[str]) -> None:
    if not given or given[0].startswith("-"):
        raise UsageError("name the folder of the checkpoint first, then the options of the data (--config ...)")
    network = load_checkpoint(given[0])
    if not network.config.use_temporal:
        raise UsageError(f"{given[0]} has no temporal module: no labels are fed back to it")
    arguments = read_arguments(given[1:])
    arguments.model = {"action_units": network.config.action_units, "frame_rate": network.config.frame_rate}
    if network.config.use_video:
        arguments.model |= {"use_video": True, "image_size": network.config.image_size}
    config, face_model = arguments.validate(), load_face_model(network.config.face_model)
    with tempfile.TemporaryDirectory() as folder:
        data = training_data(arguments, config, face_model, Path(folder), network.device, True)
        batches = DataLoader(data.held_out, arguments.training.batch_size, collate_fn=collate_clips)
        scores = feedback_gap(network, batches, data.meshes)
    for name, value in scores.items():
        print(f"{name:>18}  {value:.4f}")


if __name__ == "__main__":
    sys.exit(main())
