"""The paper's F1 scores on BP4D and DISFA, Tables 2 and 3, as printed: per cent, three folds, by action unit.

Averages are the paper's own and differ from the mean of a row by rounding.
"""

from dataclasses import dataclass

from .. import facs


@dataclass(frozen=True)
class PaperRow:
    """One row: the method, F1 of every action unit in the benchmark's order, and the average, all in per cent."""

    method: str
    f1: tuple[float, ...]
    average: float


ACTION_UNITS: dict[str, tuple[int, ...]] = {"bp4d": facs.BP4D, "disfa": facs.DISFA}

PAPER_F1: dict[str, tuple[PaperRow, ...]] = {
    "bp4d": (
        PaperRow("DECA + MLP", (54.5, 40.1, 53.2, 54.7, 70.8, 74.0, 71.2, 51.8, 42.6, 66.2, 51.0, 41.4), 56.1),
        PaperRow("EMOCA + MLP", (54.1, 51.2, 57.4, 45.4, 73.7, 64.2, 77.5, 55.8, 44.3, 67.8, 53.5, 44.7), 57.5),
        PaperRow("spatial", (56.8, 59.5, 64.8, 70.2, 79.5, 76.2, 80.4, 61.7, 44.6, 60.6, 48.5, 58.2), 63.4),
        PaperRow("temporal + spatial", (54.5, 56.2, 67.1, 72.3, 81.4, 84.9, 87.5, 61.4, 43.8, 67.3, 52.5, 64.3), 66.0),
    ),
    "disfa": (
        PaperRow("DECA + MLP", (44.7, 40.5, 55.2, 50.5, 48.0, 66.4, 77.0, 50.7), 54.1),
        PaperRow("EMOCA + MLP", (44.5, 41.2, 54.8, 50.5, 48.9, 67.8, 78.5, 51.1), 54.7),
        PaperRow("spatial", (46.8, 48.9, 45.6, 72.0, 68.8, 84.5, 61.4, 51.3), 60.0),
        PaperRow("temporal + spatial", (47.7, 50.5, 48.2, 70.6, 70.2, 86.2, 62.5, 52.7), 61.1),
    ),
}
"""By benchmark. The last two are the paper's own models, which read meshes and video."""
