"""What a model card says of Table 1: distances of one checkpoint's meshes, by sequences and coarse meshes."""

from collections.abc import Mapping

from ..card_results import CardResult
from .aligning import Measuring
from .report import Table1

_TASK, _TASK_TYPE = "Reconstruction of the moving 3D face", "image-to-3d"
_ALIGNED = {"rigid": " after rigid ICP", "scale": " after ICP with scale", "none": ", without alignment"}
_SHOWN = 3  # sequences by name


def card_results(table: Table1, dataset: str, rows: Mapping[str, str | None]) -> list[CardResult]:
    """The rows that a card has: mean, SD and median over all vertices measured, and means by region.

    Args:
        dataset: short name. rows: of the checkpoint, to the row of the coarse meshes that it refines, or None.
    """
    return [
        CardResult(dataset, table.title, _split(table, row, coarse), _metrics(table, row, coarse), _TASK, _TASK_TYPE)
        for row, coarse in rows.items()
    ]


def _split(table: Table1, row: str, coarse: str | None) -> str:
    names = list(table.frames)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    sequences = f"{len(names)} sequence{'s' if len(names) > 1 else ''}"
    meshes = table.table.rows[row].meshes
    counted = f"{sequences} ({shown}), {meshes} mesh{'es' if meshes > 1 else ''}"
    refined = "" if coarse is None else f", refined from {coarse}"
    return counted + refined + _otherwise(table.measuring)


def _otherwise(measuring: Measuring) -> str:
    """How meshes were measured, if not as Table 1 is by default: a card has results of both ways side by side."""
    how = [] if measuring.align == "rigid" else [_ALIGNED[measuring.align].removeprefix(",").strip()]
    if measuring.align_regions is not None:
        how.append(f"aligned on {', '.join(measuring.align_regions)}")
    if measuring.measure == "all":
        how.append("all vertices")
    return "".join(f", {words}" for words in how)


def _metrics(table: Table1, row: str, coarse: str | None) -> dict[str, tuple[str, float | None]]:
    measuring, summaries = table.measuring, table.table.rows[row].summaries
    on = "" if measuring.align_regions is None else f" on {', '.join(measuring.align_regions)}"
    what = "" if measuring.measure == "face" else " of all vertices"
    distance = f"distance{what} to the true surface{_ALIGNED[measuring.align]}{on}, mm"
    whole = summaries["all"]
    metrics: dict[str, tuple[str, float | None]] = {
        f"mean {distance}": ("mean_distance_mm", whole.mean),
        f"SD of the {distance}": ("sd_distance_mm", whole.sd),
        f"median {distance}": ("median_distance_mm", whole.median),
    }
    if coarse is not None:
        metrics[f"coarse meshes, mean {distance}"] = "mean_distance_mm", table.table.rows[coarse].summaries["all"].mean
    metrics |= {
        f"{region}, mean {distance}": ("mean_distance_mm", part.mean)
        for region, part in summaries.items()
        if region != "all"
    }
    for name, averages in (
        ("each region rigidly aligned by itself, mean over the regions, mm", table.region_wise),
        ("MultiREX's region-wise protocol, mean over the regions, mm", table.multirex),
    ):
        if row in averages:
            metrics[name] = "mean_distance_mm", averages[row].mean
    return metrics
