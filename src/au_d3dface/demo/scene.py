"""What the player draws, as one compact binary: `pack_scene` of whole sequences, `LiveScene` of the newest samples.

Layout: a little-endian uint32 with the length of the JSON that follows, the JSON (UTF-8, padded so that what follows
lies on a multiple of 8), then the arrays. The JSON names each array's type, shape and offset from the end of the JSON.
Positions are int16 steps of `step` metres, at most 5 micrometres on a face; probabilities are 255ths.
Frames between two samples of the network are left out of `vertices`: they are linear, and the player makes them again.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .. import facs
from ..export.overlay import HOT_MOTION
from ..face_sequence import FaceSequence
from ..rendering import heat_colors
from ..streaming import LiveFace

_COLOURS = 64


def pack_scene(sequences: Sequence[FaceSequence]) -> bytes:
    """Everyone of a video.

    Args:
        sequences: people of one video, at least one.
    """
    first = sequences[0]
    arrays: dict[str, np.ndarray] = {"times": first.timestamps.astype(np.float32)}
    people = []
    for number, sequence in enumerate(sequences):
        rows = np.flatnonzero(sequence.valid & ~sequence.interpolated)
        step = _step(sequence.vertices[rows], sequence.neutral_vertices)
        arrays |= {
            f"{number}.rows": rows.astype(np.int32),
            f"{number}.valid": sequence.valid.astype(np.uint8),
            f"{number}.vertices": _quantised(sequence.vertices[rows], step),
            f"{number}.neutral": _quantised(sequence.neutral_vertices, step),
            f"{number}.faces": sequence.faces.astype(np.uint32),
            f"{number}.masks": sequence.au_masks.astype(np.uint8),
            f"{number}.rotation": sequence.rotation.astype(np.float32),
            f"{number}.probabilities": _share(sequence.au_probabilities),
            f"{number}.active": sequence.au_activity.astype(np.uint8),
        }
        seen = sequence.translation[sequence.valid, 0]
        across = float(np.median(seen)) / sequence.width if len(seen) else 0.5  # 0 left, 1 right in the picture
        people.append(
            {"face_id": sequence.face_id, "across": round(across, 3), "step": step, "events": event_rows(sequence)}
        )
    return _packed(
        {
            **_common(first.action_units, first.thresholds),
            "people": people,
            "height": first.height,
            "width": first.width,
        },
        arrays,
    )


def events_of(packed: bytes) -> list[dict[str, Any]]:
    """The `event_rows` of everyone in what `pack_scene` gave, each with its `face_id`."""
    (length,) = struct.unpack_from("<I", packed)
    people = json.loads(packed[4 : 4 + length])["people"]
    return [{"face_id": person["face_id"], **event} for person in people for event in person["events"]]


class LiveScene:
    """Samples of one person while a video is being tracked; `pack` gives those since the last call.

    Args:
        faces, au_masks: as in `FaceSequence`.
        action_units, thresholds: the checkpoint's.
        height, width: of the video, pixels.
    """

    def __init__(
        self,
        faces: np.ndarray,
        au_masks: np.ndarray,
        action_units: Sequence[int],
        thresholds: np.ndarray,
        height: int,
        width: int,
    ) -> None:
        self._faces, self._masks = faces.astype(np.uint32), au_masks.astype(np.uint8)
        self._header = {**_common(action_units, thresholds), "height": height, "width": width}
        self._thresholds = thresholds
        self._samples: list[tuple[float, LiveFace]] = []

    def add(self, timestamp: float, face: LiveFace) -> None:
        """One sample of the network."""
        self._samples.append((timestamp, face))

    def __len__(self) -> int:
        return len(self._samples)

    def pack(self) -> bytes:
        """A scene of the samples added since the last call, at least one; its only person is the one of the newest."""
        samples, self._samples = self._samples, []
        faces = [face for _, face in samples]
        vertices = np.stack([face.vertices for face in faces])
        probabilities = np.stack([face.au_probabilities for face in faces])
        neutral = faces[-1].neutral_vertices
        step = _step(vertices, neutral)
        arrays = {
            "times": np.array([time for time, _ in samples], np.float32),
            "0.rows": np.arange(len(samples), dtype=np.int32),
            "0.valid": np.ones(len(samples), np.uint8),
            "0.vertices": _quantised(vertices, step),
            "0.neutral": _quantised(neutral, step),
            "0.faces": self._faces,
            "0.masks": self._masks,
            "0.rotation": np.stack([face.rotation for face in faces]).astype(np.float32),
            "0.probabilities": _share(probabilities),
            "0.active": (probabilities >= self._thresholds).astype(np.uint8),
        }
        person = {"face_id": faces[-1].face_id, "step": step, "events": []}
        return _packed({**self._header, "people": [person]}, arrays)


def event_rows(sequence: FaceSequence) -> list[dict[str, Any]]:
    """The activations for people to read: times in seconds, the peak probability, the AU's name and muscle."""
    rows = []
    for event in sequence.events():
        known = facs.ACTION_UNITS.get(event.action_unit)
        rows.append(
            {
                "unit": facs.label(event.action_unit),
                "name": known.name if known else "",
                "muscle": known.muscle if known else "",
                "onset": round(event.onset_time, 3),
                "apex": round(event.apex_time, 3),
                "offset": round(event.offset_time, 3),
                "peak": round(event.peak_probability, 3),
            }
        )
    return rows


def _common(action_units: Sequence[int], thresholds: np.ndarray) -> dict[str, Any]:
    units = []
    for number, threshold in zip(action_units, thresholds, strict=True):
        known = facs.ACTION_UNITS.get(number)
        units.append(
            {
                "label": facs.label(number),
                "name": known.name if known else "",
                "muscle": known.muscle if known else "",
                "region": known.region if known else "",
                "threshold": round(float(threshold), 4),
            }
        )
    colours = heat_colors(torch.linspace(0, HOT_MOTION, _COLOURS), HOT_MOTION)
    return {
        "version": 1,
        "units": units,
        "hot": HOT_MOTION,
        "colours": np.round(colours.numpy(), 4).tolist(),
    }


def _step(vertices: np.ndarray, neutral: np.ndarray) -> float:
    reach = max(float(np.abs(neutral).max()), float(np.abs(vertices).max(initial=0.0)))
    return max(reach, 1e-6) / 32767


def _quantised(points: np.ndarray, step: float) -> np.ndarray:
    return np.clip(np.round(points / step), -32767, 32767).astype(np.int16)


def _share(probabilities: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(np.nan_to_num(probabilities), 0, 1)).astype(np.uint8)


def _packed(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    body, places = bytearray(), {}
    for name, array in arrays.items():
        body += b"\0" * (-len(body) % 8)
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
        places[name] = {"type": array.dtype.name, "shape": list(array.shape), "offset": len(body)}
        body += little.tobytes()
    text = json.dumps({**header, "arrays": places}).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return struct.pack("<I", len(text)) + text + bytes(body)
