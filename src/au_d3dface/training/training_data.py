"""What a run is trained and scored on, whatever the data set: `TrainingData`."""

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Dataset

Batch = dict[str, Tensor]


class TrainingClips(Sized, Protocol):
    """A map-style dataset of training clips, as `data.collate_clips` takes them."""

    def begin_epoch(self, epoch: int) -> None:
        """Draws the clips of an epoch; the same ones whenever it is called with the same number."""
        ...

    def __getitem__(self, index: int) -> Batch: ...


@dataclass
class TrainingData:
    """One data set for one run.

    Clips hold coefficients and not meshes; `meshes` makes meshes of a batch on the device. All of them, and everything
    random in them, is the same for the same arguments.

    Attributes:
        clips: to train on.
        held_out: to evaluate on, of other people: whole sequences, or clips that together show every frame once.
        calibration: training people on whom thresholds are set, decoded like `held_out`; None where none are wanted.
        meshes: adds `vertices` (and `true_vertices` where known) to a batch, on its device.
        positive_rates: of each action unit among the training people.
        coefficients: (frames, E) of valid training frames, as `trainees.coefficients` takes them from a batch.
        name: for people, of the data and the part that is held out.
        provenance: what it was made from, for the record of the training; anything that JSON can hold.
        initialise: called once with a fresh network, before it trains.
        teach: adds `au_targets` to a batch that has meshes, or leaves it as it is.
        supervise: from the network's output and the batch to the arguments of `ReconstructionLoss` for Eq. 12-13.
    """

    clips: TrainingClips
    held_out: Dataset
    calibration: Dataset | None
    meshes: Callable[[Batch], Batch]
    positive_rates: list[float]
    coefficients: Tensor
    name: str
    provenance: list[dict]
    initialise: Callable[[Any], None] = lambda network: None
    teach: Callable[[Batch], Batch] = lambda batch: batch
    supervise: Callable[[Any, Batch], dict[str, Any]] = lambda output, batch: {}
