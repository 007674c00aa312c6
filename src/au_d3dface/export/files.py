"""Writing files so that nothing is ever half-written: a temporary name beside the target, then one rename."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError

TEMPORARY_PREFIX = ".au-d3dface-"

BLOCK_BYTES = 4 * 2**20
"""Bytes that are written at once: who cancels waits for no more than these, on a slow disk too."""


@contextmanager
def output_errors(path: str | PathLike[str]) -> Iterator[None]:
    """Turns the operating system's errors while writing `path` into an OutputError, one sentence for people."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full; free some space or choose another folder"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "it is not writable; choose another folder or change its permissions"
        elif error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            reason = "something of another kind has its name or the name of a folder above it; choose another path"
        elif error.errno == errno.ENAMETOOLONG:
            reason = "its name is too long; choose a shorter one"
        else:
            reason = f"the system says: {error.strerror or error}"
        raise OutputError(f"cannot write {os.fspath(path)}: {reason}") from error


@contextmanager
def atomic_path(path: str | PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to, and renames it to `path` when the block ends well.

    The temporary path has the same suffix. When the block fails or is interrupted it is removed and an earlier `path`
    stays whole.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    with output_errors(path):
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # mkstemp's files are the owner's alone
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_blocks(file: BinaryIO, data: bytes | memoryview, look: Callable[[int], object]) -> None:
    """Writes `data` to an open file by blocks of `BLOCK_BYTES`.

    Args:
        look: called after each block with its number of bytes; what it raises ends the writing.
    """
    view = memoryview(data)
    for start in range(0, len(view), BLOCK_BYTES):
        look(file.write(view[start : start + BLOCK_BYTES]))


@contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """Yields an empty temporary folder inside `directory`, removed at the end whatever happens.

    `directory` is made where it is missing and, if the block fails, removed again with the parents made for it.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    with output_errors(directory):
        try:
            directory.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=directory))
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except BaseException:
            for folder in made:
                try:
                    folder.rmdir()  # only if nothing else has come to lie in it
                except OSError:
                    break
            raise


def move_into(staging: Path, directory: Path) -> list[Path]:
    """Renames every file of `staging` to the same place under `directory`, replacing what has its name.

    A folder of meshes is replaced as a whole, so that no frame of an earlier, longer run is left among the new ones.

    Returns:
        The new files and folders of meshes, in order.

    Raises:
        OutputError: a folder has the name of a file, or a file that of a folder. Then nothing has been moved.
    """
    with output_errors(directory):
        moves = list(_moves(staging, directory))
        for source, target in moves:
            target.parent.mkdir(exist_ok=True)
            if source.is_dir() and target.is_dir():
                os.rename(target, source.with_name(f"{TEMPORARY_PREFIX}{source.name}"))  # goes with the staging folder
            os.replace(source, target)
    return [target for _, target in moves]


def _moves(staging: Path, directory: Path) -> Iterator[tuple[Path, Path]]:
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"cannot write {directory}: a file has its name; remove it or choose another folder")
    for source in sorted(staging.iterdir()):
        target = directory / source.name
        if source.is_dir() and source.name.startswith("face_"):
            yield from _moves(source, target)
        elif target.exists() and target.is_dir() != source.is_dir():
            kind = "folder" if target.is_dir() else "file"
            raise OutputError(f"cannot write {target}: a {kind} has its name; remove it or choose another folder")
        else:
            yield source, target


def check_output_directory(directory: str | PathLike[str]) -> Path:
    """Makes sure that outputs can be written into `directory`, before the long work starts. Leaves nothing behind.

    Raises:
        OutputError: the path is a file, lies below a file, or cannot be written.
    """
    directory = Path(directory)
    with output_errors(directory):
        # The nearest folder above that exists: what is missing below it can be made if it can be written.
        existing = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
        if not existing.is_dir():
            above = "" if existing == directory else f"{existing} above it is not a folder but "
            raise OutputError(f"cannot write into {directory}: {above or 'it is '}a file; choose another folder")
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=existing) as file:
            file.write(b"1")
    return directory


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
