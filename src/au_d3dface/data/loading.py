"""Datasets by name: synthetic sequences, built into the cache of the `datasets` library or streamed."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AUD3DFaceError, UsageError
from .synthetic.tracker_response import load_tracker_response

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict


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
    from .synthetic.builder import QUALITIES, SyntheticFaces, SyntheticFacesConfig, datasets

    if quality not in QUALITIES:
        raise UsageError(f"There is no quality {quality!r}; choose one of {', '.join(QUALITIES)}.")
    known = [name for name in SyntheticFacesConfig.__annotations__ if name != "quality"]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise UsageError(f"Synthetic sequences have no setting {unknown[0]!r}; there are {', '.join(known)}.")
    if split not in (None, "train", "test"):
        raise UsageError(f"There is no split {split!r}; choose train or test.")
    builder = SyntheticFaces(cache_dir, config_name=quality, **settings)
    if streaming:
        return builder.as_streaming_dataset(split)
    try:
        builder.download_and_prepare(num_proc=num_proc)
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, AUD3DFaceError):  # a sentence for people, wrapped by the library
            raise error.__cause__ from error
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
