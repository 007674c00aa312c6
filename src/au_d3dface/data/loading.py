"""Datasets by name: synthetic sequences and benchmarks, built into the cache of the `datasets` library or streamed."""

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AUD3DFaceError, UsageError
from .synthetic.tracker_response import load_tracker_response

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

    from .benchmark_builder import BenchmarkBuilder

BENCHMARKS = {"bp4d": ("bp4d", "BP4D"), "disfa": ("disfa", "DISFA")}
"""Modules beside this one and their builders, by the name of a benchmark whose people are divided into parts."""


def load_synthetic(
    quality: str = "fast",
    streaming: bool = False,
    split: str | None = None,
    num_proc: int | None = None,
    cache_dir: str | None = None,
    **settings: Any,
) -> "Dataset | DatasetDict | IterableDataset | IterableDatasetDict":
    """Labelled synthetic sequences, one person a row; columns as `synthetic.builder.SyntheticFaces` says.

        rows = load_synthetic(style="conversation", train_people=200, split="train").with_format("numpy")
        for row in load_synthetic("rendered", streaming=True, split="test", ict_facekit="FaceXModel"): ...

    Args:
        quality: "fast", or "rendered", which needs ICT-FaceKit.
        streaming: makes rows as they are read, and stores nothing.
        split: "train" or "test"; None gives both, by name.
        num_proc: processes that build; the rows do not depend on it.
        cache_dir: where built rows are kept; None for the library's own cache.
        settings: style, seconds, frame_rate, train_people, test_people, seed, ict_facekit: `SyntheticFacesConfig`.

    Raises:
        MissingDependencyError: the library `datasets` is not installed.
        UsageError: a setting that does not exist or makes no sense.
        CheckpointError: ICT-FaceKit is missing or damaged.
    """
    from .synthetic.builder import QUALITIES, SyntheticFaces, SyntheticFacesConfig

    if quality not in QUALITIES:
        raise UsageError(f"There is no quality {quality!r}; choose one of {', '.join(QUALITIES)}.")
    known = [name for name in SyntheticFacesConfig.__annotations__ if name != "quality"]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise UsageError(f"Synthetic sequences have no setting {unknown[0]!r}; there are {', '.join(known)}.")
    if split not in (None, "train", "test"):
        raise UsageError(f"There is no split {split!r}; choose train or test.")
    return _rows(SyntheticFaces(cache_dir, config_name=quality, **settings), streaming, split, num_proc)


def load_benchmark(
    name: str,
    data_dir: str,
    fold: str | None = None,
    streaming: bool = False,
    split: str | None = None,
    num_proc: int | None = None,
    cache_dir: str | None = None,
    **settings: Any,
) -> "Dataset | DatasetDict | IterableDataset | IterableDatasetDict":
    """A benchmark from your own copy; columns as `benchmark_builder.BenchmarkBuilder` says.

    A build that was interrupted, even killed, goes on: sequences that were read are not read again.

        rows = load_benchmark("bp4d", data_dir="BP4D", fold="P3", clip_length=20)["train"].with_format("numpy")
        for row in load_benchmark("disfa", data_dir="DISFA", fold="P1", split="test", streaming=True): ...

    Args:
        name: "bp4d", "disfa" or "multiface".
        data_dir: the folder of the copy.
        fold: the part that is tested: "P1", "P2", "P3", a part of your own `folds`, or "all"; the others are the split
            "train". Never a number. Multiface, which is for evaluation alone, takes none.
        streaming: reads rows as they are asked for, and stores nothing.
        split: "train" or "test"; None gives both, by name.
        num_proc: processes that build; rows and their order do not depend on it.
        cache_dir: where built rows are kept; None for the library's own cache.
        settings: of `BenchmarkConfig`, such as clip_length, prepared, frames, action_units, folds, missing; for DISFA
            also camera, present_from and first_picture; for Multiface those of `load_multiface`, whose columns differ.

    Raises:
        MissingDependencyError: the library `datasets` is not installed.
        UsageError: a setting that does not exist or makes no sense.
        InputError: the folder holds no such benchmark, or files are missing or damaged.
    """
    if name == "multiface":
        from .multiface import load_multiface

        if fold is not None:
            raise UsageError("Multiface is not divided into parts: nobody is trained on it; leave fold out")
        return load_multiface(data_dir, streaming, split, num_proc, cache_dir, **settings)
    if split not in (None, "train", "test"):
        raise UsageError(f"There is no split {split!r}; choose train or test.")
    builder = benchmark_builder(name, data_dir, fold, cache_dir, **settings)
    if split == "train" and not builder.fold.train:
        raise UsageError("nobody is trained on where everyone is tested; name a tested part for the split train")
    return _rows(builder, streaming, split, num_proc)


def benchmark_positive_rates(name: str, data_dir: str, fold: str, **settings: Any) -> list[float]:
    """`config.au_positive_rates`: how often each action unit occurs in the training parts, never in the tested one.

    Args and errors are those of `load_benchmark`; `losses.balanced_class_weights` makes weights of the rates.
    """
    return benchmark_builder(name, data_dir, fold, None, **settings).positive_rates()


def benchmark_builder(
    name: str, data_dir: str, fold: str | None, cache_dir: str | None = None, **settings: Any
) -> "BenchmarkBuilder":
    """The builder that `load_benchmark` builds with; same arguments and errors."""
    if name not in BENCHMARKS:
        raise UsageError(f"There is no benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}.")
    from .folds import fold_of

    module, kind = BENCHMARKS[name]
    builder = getattr(import_module(f".{module}", __package__), kind)
    from datasets import BuilderConfig  # here, as importing the builder has said what to install where it is missing

    everyones = {"tested", *(field.name for field in fields(BuilderConfig))}
    known = sorted({field.name for field in fields(builder.BUILDER_CONFIG_CLASS)} - everyones)
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise UsageError(f"{builder.title} has no setting {unknown[0]!r}; there are {', '.join(known)}.")
    if fold is None:
        raise UsageError(f"name the part of {builder.title} that is tested as fold: P1, P2, P3 or 'all'")
    fold_of(name, fold, settings.get("folds"))
    if settings.get("folds") is not None:
        return builder(cache_dir, data_dir, config_name="own", tested=fold, **settings)
    return builder(cache_dir, data_dir, config_name=fold, **settings)


def _rows(
    builder: Any, streaming: bool, split: str | None, num_proc: int | None
) -> "Dataset | DatasetDict | IterableDataset | IterableDatasetDict":
    """Built or streamed rows; an error is the sentence for people, not the library's wrapping of it."""
    from datasets.exceptions import DatasetGenerationError

    if streaming:
        return builder.as_streaming_dataset(split)
    try:
        builder.download_and_prepare(num_proc=num_proc)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, AUD3DFaceError):
            raise error.__cause__ from error
        # An error of another process comes without its cause: it is met again here. (Builders of benchmarks raise it.)
        if num_proc and num_proc > 1:
            for part in builder.as_streaming_dataset().values():
                for _ in part:
                    pass
        raise
    return builder.as_dataset(split)


def true_vertices(neutral_landmarks: np.ndarray, expression_weights: np.ndarray) -> np.ndarray:
    """The true mesh of every frame of a row.

    Args:
        neutral_landmarks: (468, 3) metres. expression_weights: (T, 57).

    Returns:
        (T, 468, 3) metres in the head frame: the face at rest, as the tracker sees it, moved by ICT-FaceKit's shapes.
    """
    geometry = load_tracker_response().true_expression.numpy()
    return np.asarray(neutral_landmarks) + np.tensordot(expression_weights, geometry, axes=1)
