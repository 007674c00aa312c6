"""Agreement of our action units with those of another tool, OpenFace or py-feat, on the same video.

For each AU and clip: Pearson's r with the reference's intensity where that varies (its probability, times 5, where it
has no intensity, as py-feat), and the area under the ROC curve against the reference's presence where both presence and
absence occur; means over clips, then over AUs. A detector is
no coder: agreement says something where the reference is known to see well.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ... import facs
from ...errors import InputError
from ...metrics import pearson, roc_area
from ..au_tables import AUTable
from ..card_results import CardResult
from ..reports import cell, markdown_table, number

CORE = (1, 2, 4, 5, 12, 25, 26, 45)
"""The AUs of the "core r": those that detectors see best."""

MIN_DEVIATION = 0.15
"""r is computed where the reference's intensity (0-5) has at least this standard deviation in the clip."""

MIN_PRESENCE, MAX_PRESENCE = 0.05, 0.95
"""The ROC area is computed where the reference says "present" in a share of the clip's frames between these."""

# Decoders may disagree about a frame or two at the end of a video; more is another video, or another frame rate.
_LENGTH_FRAMES, _LENGTH_SHARE = 3, 0.01


@dataclass(frozen=True)
class ClipAgreement:
    """One clip.

    Attributes:
        frames: frames of ours.
        common_frames: frames in which both found the face; only these are compared.
        r: Pearson's r by AU number, where the reference varies enough. 0 where ours never changes: an AU that is never
            seen to move does not drop out of the means.
        roc_area: area under the ROC curve by AU number, where presence is neither rare nor general.
        tool: the reference's.
    """

    frames: int
    common_frames: int
    r: dict[int, float]
    roc_area: dict[int, float]
    tool: str = "OpenFace"


