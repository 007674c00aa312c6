"""The figure of errors as colour, as the paper's Fig. 4: one true surface a column, one method a row, one scale.

It shows what Table 1 measures, to the last decimal: the same vertices of each method, aligned and measured by the same
function (`meshes.aligning.align`). In a video ICP starts from the frame before, so the frames before those that are
shown are aligned too. Vertices that are not measured are grey.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import InputError, UsageError
from ...geometry import Similarity
from ...metrics import summarize_distances
from ...rendering import ColourScale, StripRow, compose_strip, draw_error_map, draw_face, error_maximum, fit_view
from ..meshes.aligning import AlignedMeshes, Measuring, align
from ..meshes.methods import Method
from ..meshes.truths import Truth
from ..reports import number

CELL = 320

_HOW = {"rigid": "after rigid ICP", "scale": "after ICP with scale", "none": "without alignment"}


@dataclass(frozen=True)
class ErrorCase:
    """What is compared: K frames of one sequence.

    Attributes:
        truth: the sequence.
        truth_is: for people, what is taken for true.
        frames: K numbers, which the truth and all methods have; a column each, in this order.
        heads: K texts, over the columns.
        methods: a row each.
        pictures: K times (H, W, 3) uint8, or nothing.
    """

    truth: Truth
    truth_is: str
    frames: Sequence[int]
    heads: Sequence[str]
    methods: Sequence[Method]
    pictures: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class MethodErrors:
    """One method.

    Attributes:
        aligned: of all frames up to the last that is shown. faces: (F, 3) of its meshes.
        rows: (K,) of the frames that are shown.
    """

    aligned: AlignedMeshes
    faces: np.ndarray
    rows: list[int]

    @classmethod
    def of(cls, case: ErrorCase, method: Method, measuring: Measuring) -> "MethodErrors":
        """Aligns and measures it. Raises InputError and UsageError as `error_figure`."""
        truth = case.truth.at([frame for frame in case.truth.frames if frame <= max(case.frames)])
        meshes = method.meshes(truth)
        if not len(meshes.faces):
            raise InputError(
                f"the meshes of {method.name} have no triangles to draw; put one mesh with them beside, as template.obj"
            )
        # A method may lack frames that are not shown.
        aligned = align(truth, method, meshes, replace(measuring, skip_missing=True))
        return cls(aligned, meshes.faces, [aligned.frames.index(frame) for frame in case.frames])

    @property
    def measured(self) -> np.ndarray:
        """(K, n) millimetres, of the measured vertices."""
        return self.aligned.distances.distances[self.rows]

    @property
    def means(self) -> list[float]:
        """K millimetres."""
        return [float(errors.mean(dtype=np.float64)) for errors in self.measured]

    @property
    def partly(self) -> bool:
        """Whether there are vertices that are not measured."""
        return len(self.aligned.rows) < self.aligned.vertices.shape[1]

    def placed(self) -> np.ndarray:
        """(K, V, 3) metres: the meshes where they were measured."""
        return np.stack([self.aligned.placed(row) for row in self.rows])

    def errors(self) -> np.ndarray:
        """(K, V) millimetres; NaN where not measured."""
        found = np.full((len(self.rows), self.aligned.vertices.shape[1]), np.nan)
        found[:, self.aligned.rows] = self.measured
        return found

    def numbers(self) -> dict[str, Any]:
        """For JSON."""
        summary, distances = summarize_distances(self.measured)["all"], self.aligned.distances
        transforms = [distances.transforms[row] for row in self.rows] if distances.transforms else []
        return {
            "mean_mm": number(summary.mean),
            "sd_mm": number(summary.sd),
            "median_mm": number(summary.median),
            "mean_by_frame_mm": [number(mean) for mean in self.means],
            "vertices": self.aligned.vertices.shape[1],
            "measured_vertices": len(self.aligned.rows),
            "icp_vertices": distances.aligned_vertices,
            "icp_iterations": distances.iterations[self.rows].tolist(),
            "icp_converged": distances.converged[self.rows].tolist(),
            "icp_scale": [number(transform.scale) for transform in transforms],
        }


def error_figure(case: ErrorCase, measuring: Measuring | None = None, cell: int = CELL) -> tuple[np.ndarray, dict]:
    """The picture and its numbers.

    Meshes are turned into the head frame for drawing, all through one camera.

    Returns:
        (H, W, 3) uint8, and what JSON says: by method the means of each frame and of all, and how it was aligned.

    Raises:
        InputError: files that are missing or damaged, a mesh that is not finite, no face on it, or regions that do not
            fit.
        UsageError: a region to align that a method's meshes do not have, or two methods of one name.
    """
    measuring = measuring or Measuring()
    names = [method.name for method in case.methods]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two rows are called {twice[0]!r}; give them different names")
    methods = {method.name: MethodErrors.of(case, method, measuring) for method in case.methods}
    maximum = error_maximum([method.measured for method in methods.values()])
    turns, upright = _turns(case)

    def turned(meshes: np.ndarray) -> list[np.ndarray]:
        return [turn(mesh) for turn, mesh in zip(turns, meshes, strict=True)]

    placed = {name: turned(method.placed()) for name, method in methods.items()}
    # The camera looks at what is measured: a method may have a neck, and the truth shoulders.
    looked_at = [mesh[method.aligned.rows] for name, method in methods.items() for mesh in placed[name]]
    view = fit_view(np.concatenate(looked_at), cell, cell, margin=0.12)
    true = [case.truth.load([frame]) for frame in case.frames]
    surfaces = turned(np.stack([surface.vertices[0] for surface in true]))
    rows = [StripRow("input", list(case.pictures))] if len(case.pictures) else []
    rows.append(StripRow("truth", [draw_face(mesh, true[0].faces, cell, cell, view=view) for mesh in surfaces]))
    scale = ColourScale(
        maximum, unknown=any(method.partly for method in methods.values()), unknown_label="not measured"
    )
    for name, method in methods.items():
        maps = [
            draw_error_map(mesh, method.faces, errors, maximum, cell, cell, view)
            for mesh, errors in zip(placed[name], method.errors(), strict=True)
        ]
        rows.append(StripRow(name, maps, [f"mean {mean:.2f} mm" for mean in method.means], scale))
    title = f"Distance from the truth {_HOW[measuring.align]}: {case.truth_is}"
    numbers = {
        "truth": case.truth_is,
        "sequence": case.truth.name,
        "frames": list(case.frames),
        "columns": list(case.heads),
        "true_vertices": true[0].vertices.shape[1],
        "measuring": measuring.numbers(),
        "drawn": "in the head frame" if upright else "as the true meshes lie: no face was found on them",
        "colour_maximum_mm": maximum,
        "methods": {name: method.numbers() for name, method in methods.items()},
    }
    return compose_strip(rows, case.heads, title=title, cell=(cell, cell)), numbers


def _turns(case: ErrorCase) -> tuple[list[Similarity], bool]:
    """How each frame is turned for drawing, and whether that is into the head frame.

    Where no face is found on the truth, no method was aligned by one (or that had been an error), and regions or whole
    meshes are measured; they are drawn as they lie.
    """
    try:
        return [case.truth.to_head(frame) for frame in case.frames], True
    except InputError:
        return [Similarity() for _ in case.frames], False
