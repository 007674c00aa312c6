"""The targets of the project beside what was reached, and why one is missed, as far as the measurements tell it."""

import operator
from pathlib import Path

from ..evaluation.real_clips.agreement import CORE
from ..evaluation.synthetic_people.mesh_scores import ERRORS
from ..facs import BP4D, DISFA, label
from .card_fields import Fields
from .card_tables import text_table

CORE_R, ROC_AREA, F1, MESH_RATIO, JITTER_RATIO, LAG, EVENT_F1, KAPPA = 0.60, 0.72, 0.85, 0.8, 0.5, 1.0, 0.9, 0.85
"""Set before anything was measured."""

_SHOWN = 3  # of the worst action units


def target_table(agreement: Fields, scores: Fields, frame_rates: list[Fields]) -> str:
    """Every target a row."""
    rows = [
        _at_least("core r with OpenFace, real clips", CORE_R, agreement.number("core_r"), _worst(agreement, "r", CORE)),
        _at_least(
            "mean ROC area with OpenFace, real clips",
            ROC_AREA,
            agreement.number("mean_roc_area"),
            _worst(agreement, "roc_area"),
        ),
    ]
    full = scores.part("action_units", "full")
    for name, units in (("BP4D", BP4D), ("DISFA", DISFA)):
        means = full.part("means", name)
        faint, strong = (means.number("by_intensity", level, "recall") for level in ("1", "3"))
        why = f"of intensity 1, {faint:.0%} is found, of 3, {strong:.0%}; {_worst(full, 'f1', units)}"
        rows.append(_at_least(f"macro F1 over the AUs of {name}, synthetic people", F1, means.number("f1"), why))
    for name, called in ERRORS.items():
        error = scores.part("meshes", "errors_mm", name)
        regions = [region for region in error.content if region not in ("samples", "all")]
        worst = max(regions, key=lambda region: error.number(region, "ratio"))
        why = f"refining helps least at the {worst} ({error.number(worst, 'ratio'):.2f})"
        called = f"refined as a share of coarse error: {called}"
        rows.append(_at_most(called, MESH_RATIO, error.number("all", "ratio"), why))
    jitter, lag = scores.part("meshes", "jitter_mm"), scores.part("meshes", "lag_samples", "refined")
    why = f"{jitter.number('refined'):.2f} mm are left of {jitter.number('coarse'):.2f}"
    rows.append(_at_most("refined as a share of coarse jitter", JITTER_RATIO, jitter.number("ratio"), why))
    rows.append(_at_most("mean lag of the refined mesh, samples", LAG, lag.number("mean"), "it comes later than that"))
    for video in frame_rates:
        rates = video.parts("rates")
        name = Path(video.text("video")).name
        events = min(rates, key=lambda rate: rate.number("events", "f1"))
        why = (
            f"at {events.number('rate'):g} a second {events.number('events', 'matched')} of "
            f"{events.number('events', 'at_full_rate')} events are found again"
        )
        rows.append(_at_least(f"event F1, lowest of all rates, {name}", EVENT_F1, events.number("events", "f1"), why))
        kappas = min(rates, key=lambda rate: rate.number("kappa"))
        why = f"it is lowest at {kappas.number('rate'):g} a second; {kappas.number('agreement'):.1%} of decisions agree"
        rows.append(_at_least(f"kappa, lowest of all rates, {name}", KAPPA, kappas.number("kappa"), why))
    return text_table(["target", "aim", "reached", "in words"], rows)


def _at_least(name: str, aim: float, value: float, why: str) -> list[str]:
    return [name, f"at least {aim:g}", f"{value:.3f}", _words(value, aim, operator.ge, why)]


def _at_most(name: str, aim: float, value: float, why: str) -> list[str]:
    return [name, f"at most {aim:g}", f"{value:.3f}", _words(value, aim, operator.le, why)]


def _words(value: float, aim: float, holds, why: str) -> str:
    return "reached" if holds(value, aim) else f"**missed** by {abs(value - aim):.3f}: {why}"


def _worst(scores: Fields, score: str, units: tuple[int, ...] | None = None) -> str:
    """The action units with the lowest scores, in words."""
    by_unit = scores.part("by_au")
    names = [name for name in by_unit.content if units is None or name in map(label, units)]
    known = {name: value for name in names if (value := by_unit.score(name, score)) is not None}
    worst = sorted(known, key=known.__getitem__)[:_SHOWN]
    return "lowest are " + ", ".join(f"{name} ({known[name]:.2f})" for name in worst)
