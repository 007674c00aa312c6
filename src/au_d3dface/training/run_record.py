"""What a training run leaves for people: its log of JSON lines, and a model with the record of how it was made."""

import json
import os
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel

from .. import __version__
from ..errors import OutputError
from ..export.files import output_errors
from .arguments import Arguments


class RunLog:
    """`log.jsonl`, one JSON object a line; continued from where a checkpoint was written, so no step is in it twice.

    Args:
        path: of the file, or None to write nothing, as processes other than the main one.
        size: bytes to keep of what is there: what was written before the checkpoint. What a killed run wrote after it,
            perhaps half a line, is dropped. A file that is shorter is kept as it is, up to its last whole line.

    Raises:
        OutputError: the file cannot be written, here and in all methods.
    """

    def __init__(self, path: Path | None, size: int = 0) -> None:
        self.path, self._file = path, None
        if path is None:
            return
        with output_errors(path):
            kept = path.read_bytes()[:size] if path.exists() else b""
            kept = kept[: kept.rfind(b"\n") + 1]
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(len(kept))
            self._file.seek(len(kept))

    def write(self, record: dict[str, Any]) -> None:
        if self._file:
            with output_errors(self.path):
                self._file.write((json.dumps(record) + "\n").encode())
                self._file.flush()

    @property
    def size(self) -> int:
        """Bytes written so far, which `RunLog` takes on resuming."""
        return self._file.tell() if self._file else 0

    def close(self) -> None:
        if self._file:
            with output_errors(self.path):
                self._file.close()


def training_record(arguments: Arguments, **known: Any) -> dict[str, Any]:
    """For training.json: how the model was made, without this machine's folders."""
    return {
        "command": command(arguments.options),
        "package_version": __version__,
        "date": date.today().isoformat(),
        **known,
        "arguments": plain_arguments(arguments),
    }


def plain_arguments(arguments: Arguments) -> dict[str, dict[str, Any]]:
    """The arguments by section, as JSON holds them, paths without their folders."""
    sections = {"model": arguments.model, "data": vars(arguments.data), "training": vars(arguments.training)}
    return {section: {name: _plain(value) for name, value in values.items()} for section, values in sections.items()}


def save_model(network: PreTrainedModel, folder: Path, record: dict) -> None:
    """Writes the model and the record of its training, whole or not at all.

    Raises:
        OutputError: the folder cannot be written; what was there before is still there then.
    """
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    with output_errors(folder):
        try:
            network.save_pretrained(temporary)
            (temporary / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            if folder.exists():
                os.replace(folder, _earlier(folder))
            os.replace(temporary, folder)
        except SafetensorError as error:  # so it reports a full disk
            raise OutputError(f"cannot write {folder}: {error}; make room and give the same command again") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(_earlier(folder), ignore_errors=True)


def repair_model(folder: Path) -> None:
    """Removes what a run that was killed in `save_model` left, and puts back what it had moved away."""
    shutil.rmtree(folder.with_name(f".{folder.name}.new"), ignore_errors=True)
    if _earlier(folder).exists() and not folder.exists():
        os.replace(_earlier(folder), folder)
    shutil.rmtree(_earlier(folder), ignore_errors=True)


def command(options: Sequence[str]) -> str:
    """The command that reproduces the run, without this machine's folders."""
    words = []
    for option in options:
        name, equals, value = option.partition("=") if option.startswith("--") else ("", "", option)
        words.append(name + equals + _plain(value))
    return " ".join(["python -m au_d3dface.training", *words])


def _plain(value: Any) -> Any:
    """The last part of a path, anything else as it is: a record that is published names no one's folders."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value


def _earlier(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
