"""The figure of errors as colour, as the paper's Fig. 4: one true surface a column, one method a row, one scale."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ...geometry import ICPSettings
from ...rendering import ColourScale, StripRow, compose_strip, draw_error_map, draw_face, error_maximum, fit_view
from ..reports import number
from .surface_errors import BORDER_REACH, FACE_REACH, MethodErrors, TrueFace, all_errors, true_faces

CELL = 320


@dataclass(frozen=True)
class ErrorCase:
    """What is compared: K frames of one person.

    Attributes:
        truth: (K, W, 3) metres, in any frame of reference. faces: (F, 3).
        truth_is: for people, what is taken for true.
        heads: K texts, over the columns.
        ours: (K, P, 3) metres by name, in the head frame; may be empty.
        reference: (K, P, 3), or (P, 3), in the head frame: the facemesh that finds the face on the truth.
        reference_faces: (G, 3).
        others: (K, V, 3) metres in any frame of reference, and (F, 3), by name.
        pictures: K times (H, W, 3) uint8, or nothing.
        frames: K numbers, for JSON.
    """

    truth: np.ndarray
    faces: np.ndarray
    truth_is: str
    heads: Sequence[str]
    ours: Mapping[str, np.ndarray]
    reference: np.ndarray
    reference_faces: np.ndarray
    others: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    pictures: Sequence[np.ndarray] = ()
    frames: Sequence[int] = ()


def error_figure(case: ErrorCase, settings: ICPSettings | None = None, cell: int = CELL) -> tuple[np.ndarray, dict]:
    """The picture and its numbers.

    Meshes are turned into the head frame for drawing, all through one camera; vertices that are not measured are grey.

    Returns:
        (H, W, 3) uint8, and what JSON says: by method the means of each frame and of all, and how it was aligned.

    Raises:
        InputError: a mesh is not finite, or no face is found on it.
    """
    settings = settings or ICPSettings()
    truth = true_faces(case.truth, case.faces, case.reference, case.reference_faces)
    methods = all_errors(truth, case.ours, case.reference_faces, case.others, settings)
    maximum = error_maximum([method.errors for method in methods.values()])
    centres = [true.to_head(true.reference).mean(0) for true in truth]

    def turned(points: np.ndarray, row: int) -> np.ndarray:
        return truth[row].to_head(points) - centres[row]

    columns = range(len(truth))
    view = fit_view(np.stack([turned(true.reference, k) for k, true in enumerate(truth)]), cell, cell, margin=0.12)
    rows = [StripRow("input", list(case.pictures))] if len(case.pictures) else []
    rows.append(
        StripRow("truth", [draw_face(turned(truth[k].vertices, k), case.faces, cell, cell, view=view) for k in columns])
    )
    partly = any(np.isnan(method.errors).any() for method in methods.values())
    scale = ColourScale(maximum, unknown=partly, unknown_label="not measured")
    for name, method in methods.items():
        maps = [
            draw_error_map(turned(method.aligned[k], k), method.faces, method.errors[k], maximum, cell, cell, view)
            for k in columns
        ]
        rows.append(StripRow(name, maps, [f"mean {mean:.2f} mm" for mean in method.means], scale))
    title = f"Distance from the truth after ICP: {case.truth_is}"
    return compose_strip(rows, case.heads, title=title, cell=(cell, cell)), _numbers(
        case, methods, truth, settings, maximum
    )


def _numbers(
    case: ErrorCase,
    methods: Mapping[str, MethodErrors],
    truth: Sequence[TrueFace],
    settings: ICPSettings,
    maximum: float,
) -> dict[str, Any]:
    def summary(method: MethodErrors) -> dict[str, Any]:
        known = method.errors[~np.isnan(method.errors)]
        return {
            "mean_mm": number(known.mean()),
            "sd_mm": number(known.std()),
            "median_mm": number(float(np.median(known))),
            "mean_by_frame_mm": [number(mean) for mean in method.means],
            "vertices": method.errors.shape[1],
            "measured_vertices": (~np.isnan(method.errors)).sum(1).tolist(),
            "icp_iterations": method.iterations.tolist(),
            "icp_converged": method.converged.tolist(),
            "icp_scale": [number(value) for value in method.scales],
        }

    return {
        "truth": case.truth_is,
        "frames": [int(frame) for frame in case.frames],
        "columns": list(case.heads),
        "true_vertices": int(case.truth.shape[1]),
        "true_triangles_of_the_face": [int(true.face.sum()) for true in truth],
        "icp": {"kind": "vertex to surface, Huber"} | asdict(settings),
        "face_reach_mm": 1000 * FACE_REACH,
        "border_reach_mm": 1000 * BORDER_REACH,
        "colour_maximum_mm": maximum,
        "methods": {name: summary(method) for name, method in methods.items()},
    }
