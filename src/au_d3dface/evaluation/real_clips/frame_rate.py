"""What the frame rate of a video changes: one video reconstructed whole, and again from fewer of its frames.

A lower rate keeps, for each of its times, the nearest frame of the video, untouched; the tracker never sees
the others. Decisions (of each frame for itself) and events (with hysteresis, `FaceSequence.au_activity`) are compared
at the times of the coarsest rate, which every rate has, so that an event is not called different only because it was
sampled more finely.
"""

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from ... import facs
from ...errors import InputError, UsageError
from ...face_sequence import FaceSequence
from ...metrics import EventScores, cohen_kappa, event_intervals, event_scores, pooled_event_scores
from ...pipeline_au_d3dface import AUD3DFacePipeline, Progress
from ...video import SelectedFrames, VideoReader, sample_frames
from ..reports import cell, markdown_table, number

DEFAULT_RATES = (10.0, 15.0, 25.0, 30.0)
"""Frames a second that are tried where none are named, as far as the video has more."""

# A rate is lower than the video's if it leaves out at least this share of the frames.
_FEWER = 0.01


@dataclass(frozen=True)
class RateComparison:
    """One lower rate against the full one, at the common times.

    Attributes:
        rate: frames a second.
        frames: how many frames of the video were kept.
        samples: common times at which both saw the face; the others count for nothing, and end an event in both.
        agreement: share of equal decisions, all AUs together.
        kappa: Cohen's kappa of the decisions, all AUs together; NaN where both say one thing throughout.
        kappas: (N,) the same by AU.
        events: agreement of the events by AU; `reference` is the full rate.
    """

    rate: float
    frames: int
    samples: int
    agreement: float
    kappa: float
    kappas: np.ndarray
    events: list[EventScores]

    @property
    def pooled_events(self) -> EventScores:
        """All AUs together."""
        return pooled_event_scores(self.events)


@dataclass(frozen=True)
class FrameRateReport:
    """All rates of one video.

    Attributes:
        video: as given.
        full_rate: frames a second of the video.
        frames: of the video.
        grid_rate: of the common times, the coarsest rate.
        action_units: the N numbers.
        rates: the comparisons, rates increasing.
        warnings: sentences for people.
    """

    video: str
    full_rate: float
    frames: int
    grid_rate: float
    action_units: tuple[int, ...]
    rates: list[RateComparison]
    warnings: list[str]

    def numbers(self) -> dict:
        """Everything, for JSON."""
        return {
            "video": self.video,
            "full_rate": round(self.full_rate, 3),
            "frames": self.frames,
            "grid_rate": self.grid_rate,
            "warnings": self.warnings,
            "rates": [
                {
                    "rate": entry.rate,
                    "frames": entry.frames,
                    "samples": entry.samples,
                    "agreement": number(entry.agreement),
                    "kappa": number(entry.kappa),
                    "events": _event_numbers(entry.pooled_events),
                    "by_au": {
                        facs.label(unit): {"kappa": number(kappa), "events": _event_numbers(events)}
                        for unit, kappa, events in zip(self.action_units, entry.kappas, entry.events, strict=True)
                    },
                }
                for entry in self.rates
            ],
        }

    def text(self) -> str:
        """Two tables, by rate and by AU, in Markdown."""
        header = ["rate", "frames", "samples", "events", "at full rate", "matched", "event F1"]
        header += ["onset error, s", "offset error, s", "kappa", "agreement"]
        rows = []
        for entry in self.rates:
            events = entry.pooled_events
            counts = (entry.frames, entry.samples, events.num_events, events.num_reference, events.num_matched)
            rows.append([f"{entry.rate:g}", *map(str, counts), cell(events.f1, 3)])
            rows[-1] += [cell(events.onset_error, 3), cell(events.offset_error, 3)]
            rows[-1] += [cell(entry.kappa, 3), cell(entry.agreement, 3)]
        units = ["AU", "events at full rate"]
        units += [f"{score} at {entry.rate:g}" for entry in self.rates for score in ("event F1", "kappa")]
        by_unit = [
            [facs.label(unit), str(self.rates[0].events[k].num_reference)]
            + [text for entry in self.rates for text in (cell(entry.events[k].f1), cell(entry.kappas[k]))]
            for k, unit in enumerate(self.action_units)
        ]
        return "\n".join(
            [
                f"Against all {self.frames} frames ({self.full_rate:.2f} a second), all AUs together, compared "
                f"{self.grid_rate:g} times a second:",
                "",
                markdown_table(header, rows),
                "",
                "By AU:",
                "",
                markdown_table(units, by_unit),
            ]
        )


