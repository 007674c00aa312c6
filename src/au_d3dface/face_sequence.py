"""FaceSequence: one person's moving 3D face and action units through a video. What users hold.

`FaceSequence` holds the arrays; what follows from them (decisions, motion, angles, events) is computed when asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import facs
from .geometry import matrix_to_openface_angles, weak_perspective

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

HEAD_COLUMNS = ("frame", "face_id", "timestamp", "confidence", "success", "pose_Rx", "pose_Ry", "pose_Rz")
"""The first columns of `to_pandas` and of action_units.csv, with the names and signs that OpenFace users know."""


OPTIONAL = ("uv", "au_intensities", "expression_weights", "texture", "lighting")
"""Arrays that may be None."""

RELEASE = 0.7
"""An activation lasts until the probability falls below this share of the AU's threshold."""


@dataclass(frozen=True)
class AUEvent:
    """One activation of one action unit: from its first active frame to its last.

    Attributes:
        action_unit: its number.
        onset, apex, offset: rows of the sequence's arrays, from 0 (the csv's `frame` is one more). The apex is the row
            of greatest intensity where the checkpoint predicts intensities, else of greatest probability.
        onset_time, apex_time, offset_time: the same in seconds.
        peak_probability: greatest probability within the event.
        peak_intensity: greatest intensity within the event, 0-5; None where the checkpoint predicts none.
    """

    action_unit: int
    onset: int
    apex: int
    offset: int
    onset_time: float
    apex_time: float
    offset_time: float
    peak_probability: float
    peak_intensity: float | None

    @property
    def duration(self) -> float:
        """Seconds from the first active frame to the last; 0 for an event of one frame."""
        return self.offset_time - self.onset_time


