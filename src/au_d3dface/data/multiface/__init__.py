"""Multiface (Wuu et al., arXiv 2207.11243) from the user's own copy: rows of frames, true meshes, and what is there.

from au_d3dface.data.multiface import load_multiface, read_truth

rows = load_multiface("multiface", expressions=["E008", "E009"], num_proc=2).with_format("numpy")
vertices, faces = read_truth(rows[0])           # metres, in the head frame
"""

import os
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .copy import MultifaceReport, SubjectReport, check_multiface
from .head_frame import HeadFrame
from .truth import project_mesh, read_neutral_truth, read_truth, row_head_frame

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

__all__ = [
    "HeadFrame",
    "MultifaceReport",
    "SubjectReport",
    "check_multiface",
    "load_multiface",
    "project_mesh",
    "read_neutral_truth",
    "read_truth",
    "row_head_frame",
]


def load_multiface(
    data_dir: str | os.PathLike[str],
    streaming: bool = False,
    split: str | None = "test",
    num_proc: int | None = None,
    cache_dir: str | None = None,
    **settings: Any,
) -> "Dataset | DatasetDict | IterableDataset | IterableDatasetDict":
    """The frames of a copy of Multiface, one camera's frame a row; columns as `builder.MultifaceBuilder` says.

    Args:
        data_dir: the folder that holds the subjects' folders m--...--GHS, or one of these.
        streaming: makes rows as they are read, and stores nothing.
        split: "test", the only one; None gives it by name.
        num_proc: processes that build; the rows do not depend on it.
        cache_dir: where built rows are kept; None for the library's own cache.
        settings: subjects, expressions, cameras, every, neutral, skip_missing, ignore_distortion, image_size:
            `builder.MultifaceConfig`.

    Raises:
        MissingDependencyError: the library `datasets` is not installed.
        UsageError: a setting that does not exist or makes no sense, a subject or expression that is not there.
        InputError: no Multiface in the folder, files that are missing (unless skip_missing) or damaged.
    """
    from .builder import SETTINGS, MultifaceBuilder

    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        raise UsageError(f"Multiface has no setting {unknown[0]!r}; there are {', '.join(SETTINGS)}.")
    if split not in (None, "test"):
        raise UsageError(f"Multiface has no split {split!r}; it has one, test.")
    builder = MultifaceBuilder(cache_dir, data_dir=os.path.abspath(data_dir), **settings)
    if streaming:
        return builder.as_streaming_dataset(split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split)