def clip_agreement(
    ours: AUTable, reference: AUTable, names: tuple[str, str] = ("ours", "the reference")
) -> ClipAgreement:
    """Compares two tables of one face in one video, row by row of the same frame number.

    Of ours, r takes the intensity where there is one, else the probability; the ROC area takes the probability where
    there is one, else the intensity.

    Args:
        ours, reference: what is measured, and what it is measured by.
        names: of the two, for error messages.

    Raises:
        InputError: lengths that differ by more than 1 % and three frames, no AU in both, or no frame in which both
            found the face.
    """
    length, reference_length = int(ours.frames[-1]), int(reference.frames[-1])
    # Some tools look at every tenth frame, say, so that the last few are not among theirs.
    skipped = max(int(np.median(np.diff(table.frames))) if len(table.frames) > 1 else 1 for table in (ours, reference))
    if abs(length - reference_length) > max(_LENGTH_FRAMES + skipped - 1, _LENGTH_SHARE * length):
        raise InputError(
            f"{names[0]} has {length} frames and {names[1]} {reference_length}; they do not belong to the same video"
        )
    scores = ours.intensities | ours.probabilities
    values = ours.probabilities | ours.intensities
    levels = {unit: 5 * given for unit, given in reference.probabilities.items()} | reference.intensities
    if not values.keys() & (levels.keys() | reference.presence.keys()):
        raise InputError(f"{names[0]} and {names[1]} have no action unit in common")
    frames, rows, reference_rows = np.intersect1d(
        ours.frames[ours.valid], reference.frames[reference.valid], assume_unique=True, return_indices=True
    )
    if not len(frames):
        raise InputError(f"there is no frame in which both {names[0]} and {names[1]} found the face")
    rows, reference_rows = np.flatnonzero(ours.valid)[rows], np.flatnonzero(reference.valid)[reference_rows]

    def pairs(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both at the common frames where each is known, as columns."""
        mine, theirs = mine[rows], theirs[reference_rows]
        known = np.isfinite(mine) & np.isfinite(theirs)
        return mine[known, None], theirs[known, None]

    r, area = {}, {}
    for unit in sorted(values.keys() & levels.keys()):
        mine, theirs = pairs(values[unit], levels[unit])
        if len(theirs) and theirs.std() >= MIN_DEVIATION:
            r[unit] = float(pearson(mine, theirs)[0])
    for unit in sorted(scores.keys() & reference.presence.keys()):
        mine, theirs = pairs(scores[unit], reference.presence[unit])
        present = theirs > 0.5
        if len(theirs) and MIN_PRESENCE <= present.mean() <= MAX_PRESENCE:
            area[unit] = float(roc_area(mine, present.astype(np.int64))[0])
    return ClipAgreement(length, len(frames), r, area, reference.tool)


@dataclass(frozen=True)
class Agreement:
    """All clips by name, and the means over them. A mean over nothing is NaN."""

    clips: dict[str, ClipAgreement]

    @property
    def r(self) -> dict[int, float]:
        """Mean r over the clips, by AU."""
        return _by_unit(clip.r for clip in self.clips.values())

    @property
    def roc_area(self) -> dict[int, float]:
        """Mean ROC area over the clips, by AU."""
        return _by_unit(clip.roc_area for clip in self.clips.values())

    @property
    def core_r(self) -> float:
        """Mean of `r` over those AUs of `CORE` that vary in some clip."""
        return _mean([value for unit, value in self.r.items() if unit in CORE])

    @property
    def mean_r(self) -> float:
        return _mean(list(self.r.values()))

    @property
    def mean_roc_area(self) -> float:
        return _mean(list(self.roc_area.values()))

    def numbers(self) -> dict:
        """Everything, for JSON."""
        return {
            "core_r": number(self.core_r),
            "mean_r": number(self.mean_r),
            "mean_roc_area": number(self.mean_roc_area),
            "core_action_units": [unit for unit in CORE if unit in self.r],
            "rules": {"min_deviation": MIN_DEVIATION, "min_presence": MIN_PRESENCE, "max_presence": MAX_PRESENCE},
            "by_au": _entries(self.r, self.roc_area),
            "clips": {
                name: {
                    "frames": clip.frames,
                    "common_frames": clip.common_frames,
                    "reference": clip.tool,
                    "by_au": _entries(clip.r, clip.roc_area),
                }
                for name, clip in self.clips.items()
            },
        }

    def card_results(self) -> list[CardResult]:
        """What a model card says: the means, over as many clips."""
        core = ", ".join(str(unit) for unit in self.numbers()["core_action_units"])
        metrics = {
            f"Pearson r of intensities, mean over AU {core}": ("pearsonr", self.core_r),
            f"Pearson r of intensities, mean over {len(self.r)} AUs": ("pearsonr", self.mean_r),
            f"ROC area against presence, mean over {len(self.roc_area)} AUs": ("roc_auc", self.mean_roc_area),
        }
        title = f"Agreement with another tool ({self._tools()}'s csv) on the tester's clips"
        return [CardResult("agreement", title, f"{len(self.clips)} clip{'s' if len(self.clips) > 1 else ''}", metrics)]

    def _tools(self) -> str:
        return " and ".join(sorted({clip.tool for clip in self.clips.values()}))

    def text(self) -> str:
        """Two tables, clips by AUs, and the means, in Markdown."""
        left_out = [facs.label(unit) for unit in CORE if unit not in self.r]
        core = ", ".join(str(unit) for unit in CORE if unit in self.r)
        without = (
            " (py-feat's probability times 5)" if any(clip.tool == "py-feat" for clip in self.clips.values()) else ""
        )
        lines = [
            f"Pearson's r with the reference's intensity{without} (standard deviation at least {MIN_DEVIATION}):",
            "",
            self._table("r"),
            "",
            f"Area under the ROC curve against the reference's presence ({MIN_PRESENCE:.0%} to {MAX_PRESENCE:.0%} of "
            "the frames):",
            "",
            self._table("roc_area"),
            "",
            f"core r {cell(self.core_r, 3)} (mean over AU {core or 'none'}), r over all AUs {cell(self.mean_r, 3)}, "
            f"ROC area {cell(self.mean_roc_area, 3)}",
        ]
        if left_out:
            lines.append(f"not in the core r, as they do not vary in any clip: {', '.join(left_out)}")
        return "\n".join(lines)

    def _table(self, score: str) -> str:
        means = getattr(self, score)
        header = ["clip", "frames", *(facs.label(unit) for unit in means)]
        rows = [
            [name, str(clip.common_frames), *(cell(getattr(clip, score).get(unit)) for unit in means)]
            for name, clip in self.clips.items()
        ]
        total = str(sum(clip.common_frames for clip in self.clips.values()))
        return markdown_table(header, [*rows, ["mean", total, *(cell(value) for value in means.values())]])


def _by_unit(scores: Iterable[dict[int, float]]) -> dict[int, float]:
    gathered: dict[int, list[float]] = {}
    for score in scores:
        for unit, value in score.items():
            gathered.setdefault(unit, []).append(value)
    return {unit: float(np.mean(gathered[unit])) for unit in sorted(gathered)}


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _entries(r: dict[int, float], area: dict[int, float]) -> dict[str, dict[str, float | None]]:
    return {
        facs.label(unit): {"r": number(r.get(unit, np.nan)), "roc_area": number(area.get(unit, np.nan))}
        for unit in sorted({*r, *area})
    }
