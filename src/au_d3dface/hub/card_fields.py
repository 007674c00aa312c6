"""JSON files that the model card is made from. A field that is missing, or is no number, is an error, not a gap."""

import json
import math
from pathlib import Path
from typing import Any

from ..errors import InputError


class Fields:
    """A JSON file, or a part of it.

    Args:
        path: of the file; None of a part.
        content: of the part; read from the file if not given.
        where: the names that lead to the part.

    Raises:
        InputError: the file is missing or holds no JSON object.
    """

    def __init__(self, path: Path, content: dict | None = None, where: tuple[str, ...] = ()):
        self.path, self.where = path, where
        self.content = _read(path) if content is None else content

    def get(self, *names: str) -> Any:
        """What is there, whatever it is.

        Raises:
            InputError: it is not there.
        """
        value: Any = self.content
        for depth, name in enumerate(names):
            if not isinstance(value, dict) or name not in value:
                raise InputError(f"{self._name(*names[: depth + 1])} is missing; make the file again with this version")
            value = value[name]
        return value

    def part(self, *names: str) -> "Fields":
        """An object inside."""
        value = self.get(*names)
        if not isinstance(value, dict):
            raise InputError(f"{self._name(*names)} is not an object; make the file again with this version")
        return Fields(self.path, value, (*self.where, *names))

    def parts(self, *names: str) -> list["Fields"]:
        """A list of objects inside, not empty."""
        values = self.get(*names)
        if not isinstance(values, list) or not values or not all(isinstance(value, dict) for value in values):
            raise InputError(f"{self._name(*names)} is not a list of objects; make the file again with this version")
        return [Fields(self.path, value, (*self.where, *names, str(k))) for k, value in enumerate(values)]

    def score(self, *names: str) -> float | None:
        """A number, or None where the file says null: not defined on what was measured."""
        return None if self.get(*names) is None else self.number(*names)

    def number(self, *names: str) -> float:
        """A number that must be known."""
        value = self.get(*names)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{self._name(*names)} is {value!r} where the card needs a number; measure on more")
        return value

    def text(self, *names: str) -> str:
        """A text, not empty."""
        value = self.get(*names)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{self._name(*names)} is {value!r} where the card needs a text")
        return value

    def numbers(self, *names: str) -> list[float]:
        """A list of numbers."""
        values = self.get(*names)
        if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
            raise InputError(f"{self._name(*names)} is not a list of numbers")
        return values

    def texts(self, *names: str) -> list[str]:
        """A list of texts, perhaps empty."""
        values = self.get(*names)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InputError(f"{self._name(*names)} is not a list of texts")
        return values

    def _name(self, *names: str) -> str:
        return f"{self.path}: the field {'.'.join((*self.where, *names))!r}"


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); the model card is made from it") from error
    except ValueError as error:
        raise InputError(f"{path} is not a JSON file ({error}); make it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object; make it again")
    return content
