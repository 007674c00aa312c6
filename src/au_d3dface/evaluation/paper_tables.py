"""The paper's F1 scores on BP4D and DISFA, Tables 2 to 4, as printed: per cent, three folds.

Averages are the paper's own and differ from the mean of a row by rounding.
"""

from dataclasses import dataclass

from .. import facs


@dataclass(frozen=True)
class PaperRow:
    """One row: the method, F1 of every action unit in the benchmark's order, and the average, all in per cent.

    `*` before a name marks, as in the paper, a method that reads sequences.
    """

    method: str
    f1: tuple[float, ...]
    average: float


ACTION_UNITS: dict[str, tuple[int, ...]] = {"bp4d": facs.BP4D, "disfa": facs.DISFA}

PAPER_F1: dict[str, tuple[PaperRow, ...]] = {
    "bp4d": (
        PaperRow("DECA + MLP", (54.5, 40.1, 53.2, 54.7, 70.8, 74.0, 71.2, 51.8, 42.6, 66.2, 51.0, 41.4), 56.1),
        PaperRow("EMOCA + MLP", (54.1, 51.2, 57.4, 45.4, 73.7, 64.2, 77.5, 55.8, 44.3, 67.8, 53.5, 44.7), 57.5),
        PaperRow("Kuang et al. 2022", (55.2, 57.0, 53.7, 66.7, 77.8, 76.4, 79.7, 59.8, 44.1, 60.1, 53.6, 46.0), 60.8),
        PaperRow("SRERL", (46.9, 45.3, 55.6, 77.1, 78.4, 83.5, 87.6, 63.9, 52.2, 63.9, 47.1, 53.3), 62.1),
        PaperRow("LP-Net", (43.4, 38.0, 54.2, 77.1, 76.7, 83.8, 87.2, 63.3, 45.3, 60.5, 48.1, 54.2), 61.0),
        PaperRow("FAU", (51.7, 49.3, 61.0, 77.8, 79.5, 82.9, 86.3, 67.6, 51.9, 63.0, 43.7, 56.3), 64.2),
        PaperRow("*Biomechanics-AU", (57.4, 52.6, 64.6, 79.3, 81.5, 82.7, 85.6, 67.9, 47.3, 58.0, 47.0, 44.9), 64.1),
        PaperRow("the model, spatial", (56.8, 59.5, 64.8, 70.2, 79.5, 76.2, 80.4, 61.7, 44.6, 60.6, 48.5, 58.2), 63.4),
        PaperRow(
            "*the model, temporal + spatial",
            (54.5, 56.2, 67.1, 72.3, 81.4, 84.9, 87.5, 61.4, 43.8, 67.3, 52.5, 64.3),
            66.0,
        ),
    ),
    "disfa": (
        PaperRow("DECA + MLP", (44.7, 40.5, 55.2, 50.5, 48.0, 66.4, 77.0, 50.7), 54.1),
        PaperRow("EMOCA + MLP", (44.5, 41.2, 54.8, 50.5, 48.9, 67.8, 78.5, 51.1), 54.7),
        PaperRow("SRERL", (45.7, 47.8, 59.6, 47.1, 45.6, 73.5, 84.3, 43.6), 55.9),
        PaperRow("LP-Net", (29.9, 24.7, 72.7, 46.8, 49.6, 72.9, 93.8, 65.0), 56.9),
        PaperRow("FAU", (46.1, 48.6, 72.8, 56.7, 50.0, 72.1, 90.8, 55.4), 61.5),
        PaperRow("*Biomechanics-AU", (41.5, 44.9, 60.3, 51.5, 50.3, 70.4, 91.3, 55.3), 58.2),
        PaperRow("the model, spatial", (46.8, 48.9, 45.6, 72.0, 68.8, 84.5, 61.4, 51.3), 60.0),
        PaperRow("*the model, temporal + spatial", (47.7, 50.5, 48.2, 70.6, 70.2, 86.2, 62.5, 52.7), 61.1),
    ),
}
"""By benchmark. The last two are the paper's own models, which read meshes and video; the MLPs are its baselines."""

PLOTTED = ("DECA + MLP", "EMOCA + MLP", "the model, spatial", "*the model, temporal + spatial")
"""The rows that a plot shows: those that the paper's authors measured on their own."""

PAPER_TABLE4 = {
    ("video", "temporal"): (59.8, 56.2),
    ("mesh", "temporal"): (60.1, 54.6),
    ("mesh", "spatial"): (62.6, 56.4),
    ("mesh", "temporal + spatial"): (63.1, 58.8),
    ("mesh + video", "temporal"): (61.6, 58.9),
    ("mesh + video", "spatial"): (63.4, 60.0),
    ("mesh + video", "temporal + spatial"): (66.0, 61.0),
}
"""Table 4: average F1 on BP4D and DISFA by input and modules."""
