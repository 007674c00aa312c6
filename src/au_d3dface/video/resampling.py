"""Resampling between the frame rate of a video and the frame rate of the model, by time.

The model sees a regular grid, entry k at time k / frame_rate. `sample_frames` says which input frame stands at each
entry, and `spread_samples` brings what was computed there back to every input frame.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# In grid cells: 0.3 * 10 must land in cell 3 whatever the last bit of the timestamp.
_TOLERANCE = 1e-6
# Input frames that are interpolated at once: it bounds the temporary arrays.
_CHUNK = 1024


def sample_frames(timestamps: NDArray[np.float64], valid: NDArray[np.bool_], frame_rate: float) -> NDArray[np.int64]:
    """The input frame at each entry of the model's regular grid.

    A frame belongs to cell floor(timestamp · frame_rate + 1/2). Entry k is the valid frame of cell k that is nearest
    to time k / frame_rate, the earlier one of two that are equally near.

    Args:
        timestamps: (T,) seconds, not negative, strictly increasing.
        valid: (T,) bool, frames that may be sampled.
        frame_rate: entries a second.

    Returns:
        (K,) indices into the input frames, increasing, -1 where the cell has no valid frame; K is the cell of the last
        frame plus one.

    Raises:
        ValueError: timestamps that are negative or do not increase, or another shape or rate than stated.
    """
    timestamps = _checked(timestamps, valid)
    if not (np.isfinite(frame_rate) and frame_rate > 0):
        raise ValueError(f"frame_rate must be a positive number, not {frame_rate}")
    if not len(timestamps):
        return np.empty(0, dtype=np.int64)
    position = timestamps * frame_rate
    cell = np.floor(position + 0.5 + _TOLERANCE).astype(np.int64)
    candidates = np.flatnonzero(valid)
    # Distances equal up to the tolerance are a tie; lexsort is stable, so that the earlier frame comes first.
    distance = np.round(np.abs(position - cell)[candidates] / _TOLERANCE)
    candidates = candidates[np.lexsort((distance, cell[candidates]))]
    cells_sampled, first = np.unique(cell[candidates], return_index=True)
    frames = np.full(cell[-1] + 1, -1, dtype=np.int64)
    frames[cells_sampled] = candidates[first]
    return frames


def spread_samples(
    samples: NDArray[Any], frames: NDArray[np.int64], timestamps: NDArray[np.float64], valid: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Brings values on the model's grid back to every input frame.

    A frame that was sampled gets its sample. A valid frame between two samples gets the value linear in time between
    them. It holds one sample instead where there is nothing to interpolate: before the first or after the last sample,
    and beside a gap (a frame that is not valid between it and the other sample). Where both samples lie behind gaps, it
    holds the one that is nearer in time, the earlier one of two that are equally near.

    Args:
        samples: (K, ...) values on the grid; rows where `frames` is -1 are not read.
        frames: (K,) from `sample_frames`.
        timestamps: (T,) seconds, strictly increasing.
        valid: (T,) bool.

    Returns:
        values (T, ...), floating, NaN where not valid; interpolated (T,) bool, the valid frames that were not sampled.

    Raises:
        ValueError: shapes that do not fit together, or valid frames but no sample at all.
    """
    timestamps = _checked(timestamps, valid)
    if frames.shape != (len(samples),):
        raise ValueError(f"frames has shape {frames.shape}, but there are {len(samples)} samples")
    rows = np.flatnonzero(frames >= 0)  # (R,) rows of `samples` that hold something
    sampled = frames[rows]  # (R,) the input frames that they stand for
    if (np.diff(sampled) <= 0).any() or (len(sampled) and sampled[-1] >= len(timestamps)):
        raise ValueError("frames must increase and lie within the input frames")

    values = np.full((len(timestamps), *samples.shape[1:]), np.nan, dtype=np.result_type(samples, np.float32))
    interpolated = np.array(valid, dtype=np.bool_)
    interpolated[sampled] = False
    wanted = np.flatnonzero(valid)  # (M,)
    if not len(wanted):
        return values, interpolated
    if not len(rows):
        raise ValueError("there are valid frames, but no sample")

    before = np.searchsorted(sampled, wanted, side="right") - 1  # the last sample at or before each frame; -1 for none
    after = np.minimum(before + 1, len(rows) - 1)
    # Frames with the same number of not-valid frames before them lie in the same run of valid frames.
    run = np.cumsum(~valid)
    joined_before = (before >= 0) & (run[sampled[before]] == run[wanted])
    joined_after = (sampled[after] > wanted) & (run[sampled[after]] == run[wanted])
    before = np.maximum(before, 0)
    time, time_before, time_after = timestamps[wanted], timestamps[sampled[before]], timestamps[sampled[after]]
    between = joined_before & joined_after
    nearer = np.where(np.abs(time - time_before) <= np.abs(time_after - time), before, after)
    held = np.where(joined_before, before, np.where(joined_after, after, nearer))
    start = np.where(between, before, held)
    # A sampled frame starts and ends at its own sample, so that nothing of its neighbours enters, not even a NaN.
    end = np.where(between & (sampled[before] != wanted), after, start)
    weight = np.where(end != start, (time - time_before) / np.where(end != start, time_after - time_before, 1.0), 0.0)
    weight = weight.astype(values.dtype).reshape(-1, *[1] * (samples.ndim - 1))
    for chunk in range(0, len(wanted), _CHUNK):
        part = slice(chunk, chunk + _CHUNK)
        lower = samples[rows[start[part]]].astype(values.dtype, copy=False)
        step = samples[rows[end[part]]].astype(values.dtype, copy=False)
        step -= lower
        step *= weight[part]
        step += lower
        values[wanted[part]] = step
    return values, interpolated


def _checked(timestamps: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    timestamps = np.asarray(timestamps, dtype=np.float64)
    if timestamps.ndim != 1 or valid.shape != timestamps.shape or valid.dtype != np.bool_:
        raise ValueError(f"timestamps {timestamps.shape} and valid {valid.shape} must be (T,), valid of dtype bool")
    if len(timestamps) and not (
        timestamps[0] >= 0 and np.isfinite(timestamps[-1]) and bool((np.diff(timestamps) > 0).all())
    ):
        raise ValueError("timestamps must be finite, not negative and strictly increasing")
    return timestamps
