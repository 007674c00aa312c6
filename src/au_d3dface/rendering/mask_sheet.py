"""Pictures of a face model's AU regions, the masks M_k of Eq. 7: for documentation, and to look at one's own mesh."""

from collections.abc import Sequence

import numpy as np
import torch

from .. import facs
from ..face_models import FaceModel
from .still import CLAY, draw_face, fit_view
from .strips import StripRow, compose_strip

INSIDE = (0.93, 0.45, 0.30)
"""Colour of a region."""

_COLUMNS = 7


@torch.inference_mode()
def draw_au_masks(face_model: FaceModel, action_units: Sequence[int] = facs.ALL, size: int = 220) -> np.ndarray:
    """Each action unit's region on the face at rest, with its name and its number of vertices.

    Args:
        face_model: gives template, faces and masks.
        action_units: N numbers.
        size: pixels a side of one picture.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: an action unit for which the model has no region.
    """
    masks = face_model.au_masks(action_units).cpu()
    vertices, faces = face_model.template.cpu(), face_model.faces.cpu()
    view = fit_view(vertices, size, size)
    pictures, captions = [], []
    for number, mask in zip(action_units, masks, strict=True):
        colors = torch.where(mask[:, None] > 0, torch.tensor(INSIDE), torch.tensor(CLAY))
        pictures.append(draw_face(vertices, faces, size, size, colors, view))
        known = facs.ACTION_UNITS.get(number)
        captions.append(f"{facs.label(number)} {known.name if known else ''}: {int(mask.sum())}")
    rows = []
    for start in range(0, len(pictures), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        empty = _COLUMNS - len(pictures[part]) if start else 0
        rows.append(StripRow("", [*pictures[part], *[None] * empty], [*captions[part], *[""] * empty]))
    title = f"Regions of action units on {face_model.name}, with their vertices of {len(vertices):,}"
    return compose_strip(rows, title=title, cell=(size, size))
