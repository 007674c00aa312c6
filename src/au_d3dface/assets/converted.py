"""Files that the user has converted: where they lie, and how they are written and read.

Licensed models (FLAME, DECA, EMOCA) come as pickles and torch checkpoints, which can run code when they are loaded.
`au-d3dface assets convert` reads them once with care and writes safetensors; everything else reads those. Their header
says what they are and holds the SHA-256 of the files that they were made from.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from ..export.files import atomic_path, output_errors

KIND, INFORMATION, SOURCES = "au_d3dface_kind", "information", "sources"
"""Entries of a converted file's header: what it is, a JSON object about it, a JSON object of names and checksums."""

Shape = tuple[int | None, ...]
"""Sizes of a tensor; None stands for any."""


def default_folder(kind: str) -> Path:
    """Where converted files of a kind ("flame", "deca", "emoca") lie when no folder is named: a folder of the Hugging
    Face cache for what is not a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "au_d3dface" / kind


def environment(kind: str) -> str:
    """Name of the environment variable with the path of a kind: AU_D3DFACE_FLAME."""
    return f"AU_D3DFACE_{kind.upper()}"


def find_converted(kind: str, path: str | Path | None = None) -> Path:
    """The file `<kind>.safetensors`: `path`, else what AU_D3DFACE_<KIND> names, else what was converted by default.

    Args:
        kind: "flame", "deca" or "emoca".
        path: the file, or the folder that has it.

    Raises:
        CheckpointError: none is there; the sentence says how to make one.
    """
    named = path or os.environ.get(environment(kind))
    folder = Path(named).expanduser() if named else default_folder(kind)
    found = folder / f"{kind}.safetensors" if folder.is_dir() else folder
    if found.is_file() and found.suffix == ".safetensors":
        return found
    command = f"`au-d3dface assets convert {kind} FILE...`"
    if not named:
        raise CheckpointError(
            f"{kind.upper()} is not here: convert the files that you have from its authors with {command}, or give the "
            f"folder of converted files with --{kind} or in {environment(kind)}"
        )
    if found.exists():
        raise CheckpointError(f"{found} is not a converted file; make one of it with {command}, and give its folder")
    raise CheckpointError(
        f"{found} does not exist: give the folder that {command} wrote with --{kind} or in {environment(kind)}"
    )


@dataclass(frozen=True)
class Converted:
    """What a converted file holds.

    Attributes:
        path: the file.
        tensors: by name.
        information: what was said about them when they were converted.
        sources: name and SHA-256 of the files that they were made from.
    """

    path: Path
    tensors: dict[str, Tensor]
    information: dict[str, Any]
    sources: dict[str, str]


def write_converted(
    path: Path, kind: str, tensors: Mapping[str, Tensor], information: Mapping[str, Any], sources: Sequence[Path]
) -> Path:
    """Writes a converted file, under a temporary name first; the folder is made where it is missing.

    Args:
        path: what to write; ends in `.safetensors`.
        kind: what it is, "flame" for example; `read_converted` asks for the same.
        tensors: by name.
        information: what else is to be known of them, JSON.
        sources: the files that they were made from.

    Raises:
        OutputError: the file cannot be written.
    """
    checksums = {source.name: sha256(source) for source in sources}
    header = {KIND: kind, INFORMATION: json.dumps(dict(information)), SOURCES: json.dumps(checksums)}
    with output_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, header)
        except SafetensorError as error:  # its way to say that the disk is full, or the folder gone
            raise OSError(str(error)) from error
    return path


def read_converted(
    path: Path, kind: str, shapes: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None
) -> Converted:
    """Reads a converted file and checks what is in it.

    Args:
        path: the file.
        kind: what it must be.
        shapes: every tensor that it must hold, with its sizes.
        optional: tensors that it may hold. Others are not read.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or holds other sizes or numbers that are not
            finite.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata() or {}
            if header.get(KIND) != kind:
                what = f"a converted {header[KIND]!r}" if KIND in header else "no file that this program converted"
                raise CheckpointError(f"{path} is {what}, not {kind!r}; give what `assets convert` wrote for it.")
            wanted = dict(shapes) | dict(optional or {})
            tensors = {name: stored.get_tensor(name) for name in stored.keys() if name in wanted}  # noqa: SIM118
        information, sources = json.loads(header[INFORMATION]), json.loads(header[SOURCES])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} cannot be read ({reason}); convert the authors' file again.") from error
    for name, shape in wanted.items():
        if name not in tensors and name not in shapes:
            continue
        found = tuple(tensors[name].shape) if name in tensors else None
        if not _fits(found, shape):
            raise CheckpointError(f"{path} is not a whole {kind!r}: its tensor {name!r} is {found or 'missing'}.")
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all():
            raise CheckpointError(f"{path} holds numbers that are not finite in {name!r}; convert the file again.")
    return Converted(path, tensors, information, sources)


def _fits(found: tuple[int, ...] | None, shape: Shape) -> bool:
    if found is None or len(found) != len(shape):
        return False
    return all(want in (None, have) for want, have in zip(shape, found, strict=True))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
