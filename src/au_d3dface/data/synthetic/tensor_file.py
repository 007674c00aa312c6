"""Pools whose tensors are one safetensors file: `TensorFile`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...errors import InputError


@dataclass
class TensorFile:
    """Base of dataclasses whose fields are tensors."""

    def save(self, path: str | Path) -> None:
        """Writes the file, whole or not at all."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            save_file({name: value.contiguous() for name, value in vars(self).items()}, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads the file.

        Raises:
            InputError: it is missing, damaged or something else.
        """
        try:
            with safe_open(path, "pt") as archive:
                return cls(**{name: archive.get_tensor(name) for name in archive.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, TypeError) as error:
            raise InputError(f"{path} is damaged or of another kind ({error}); delete it to make it anew") from error
