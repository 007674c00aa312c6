"""summary.json: what went in, what it was done with, what came out, and how long each stage took."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from .. import facs
from ..face_sequence import FaceSequence
from .files import atomic_path

_PACKAGES = ("au-d3dface", "torch", "torchvision", "transformers", "mediapipe", "numpy", "av")


def summarize(sequences: Sequence[FaceSequence], timestamps: np.ndarray) -> dict[str, Any]:
    """What the sequences themselves can say: input, provenance, versions, counts, and one entry a face."""
    first = sequences[0] if sequences else None
    frames = len(timestamps)
    return {
        "input": {
            "path": first.source if first else None,
            "frames": frames,
            "seconds": float(timestamps[-1] - timestamps[0]) if frames else 0.0,
            "frame_rate": first.frame_rate if first else None,
            "height": first.height if first else None,
            "width": first.width if first else None,
        },
        "provenance": dict(first.provenance) if first else {},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "thresholds": dict(zip(_labels(first), np.round(first.thresholds, 6), strict=True)) if first else {},
        "counts": {
            "frames": frames,
            "faces": len(sequences),
            "frames_with_a_face": int(np.any([s.valid for s in sequences], axis=0).sum()) if first else 0,
        },
        "faces": [_face(sequence) for sequence in sequences],
    }


def write_summary(path: str | PathLike[str], content: Mapping[str, Any]) -> Path:
    """Writes JSON that every parser reads: numbers that are not finite become null, arrays lists, paths strings.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def _face(sequence: FaceSequence) -> dict[str, Any]:
    seen = np.flatnonzero(sequence.valid)
    events = sequence.events()
    return {
        "face_id": sequence.face_id,
        "valid_frames": len(seen),
        "first_frame": int(seen[0]) + 1 if len(seen) else None,
        "last_frame": int(seen[-1]) + 1 if len(seen) else None,
        "interpolated_frames": int(sequence.interpolated.sum()),
        "vertices": len(sequence.neutral_vertices),
        "appearance": sequence.texture is not None,
        "mean_confidence": float(sequence.confidence[sequence.valid].mean()) if len(seen) else None,
        "events": {
            label: sum(event.action_unit == unit for event in events)
            for label, unit in zip(_labels(sequence), sequence.action_units, strict=True)
        },
    }


def _labels(sequence: FaceSequence) -> list[str]:
    return [facs.label(number) for number in sequence.action_units]


def _plain(value: Any) -> Any:
    """The same in types that JSON has, single precision written as short as it is."""
    if isinstance(value, np.float32):
        value = float(str(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):  # bool is an int
        return value
    if isinstance(value, PathLike):
        return fspath(value)
    return str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
