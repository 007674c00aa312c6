"""Building a benchmark so that an interrupted build goes on: what was read of each sequence is kept until all is built.

The `datasets` library starts anew whatever stopped it. `ResumableBuilder` keeps the slow part, which is reading the
user's files, in one small npz a sequence beside the rows to be; what does not change is not read again.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AUD3DFaceError, InputError, MissingDependencyError
from ..export.files import atomic_path, output_errors

try:
    import datasets
except ImportError as error:
    raise MissingDependencyError(
        "benchmarks as a dataset need the library `datasets`: install it with pip install 'au-d3dface[train]'"
    ) from error

_STATE = "state of the files"


class ResumableBuilder(datasets.GeneratorBasedBuilder):
    """Base of `BenchmarkBuilder` and `MultifaceBuilder`, whose `_generate_examples` read through `read_or_kept`.

    Readings are kept while rows are built into the cache, not while they are streamed, in the folder `unfinished`
    beside the rows: below the version and the settings, but not below the state of the whole copy, so that a damaged
    file can be mended without losing what was read of the others. A finished build removes them.
    """

    _keeps = False

    @property
    def unfinished(self) -> Path:
        """The folder of the readings of a build that is not finished."""
        return Path(self._cache_dir).parent / "unfinished"

    def read_or_kept(
        self, name: str, paths: Iterable[Path], read: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """What `read` returns, or what it returned in a build that was interrupted.

        Args:
            name: of the sequence; no other has it.
            paths: the files and folders that are read; where the name, size or time of one differs they are read again.
            read: gives arrays of numbers or text.

        Raises:
            InputError: one of the paths has gone. OutputError: the readings cannot be written.
        """
        if not self._keeps:
            return read()
        state = _state(paths)
        path = self.unfinished / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npz"
        kept = _load(path, state)
        if kept is not None:
            return kept
        arrays = read()
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                np.savez(temporary, **arrays, **{_STATE: np.array(state)})
        return arrays

    def download_and_prepare(self, *arguments: Any, **named: Any) -> None:
        """As the library's; then there is nothing left to go on with."""
        super().download_and_prepare(*arguments, **named)
        shutil.rmtree(self.unfinished, ignore_errors=True)

    def _download_and_prepare(self, *arguments: Any, **named: Any) -> None:
        # Under the library's lock. Half-written rows of a build that was killed are unlinked rather than written over:
        # processes of it that outlived their parent may still hold them open.
        for path in Path(self._output_dir).glob("*.*"):
            path.unlink(missing_ok=True)
        super()._download_and_prepare(*arguments, **named)

    def _prepare_split_single(self, *arguments: Any, **named: Any) -> Iterator[Any]:
        # The library wraps what goes wrong here, and on the way from another process the sentence for people is lost.
        self._keeps = True
        try:
            yield from super()._prepare_split_single(*arguments, **named)
        except datasets.exceptions.DatasetGenerationError as error:
            if isinstance(error.__cause__, AUD3DFaceError):
                raise error.__cause__ from None
            raise
        finally:
            self._keeps = False


def _state(paths: Iterable[Path]) -> str:
    """Changes whenever one of the files does, and whenever something comes to or goes from one of the folders."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); copy it again") from error
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _load(path: Path, state: str) -> dict[str, np.ndarray] | None:
    """What is kept in a file, where it was read from files in this state; a damaged file is as good as none."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored[_STATE]) == state:
                return {name: stored[name] for name in stored.files if name != _STATE}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None
