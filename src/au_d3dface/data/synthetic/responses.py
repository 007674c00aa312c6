"""How a tracked face answers action units: one displacement field per AU and side, from one source each.

The tracker's answer to an AU is not the AU's geometry: it keeps a part of its size, and its direction only roughly. So
answers are measured (on rendered faces) or learned elsewhere (on real people), and sequences mix them.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import facs
from ...errors import InputError
from ...tracking import NUM_LANDMARKS

OUTER_EYE_CORNERS = (33, 263)
OUTER_EYE_DISTANCE = 0.089
"""Metres between the outer eye corners of the average adult, to give sources without a scale one."""
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for a file that is missing, damaged or no npz."""


@dataclass(frozen=True)
class ResponseSource:
    """Answers of tracked landmarks to action units at full intensity (5), in the head frame.

    Attributes:
        name: for provenance.
        displacement: (19, 2, 478, 3) metres for facs.ALL and the subject's (left, right) side.
        known: (19,) bool, the AUs that this source has; the others are zero.
    """

    name: str
    displacement: np.ndarray
    known: np.ndarray


def read_pyfeat_map(path: str | Path) -> ResponseSource:
    """Reads py-feat's `au_to_mesh_pls` file: a linear map from AUs to tracked meshes, learned on real people.

    The map is of whole faces; each AU is split into a left and a right half that fade into each other within 1 cm of
    the midline. Its 43 (eyes closed) serves as AU 45. AUs that it does not have stay unknown.

    Raises:
        InputError: the file is missing or is not such a map.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            coefficients = archive["coef"].reshape(-1, 3, NUM_LANDMARKS).transpose(0, 2, 1).astype(np.float32)
            neutral = archive["intercept"].reshape(3, NUM_LANDMARKS).T.astype(np.float32)
            columns = [str(name) for name in archive["input_columns"]]
    except _UNREADABLE as error:
        raise InputError(f"{path} is not a py-feat AU-to-mesh map ({error}); give the .npz of version 4") from error
    right, left = OUTER_EYE_CORNERS
    unit = OUTER_EYE_DISTANCE / np.linalg.norm(neutral[left] - neutral[right])
    neutral, coefficients = unit * (neutral - neutral.mean(0)), unit * coefficients
    left_share = left_side_weight(neutral)
    displacement = np.zeros((len(facs.ALL), 2, NUM_LANDMARKS, 3), np.float32)
    known = np.zeros(len(facs.ALL), bool)
    for row, au in enumerate(facs.ALL):
        name = facs.label(43 if au == 45 else au)
        if name in columns:
            whole = coefficients[columns.index(name)]
            displacement[row] = left_share[:, None] * whole, (1 - left_share)[:, None] * whole
            known[row] = True
    return ResponseSource("py-feat AU-to-mesh map of real people", displacement, known)


def left_side_weight(neutral: np.ndarray) -> np.ndarray:
    """(P,) in [0, 1]: how much of a point belongs to the subject's left, fading within 1 cm of the midline.

    Args:
        neutral: (P, 3) metres, x to the subject's left, centred on the midline.
    """
    position = np.clip(neutral[:, 0] / 0.01, -1, 1)
    return (0.5 + 0.75 * position - 0.25 * position**3).astype(np.float32)


def smooth_fields(neutral: np.ndarray, count: int, length_scale: float) -> np.ndarray:
    """Basis of smooth random scalar fields over a face: eigenvectors of a Gaussian kernel, largest first.

    Args:
        neutral: (P, 3) metres.
        count: fields kept.
        length_scale: metres over which neighbouring points err alike.

    Returns:
        (count, P), scaled so that standard normal weights give a field of unit variance on average.
    """
    squared = ((neutral[:, None] - neutral[None]) ** 2).sum(-1)
    values, vectors = np.linalg.eigh(np.exp(-squared / (2 * length_scale**2)))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    fields = (vectors * np.sqrt(np.maximum(values, 0))).T
    return (fields / np.sqrt((fields**2).sum(0).mean())).astype(np.float32)
