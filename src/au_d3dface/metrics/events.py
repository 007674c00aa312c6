"""Agreement of action-unit events: which activations of one sequence are found again in another, and how far off.

An event is an interval of time, from its first active sample to the first sample after it, so that one active sample
lasts as long as the sampling step, and overlaps are shares of time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

MIN_OVERLAP = 0.5
"""Intersection over union from which two events count as one. From above 0.5 on, no event can have two partners."""


def event_intervals(decisions: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """The runs of True as intervals of time.

    Args:
        decisions: (T,) bool; False where the person was not seen.
        timestamps: (T,) seconds, strictly increasing.

    Returns:
        (E, 2) float64 onset and end: the time of a run's first sample, and of the first sample after the run (after the
        last sample of all, one median step later; of a single sample, one second later).
    """
    decisions, timestamps = np.asarray(decisions, bool), np.asarray(timestamps, np.float64)
    step = float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else 1.0
    edges = np.diff(np.concatenate([[False], decisions, [False]]).astype(np.int8))
    times = np.append(timestamps, timestamps[-1:] + step)
    return np.stack([times[np.flatnonzero(edges == 1)], times[np.flatnonzero(edges == -1)]], 1)


def event_overlaps(events: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(E, R) intersection over union in time of (E, 2) and (R, 2) intervals of positive length."""
    start = np.maximum(events[:, None, 0], reference[None, :, 0])
    end = np.minimum(events[:, None, 1], reference[None, :, 1])
    common = np.maximum(end - start, 0)
    union = np.diff(events)[:, None, 0] + np.diff(reference)[None, :, 0] - common
    return common / union


def match_events(events: np.ndarray, reference: np.ndarray, min_overlap: float = MIN_OVERLAP) -> np.ndarray:
    """Pairs events one to one: as many pairs as can be, and of those pairings the one of greatest total overlap.

    Args:
        events, reference: (E, 2) and (R, 2) intervals as `event_intervals` gives them.
        min_overlap: a pair's intersection over union is at least this, more than 0 and at most 1.

    Returns:
        (M, 2) int64 rows of `events` and of `reference`, in order of the former.

    Raises:
        ValueError: `min_overlap` is out of range.
    """
    if not 0 < min_overlap <= 1:
        raise ValueError(f"min_overlap must be more than 0 and at most 1, not {min_overlap}")
    overlaps = event_overlaps(events, reference)
    # Times are sums of rounded steps: an overlap of exactly one half must count as such.
    allowed = overlaps >= min_overlap - 1e-9
    # All overlaps together weigh less than one more pair.
    gain = np.where(allowed, 1 + overlaps / (min(overlaps.shape) + 1), 0.0)
    pairs = np.stack(linear_sum_assignment(gain, maximize=True), 1).astype(np.int64)
    return pairs[allowed[pairs[:, 0], pairs[:, 1]]]


@dataclass(frozen=True)
class EventScores:
    """How the events of one sequence agree with those of a reference.

    Attributes:
        num_events, num_reference: how many there are in each.
        onset_errors, offset_errors: (M,) seconds by which the M matched events begin and end after their partners in
            the reference; negative where they are early.
    """

    num_events: int
    num_reference: int
    onset_errors: np.ndarray
    offset_errors: np.ndarray

    @property
    def num_matched(self) -> int:
        return len(self.onset_errors)

    @property
    def num_missed(self) -> int:
        """Events of the reference that were not found."""
        return self.num_reference - self.num_matched

    @property
    def num_false(self) -> int:
        """Events that are not in the reference."""
        return self.num_events - self.num_matched

    @property
    def precision(self) -> float:
        """Share of the events that are in the reference; NaN where there are no events."""
        return self.num_matched / self.num_events if self.num_events else float("nan")

    @property
    def recall(self) -> float:
        """Share of the reference's events that were found; NaN where it has none."""
        return self.num_matched / self.num_reference if self.num_reference else float("nan")

    @property
    def f1(self) -> float:
        """Twice the matched pairs over all events of both; NaN where neither has any."""
        total = self.num_events + self.num_reference
        return 2 * self.num_matched / total if total else float("nan")

    @property
    def onset_error(self) -> float:
        """Mean absolute error of the matched onsets, seconds; NaN where none is matched."""
        return float(np.abs(self.onset_errors).mean()) if self.num_matched else float("nan")

    @property
    def offset_error(self) -> float:
        """Mean absolute error of the matched offsets (ends), seconds; NaN where none is matched."""
        return float(np.abs(self.offset_errors).mean()) if self.num_matched else float("nan")

    @property
    def median_onset_error(self) -> float:
        """Median absolute error of the matched onsets, seconds; NaN where none is matched."""
        return float(np.median(np.abs(self.onset_errors))) if self.num_matched else float("nan")

    @property
    def median_offset_error(self) -> float:
        """Median absolute error of the matched offsets (ends), seconds; NaN where none is matched."""
        return float(np.median(np.abs(self.offset_errors))) if self.num_matched else float("nan")


def event_scores(events: np.ndarray, reference: np.ndarray, min_overlap: float = MIN_OVERLAP) -> EventScores:
    """Matches (E, 2) events with (R, 2) of a reference (`match_events`) and counts."""
    pairs = match_events(events, reference, min_overlap)
    errors = events[pairs[:, 0]] - reference[pairs[:, 1]]  # (M, 2)
    return EventScores(len(events), len(reference), errors[:, 0], errors[:, 1])


def event_scores_by_au(
    decisions: np.ndarray, labels: np.ndarray, timestamps: np.ndarray, min_overlap: float = MIN_OVERLAP
) -> list[EventScores]:
    """`event_scores` of each AU of one sequence, over its known labels.

    No event bridges unknown rows: one that they cut ends there, in the decisions and the labels alike, and where both
    are cut the error there is 0.

    Args:
        decisions: (T, N) predicted presence, bool or 0/1.
        labels: (T, N) 0, 1, or -1 for unknown.
        timestamps: (T,) seconds, strictly increasing.
        min_overlap: as for `match_events`.

    Returns:
        N scores. Those of several sequences are pooled with `pooled_event_scores`.

    Raises:
        ValueError: shapes that differ, or `min_overlap` out of range.
    """
    decisions, labels = np.asarray(decisions).astype(bool), np.asarray(labels)
    if decisions.shape != labels.shape or decisions.shape[:1] != np.shape(timestamps):
        raise ValueError(
            f"decisions {decisions.shape}, labels {labels.shape} and timestamps {np.shape(timestamps)} do not fit"
        )
    return [
        event_scores(
            event_intervals(said & (true >= 0), timestamps), event_intervals(true == 1, timestamps), min_overlap
        )
        for said, true in zip(decisions.T, labels.T, strict=True)
    ]


def pooled_event_scores(scores: Iterable[EventScores]) -> EventScores:
    """The scores of several action units or clips as if their events lay in one list, each matched within its own."""
    scores = list(scores)
    return EventScores(
        sum(score.num_events for score in scores),
        sum(score.num_reference for score in scores),
        np.concatenate([np.empty(0), *(score.onset_errors for score in scores)]),
        np.concatenate([np.empty(0), *(score.offset_errors for score in scores)]),
    )
