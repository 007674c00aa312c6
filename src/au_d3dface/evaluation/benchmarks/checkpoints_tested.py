"""Which checkpoints are tested on which parts of a benchmark, and whether they were trained on the people tested."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ...checkpoints import BUNDLED, load_checkpoint, load_mlp, model_type_of
from ...data.folds import ALL, PARTS, Fold
from ...errors import CheckpointError, UsageError
from ...mlp_baseline import AUD3DFaceMLP

RECORD = "training.json"


@dataclass(frozen=True)
class Checkpoint:
    """One network.

    Attributes:
        source: its folder, or the id of a model on the Hub.
        record: its training.json; None where it has none.
    """

    source: str
    record: Mapping[str, Any] | None

    def load(self, device: str | None) -> PreTrainedModel:
        """The network, in evaluation mode, which decides at the probability 0.5.

        Raises:
            CheckpointError: it does not exist, or is damaged.
        """
        if model_type_of(self.source) == AUD3DFaceMLP.config_class.model_type:
            mlp = load_mlp(self.source, device)
            mlp.config.au_thresholds = None
            return mlp
        network = load_checkpoint(self.source, device)
        network.generation_config.au_thresholds = None
        return network


def named(text: str, kind: str) -> tuple[str, str]:
    """Name and place of `NAME=PLACE`; a place alone is called after its last folder that says something.

    Raises:
        UsageError: an empty name or place.
    """
    name, equals, place = text.partition("=")
    if not equals or Path(text).exists():
        parts = [part for part in Path(text).parts if part not in ("model", "best", ".", "..", "/")]
        name, place = (parts[-1] if parts else text), text
    if not name.strip() or not place.strip():
        raise UsageError(f"--{kind} takes a place, or NAME=PLACE, not {text!r}")
    bundled = kind == "checkpoint" and place.strip() == "bundled" and not Path("bundled").exists()
    return name.strip(), str(BUNDLED) if bundled else place.strip()


def checkpoints_of(
    name: str, place: str, benchmark: str, parts: Sequence[str], wanted: Sequence[str] | None
) -> dict[str, Checkpoint]:
    """The checkpoint that is tested on each part.

    Args:
        name: for errors.
        place: the folder of a model or of its training (with `model` in it), the folder of the folds as
            `au_d3dface.training.folds` writes it (a folder for each part with `model` in it), or the id of a model on
            the Hub.
        parts: every part. wanted: those to test; None for those that folds were trained for, or the one that the
            training of a single model left out.

    Raises:
        CheckpointError: the folder holds none of that.
        UsageError: a part without a model, or a single model of which nobody says which part it is tested on.
    """
    folder = Path(place).expanduser()
    of_folds = {part: folder / part / "model" for part in parts if (folder / part / "model" / "config.json").is_file()}
    if of_folds:
        missing = [part for part in wanted or () if part not in of_folds]
        if missing:
            raise UsageError(
                f"{name} has no model for {missing[0]} ({folder / missing[0] / 'model'}); its folds are: "
                f"{', '.join(of_folds)}"
            )
        chosen = {part: path for part, path in of_folds.items() if wanted is None or part in wanted}
        return {part: Checkpoint(str(path), read_record(str(path))) for part, path in chosen.items()}
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    elif folder.is_dir() and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} holds neither a model (config.json), nor its training (model/config.json), nor the folds of "
            f"au_d3dface.training.folds ({parts[0]}/model/config.json)"
        )
    source = str(folder) if folder.exists() else place
    if not folder.exists() and model_type_of(place) is None:
        raise CheckpointError(f"{place} is no folder here, and no model of this name could be fetched from the Hub")
    checkpoint = Checkpoint(source, read_record(source))
    if wanted is None:
        tested = _benchmark_pool(checkpoint.record, benchmark).get("tested")
        if tested not in parts:
            raise UsageError(
                f"{name} does not say which part of {benchmark} its training left out; name the parts that it is "
                f"tested on: --folds {','.join(parts)}, or --folds {ALL}"
            )
        wanted = [tested]
    return dict.fromkeys(wanted, checkpoint)


def read_record(source: str) -> dict[str, Any] | None:
    """The training.json of a folder or of a model on the Hub; None where there is none, or none that can be read."""
    path = Path(source).expanduser() / RECORD
    if not Path(source).expanduser().exists():
        from transformers.utils import cached_file

        quiet = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")}
        try:
            found = cached_file(source, RECORD, **quiet)
        except (OSError, ValueError):  # no such model, which whoever loads it says
            found = None
        if found is None:
            return None
        path = Path(found)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def fairness(record: Mapping[str, Any] | None, benchmark: str, fold: Fold, own_parts: bool) -> tuple[str | None, str]:
    """Whether tested people were trained on.

    Args:
        record: of the checkpoint. fold: that is tested. own_parts: whether its parts are not the published ones.

    Returns:
        A sentence if they were, else None; and a sentence about what is known of it, perhaps empty.
    """
    if record is None:
        return None, f"it has no {RECORD}, so nobody can say whether it was trained on people whom it is tested on"
    pool = _benchmark_pool(record, benchmark)
    if not pool:
        data = record.get("data")
        return None, f"it was not trained on {benchmark.upper()} but on {data if isinstance(data, str) else 'others'}"
    people = pool.get("trained_on", {}).get("people") if isinstance(pool.get("trained_on"), dict) else None
    if not (isinstance(people, list) and all(isinstance(name, str) for name in people)):
        tested = pool.get("tested")
        if pool.get("parts") != "published" or tested not in PARTS[benchmark]:
            return None, (
                f"its {RECORD} does not name the people whom it was trained on, so nobody can say whether any of them "
                "is tested"
            )
        people = Fold(tested, PARTS[benchmark]).train
    both = [subject for subject in fold.test if subject in {*people}]
    if both:
        shown = ", ".join(both[:6]) + (f" and {len(both) - 6} more" if len(both) > 6 else "")
        return (
            f"it was trained on {len(both)} of the {len(fold.test)} people of this part ({shown}), so this is no test "
            "of it",
            "",
        )
    said = ""
    arguments = record.get("arguments")
    training = arguments.get("training") if isinstance(arguments, dict) else None
    if isinstance(training, dict) and training.get("patience"):
        said = "its training stopped when its scores on the tested people did not rise any more"
    return None, said


def _benchmark_pool(record: Mapping[str, Any] | None, benchmark: str) -> dict[str, Any]:
    """What the record says of this benchmark; empty where it says nothing."""
    pools = (record or {}).get("pools")
    for pool in pools if isinstance(pools, list) else []:
        if isinstance(pool, dict) and pool.get("benchmark") == benchmark:
            return pool
    return {}