@dataclass(kw_only=True)
class FaceSequence:
    """One person through a video of T frames: refined meshes of V vertices and N action units.

    Every frame of the video has its row; rows without the person have `valid` False and hold NaN. Vertices are metres
    in the canonical head frame (x to the subject's left, y up, z out of the face), so they carry no head pose: the weak
    perspective camera of Eq. 12 puts them into the image,  pixel = scale · Pr · rotation · vertex + translation.

    Attributes:
        face_id: 0 for the first person seen in the video, then upwards.
        timestamps: (T,) float64 seconds from the first frame, never falling.
        valid: (T,) bool, whether the person was found in the frame.
        vertices: (T, V, 3) float32, Ŝ of Eq. 9; NaN where not valid.
        coarse_vertices: (T, V, 3) float32, S, what the frozen per-frame reconstructor gave; NaN where not valid.
        neutral_vertices: (V, 3) float32, S̄, this person at rest.
        faces: (F, 3) int64 triangles, counter-clockwise seen from outside.
        uv: (V, 2) float32 in [0, 1] with v up, or None.
        action_units: the N numbers, in the order of the columns below.
        au_probabilities: (T, N) float32, p of Eq. 10; NaN where not valid.
        au_intensities: (T, N) float32 in 0-5, NaN where not valid; None where the checkpoint predicts none.
        au_masks: (N, V) float32 in {0, 1}, M of Eq. 7, each AU's facial region.
        thresholds: (N,) float32, the probability from which an AU counts as present; 0.5 where not given.
        rotation: (T, 3, 3) float32, head frame to camera frame (x right, y up, z towards the viewer).
        scale: (T,) float32, pixels per metre.
        translation: (T, 2) float32, pixels from the top left corner of the top left pixel.
        confidence: (T,) float32 in [0, 1] from the fitting residual; 0 where not valid.
        interpolated: (T,) bool, whether the row lies between two samples of the model's own rate and is linear between
            them; all False where not given.
        expression_weights: (T, E) float32 in 0-1, weights of the face model's named expression shapes, NaN where not
            valid; None where the face model has no named shapes.
        expression_names: the E names, in the order of the columns.
        texture: float32 albedo in [0, 1], an (S, S, 3) map over `uv` whose row 0 is at v = 1, or (V, 3) at the vertices
            where there is no uv; None where the appearance was not estimated.
        lighting: (T, 9, 3) float32 light of every frame, for `rendering.shade`; 0 where not valid; None like `texture`.
        height, width: of the video, pixels, after its rotation metadata.
        source: path of the video, from which `render` draws; None where there is none.
        provenance: checkpoint, coarse reconstructor, versions and settings; anything that JSON can hold.

    Raises:
        ValueError: an array has another shape than the above, or NaN where the person is valid.
    """

    face_id: int
    timestamps: np.ndarray
    valid: np.ndarray
    vertices: np.ndarray
    coarse_vertices: np.ndarray
    neutral_vertices: np.ndarray
    faces: np.ndarray
    action_units: tuple[int, ...]
    au_probabilities: np.ndarray
    au_masks: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    confidence: np.ndarray
    height: int
    width: int
    uv: np.ndarray | None = None
    au_intensities: np.ndarray | None = None
    thresholds: np.ndarray = None  # type: ignore[assignment]  # both are filled in by __post_init__
    interpolated: np.ndarray = None  # type: ignore[assignment]
    expression_weights: np.ndarray | None = None
    expression_names: tuple[str, ...] = ()
    texture: np.ndarray | None = None
    lighting: np.ndarray | None = None
    source: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.action_units = tuple(int(number) for number in self.action_units)
        frames, units = len(np.asarray(self.timestamps)), len(self.action_units)
        points = len(np.asarray(self.neutral_vertices))
        if self.thresholds is None:
            self.thresholds = np.full(units, 0.5, np.float32)
        if self.interpolated is None:
            self.interpolated = np.zeros(frames, bool)
        shapes: dict[str, tuple[type, tuple[int | None, ...]]] = {
            "timestamps": (np.float64, (frames,)),
            "valid": (np.bool_, (frames,)),
            "vertices": (np.float32, (frames, points, 3)),
            "coarse_vertices": (np.float32, (frames, points, 3)),
            "neutral_vertices": (np.float32, (points, 3)),
            "faces": (np.int64, (None, 3)),
            "uv": (np.float32, (points, 2)),
            "au_probabilities": (np.float32, (frames, units)),
            "au_intensities": (np.float32, (frames, units)),
            "au_masks": (np.float32, (units, points)),
            "thresholds": (np.float32, (units,)),
            "rotation": (np.float32, (frames, 3, 3)),
            "scale": (np.float32, (frames,)),
            "translation": (np.float32, (frames, 2)),
            "confidence": (np.float32, (frames,)),
            "interpolated": (np.bool_, (frames,)),
            "expression_weights": (np.float32, (frames, len(self.expression_names))),
            "texture": (np.float32, (points, 3) if self.uv is None else (None, None, 3)),
            "lighting": (np.float32, (frames, 9, 3)),
        }
        for name, (dtype, shape) in shapes.items():
            value = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            array: np.ndarray = np.asarray(value, dtype)
            if len(array.shape) != len(shape) or any(
                want is not None and size != want for size, want in zip(array.shape, shape, strict=True)
            ):
                wanted = ", ".join("any" if want is None else str(want) for want in shape)
                raise ValueError(
                    f"{name} of a FaceSequence with {frames} timestamps, {points} neutral vertices and {units} action "
                    f"units must have shape ({wanted}), not {array.shape}"
                )
            setattr(self, name, array)
        self._check_values()

    def _check_values(self) -> None:
        if np.any(np.diff(self.timestamps) < 0) or not np.isfinite(self.timestamps).all():
            raise ValueError("timestamps of a FaceSequence must be finite and never fall")
        if len(self.faces) and not 0 <= self.faces.min() <= self.faces.max() < len(self.neutral_vertices):
            raise ValueError("faces of a FaceSequence must be rows of its vertices")
        for name in ("vertices", "coarse_vertices", "au_probabilities", "au_intensities", "expression_weights"):
            array = getattr(self, name)
            if array is None:
                continue
            if not np.isfinite(array[self.valid]).all():
                raise ValueError(f"{name} of a FaceSequence must be finite in every valid frame")
            if not np.isnan(array[~self.valid]).all():
                raise ValueError(f"{name} of a FaceSequence must be NaN in every frame that is not valid")

        if (self.texture is None) != (self.lighting is None):
            raise ValueError("a FaceSequence has both texture and lighting, or neither")
        if self.texture is not None and not ((self.texture >= 0) & (self.texture <= 1)).all():
            raise ValueError("texture of a FaceSequence must be in [0, 1]")
        if self.lighting is not None and not np.isfinite(self.lighting).all():
            raise ValueError("lighting of a FaceSequence must be finite")

    def __len__(self) -> int:
        """T, the number of frames."""
        return len(self.timestamps)

    def __repr__(self) -> str:
        return (
            f"FaceSequence(face_id={self.face_id}, frames={len(self)}, valid={int(self.valid.sum())}, "
            f"vertices={len(self.neutral_vertices)}, action_units={self.action_units}, source={self.source!r})"
        )

    @property
    def frame_rate(self) -> float:
        """Frames a second: the inverse of the median step between timestamps; NaN for a single frame."""
        steps = np.diff(self.timestamps)
        steps = steps[steps > 0]
        return float(1 / np.median(steps)) if len(steps) else float("nan")

    @property
    def au_decisions(self) -> np.ndarray:
        """(T, N) bool, whether the probability reaches the AU's threshold; False where not valid."""
        return np.greater_equal(np.nan_to_num(self.au_probabilities, nan=-1.0), self.thresholds)

    @property
    def au_activity(self) -> np.ndarray:
        """(T, N) bool, whether the AU is in an activation: from a frame whose probability reaches the threshold until
        it falls below RELEASE of it. A probability that lingers at the threshold is one activation, not many.
        """
        probabilities = np.nan_to_num(self.au_probabilities, nan=-1.0)
        above, held = probabilities >= self.thresholds, probabilities >= RELEASE * self.thresholds
        active = np.zeros_like(above)
        state = np.zeros(len(self.action_units), bool)
        for frame in range(len(self)):
            state = above[frame] | (state & held[frame])
            active[frame] = state
        return active

    @property
    def au_motion(self) -> np.ndarray:
        """(T, N) float32 metres: mean distance of the vertices in each AU's mask from neutral; NaN where not valid."""
        distance = np.linalg.norm(self.vertices - self.neutral_vertices, axis=-1)  # (T, V)
        with np.errstate(invalid="ignore"):  # a mask of no vertex gives NaN
            weights = self.au_masks / self.au_masks.sum(1, keepdims=True)
        return distance @ weights.T

    @property
    def pose_angles(self) -> np.ndarray:
        """(T, 3) float32 radians: pitch, yaw and roll with OpenFace's signs; NaN where not valid.

        Positive pitch looks down, positive yaw turns to the subject's own right (left in the image), positive roll
        leans the head clockwise in the image, onto the subject's own left shoulder.
        """
        angles = matrix_to_openface_angles(torch.tensor(self.rotation)).numpy()
        angles[~self.valid] = np.nan
        return angles

    @property
    def image_points(self) -> np.ndarray:
        """(T, V, 3) float32: refined vertices in the image, pixels, x right, y down, z away; NaN where not valid."""
        camera = (torch.tensor(array) for array in (self.vertices, self.rotation, self.scale, self.translation))
        return weak_perspective(*camera).numpy()

    def to_pandas(self) -> "pd.DataFrame":
        """One row a frame, with the columns of action_units.csv.

        `frame` (from 1), `face_id`, `timestamp`, `confidence`, `success` (1 or 0), `pose_Rx`, `pose_Ry`, `pose_Rz`,
        then per action unit `AU01_p` probability, `AU01_c` decision (1 or 0), and `AU01_r` intensity where the
        checkpoint predicts it. Where `success` is 0, angles and action units are missing values.
        """
        import pandas as pd

        columns: dict[str, Any] = dict(
            zip(
                HEAD_COLUMNS,
                (
                    np.arange(1, len(self) + 1),
                    np.full(len(self), self.face_id),
                    self.timestamps,
                    np.where(self.valid, self.confidence, 0).astype(np.float64),
                    self.valid.astype(np.int64),
                    *self.pose_angles.astype(np.float64).T,
                ),
                strict=True,
            )
        )
        labels = [facs.label(number) for number in self.action_units]
        for label, column in zip(labels, self.au_probabilities.T, strict=True):
            columns[f"{label}_p"] = column.astype(np.float64)
        for label, column in zip(labels, self.au_decisions.T, strict=True):
            columns[f"{label}_c"] = pd.array(np.where(self.valid, column, np.nan), dtype="Int64")
        if self.au_intensities is not None:
            for label, column in zip(labels, self.au_intensities.T, strict=True):
                columns[f"{label}_r"] = column.astype(np.float64)
        return pd.DataFrame(columns)

    def events(self, max_gap: float = 0.0) -> list[AUEvent]:
        """Every activation of every action unit, by time of onset, then by action unit.

        The onset is the first frame of a run of `au_activity`, the offset the last: a single frame below RELEASE of the
        threshold ends an event, unless `max_gap` bridges it; a frame without the person always ends it.

        Args:
            max_gap: seconds; runs of one AU are joined where the time between the last active frame of one and the
                first of the next is at most this, and every frame between them is valid.
        """
        found: list[AUEvent] = []
        activity = self.au_activity
        for column, number in enumerate(self.action_units):
            for onset, offset in self._runs(activity[:, column], max_gap):
                span = slice(onset, offset + 1)
                probability = self.au_probabilities[span, column]
                intensity = None if self.au_intensities is None else self.au_intensities[span, column]
                apex = onset + int(np.argmax(probability if intensity is None else intensity))
                found.append(
                    AUEvent(
                        action_unit=number,
                        onset=onset,
                        apex=apex,
                        offset=offset,
                        onset_time=float(self.timestamps[onset]),
                        apex_time=float(self.timestamps[apex]),
                        offset_time=float(self.timestamps[offset]),
                        peak_probability=float(probability.max()),
                        peak_intensity=None if intensity is None else float(intensity.max()),
                    )
                )
        return sorted(found, key=lambda event: event.onset)

    def _runs(self, active: np.ndarray, max_gap: float) -> list[tuple[int, int]]:
        """First and last row of every run of True, with gaps of up to `max_gap` seconds of valid frames bridged."""
        edges = np.diff(np.concatenate([[False], active, [False]]).astype(np.int8))
        runs: list[tuple[int, int]] = []
        for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
            before = runs[-1][1] if runs else None
            if (
                before is not None
                and self.timestamps[first] - self.timestamps[before] <= max_gap
                and self.valid[before:first].all()
            ):
                runs[-1] = (runs[-1][0], int(last))
            else:
                runs.append((int(first), int(last)))
        return runs

    # What follows draws and writes; the code is in export/, which is imported only when it is asked for.

    def save(self, directory: str | PathLike[str], formats: str | Sequence[str] | None = None) -> list[Path]:
        """Writes the outputs (csv, npz, glb, overlay, timeline, and summary.json) into a folder.

        Args:
            directory: made where it is missing; files of the same names are replaced.
            formats: names out of `au_d3dface.export.FORMATS`, as a list or separated by commas; the default set where
                not given, without the overlay where `source` is None. "render" and "texture" need the appearance.

        Returns:
            The files written.

        Raises:
            UsageError: an unknown format, or one that this sequence has not the means for.
            OutputError: the folder cannot be written.
        """
        from .export import save_sequence

        return save_sequence(self, directory, formats)

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """The action units over time as a matplotlib figure, also saved to `path` where one is given.

        Raises:
            OutputError: `path` cannot be written.
        """
        from .export.timeline import plot_timeline

        return plot_timeline(self, path)

    def render(self) -> Iterator[np.ndarray]:
        """The video's frames, one by one, with the refined mesh and the active AUs drawn: (H, W, 3) uint8 RGB.

        Raises:
            UsageError: `source` is None.
            InputError: the video cannot be read any more.
        """
        from .export.overlay import overlay_frames

        return overlay_frames([self])