def evaluate_frame_rates(
    pipeline: AUD3DFacePipeline,
    video: str | PathLike[str],
    rates: Sequence[float] | None = None,
    progress: Progress | None = None,
) -> FrameRateReport:
    """Reconstructs a video at its own and at lower rates, and compares the most prominent face of each.

    Args:
        pipeline: reconstructs; its reader is replaced in a copy.
        video: a video file or a folder of frames.
        rates: frames a second, each lower than the video's; `DEFAULT_RATES` as far as they are, where None.
        progress: called as work proceeds, with the rate in the name of the stage.

    Raises:
        UsageError: a rate that is not positive, or not lower than the video's; no rate.
        InputError: the video cannot be read, or both never saw the face at one time.
        NoFaceError: no face at some rate.
    """
    chosen = checked_rates(video, rates)
    report = progress or (lambda stage, done, total: None)

    def named(rate: str) -> Progress:
        return lambda stage, done, total: report(f"{rate}: {stage}", done, total)

    whole = pipeline.reconstruct(video, progress=named("full rate"))
    full = whole.sequences[0]
    warnings = list(whole.warnings)
    if whole.num_people > 1:
        warnings.append(f"{whole.num_people} people were found; the most prominent one at each rate is compared")
    comparisons = []
    for rate in chosen:
        every = np.ones(len(whole.timestamps), bool)
        kept = sample_frames(whole.timestamps, every, rate)
        kept = kept[kept >= 0]
        decimated = copy.copy(pipeline)
        decimated.reader = functools.partial(SelectedFrames, frames=kept)
        sequence = decimated.reconstruct(video, progress=named(f"{rate:g} frames a second")).sequences[0]
        comparisons.append(compare_rates(full, sequence, rate, chosen[0]))
    return FrameRateReport(str(video), full.frame_rate, len(full), chosen[0], full.action_units, comparisons, warnings)


def compare_rates(full: FaceSequence, lower: FaceSequence, rate: float, grid_rate: float) -> RateComparison:
    """Compares one face at a lower rate with the same face at the full rate.

    At each common time, k / grid_rate, each sequence says what it decided in its nearest frame.

    Raises:
        InputError: there is no common time at which both saw the face.
    """
    rows, lower_rows = (
        sample_frames(sequence.timestamps, np.ones(len(sequence), bool), grid_rate) for sequence in (full, lower)
    )
    length = min(len(rows), len(lower_rows))
    rows, lower_rows = rows[:length], lower_rows[:length]
    seen = (rows >= 0) & (lower_rows >= 0) & full.valid[rows] & lower.valid[lower_rows]
    if not seen.any():
        raise InputError(
            f"the face that was followed at {rate:g} frames a second is at no time the one seen at the full rate"
        )
    decisions, lower_decisions = full.au_decisions[rows] & seen[:, None], lower.au_decisions[lower_rows] & seen[:, None]
    activity, lower_activity = full.au_activity[rows] & seen[:, None], lower.au_activity[lower_rows] & seen[:, None]
    times = np.arange(length) / grid_rate
    return RateComparison(
        rate=rate,
        frames=len(lower),
        samples=int(seen.sum()),
        agreement=float((decisions == lower_decisions)[seen].mean()),
        kappa=float(cohen_kappa(lower_decisions[seen].reshape(-1, 1), decisions[seen].reshape(-1, 1))[0]),
        kappas=cohen_kappa(lower_decisions[seen], decisions[seen]),
        events=[
            event_scores(event_intervals(mine, times), event_intervals(theirs, times))
            for mine, theirs in zip(lower_activity.T, activity.T, strict=True)
        ],
    )


def checked_rates(video: str | PathLike[str], rates: Sequence[float] | None) -> list[float]:
    """The rates to try, increasing, each once; arguments and errors as of `evaluate_frame_rates`.

    Raises:
        UsageError, InputError
    """
    with VideoReader(video) as reader:
        full = reader.frame_rate
    if full is None:
        raise InputError(f"{video} has no frame rate, so it cannot be thinned out; give a video")
    bound = full * (1 - _FEWER)
    if rates is None:
        chosen = [rate for rate in DEFAULT_RATES if rate <= bound]
        if not chosen:
            raise UsageError(f"{video} has {full:.4g} frames a second; name lower rates")
        return chosen
    for rate in rates:
        if not 0 < rate <= bound:
            raise UsageError(f"{rate:g} is not a frame rate below that of {video}, which has {full:.4g} a second")
    if not rates:
        raise UsageError("no frame rate is given")
    return sorted(set(rates))


def _event_numbers(events: EventScores) -> dict[str, float | None]:
    return {
        "count": events.num_events,
        "at_full_rate": events.num_reference,
        "matched": events.num_matched,
        "precision": number(events.precision),
        "recall": number(events.recall),
        "f1": number(events.f1),
        "onset_error_s": number(events.onset_error),
        "offset_error_s": number(events.offset_error),
    }
