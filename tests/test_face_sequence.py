"""FaceSequence: shapes and values are checked, and what follows from the arrays is right."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.face_sequence import RELEASE, FaceSequence
from au_d3dface.geometry import axis_angle_to_matrix


def make(frames: int = 6, invalid: tuple[int, ...] = (), **changes: object) -> FaceSequence:
    """A small random mesh of 5 vertices, two AUs, at 10 frames a second."""
    rng = np.random.default_rng(0)
    valid = np.ones(frames, bool)
    valid[list(invalid)] = False
    neutral = rng.normal(size=(5, 3)).astype(np.float32)
    arrays: dict = {
        "face_id": 0,
        "timestamps": np.arange(frames) / 10,
        "valid": valid,
        "vertices": neutral + 0.01 * rng.normal(size=(frames, 5, 3)).astype(np.float32),
        "coarse_vertices": neutral + 0.01 * rng.normal(size=(frames, 5, 3)).astype(np.float32),
        "neutral_vertices": neutral,
        "faces": np.array([[0, 1, 2], [2, 3, 4]]),
        "action_units": (1, 12),
        "au_probabilities": rng.uniform(size=(frames, 2)),
        "au_masks": np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]),
        "rotation": np.broadcast_to(np.eye(3), (frames, 3, 3)),
        "scale": np.full(frames, 1000.0),
        "translation": np.full((frames, 2), 50.0),
        "confidence": np.where(valid, 0.9, 0.0),
        "height": 100,
        "width": 100,
    }
    arrays.update(changes)
    for name in ("vertices", "coarse_vertices", "au_probabilities", "au_intensities"):
        if arrays.get(name) is not None and "keep" not in changes:
            arrays[name] = np.array(arrays[name], np.float32)
            if len(arrays[name]) == frames:
                arrays[name][~valid] = np.nan
    return FaceSequence(**arrays)


def with_decisions(columns: list[list[int]], invalid: tuple[int, ...] = (), **changes: object) -> FaceSequence:
    probabilities = np.where(np.array(columns).T == 1, 0.8, 0.1)
    return make(len(probabilities), invalid, au_probabilities=probabilities, **changes)


def test_arrays_get_their_types_and_defaults() -> None:
    sequence = make()
    assert sequence.vertices.dtype == np.float32
    assert sequence.timestamps.dtype == np.float64
    assert sequence.faces.dtype == np.int64
    assert np.array_equal(sequence.thresholds, [0.5, 0.5])
    assert not sequence.interpolated.any()
    assert len(sequence) == 6
    assert sequence.frame_rate == pytest.approx(10)
    assert "frames=6" in repr(sequence)
    assert math.isnan(make(1).frame_rate)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("valid", np.ones(5)),
        ("vertices", np.zeros((6, 4, 3))),
        ("vertices", np.zeros((6, 5))),
        ("coarse_vertices", np.zeros((5, 5, 3))),
        ("faces", np.zeros((2, 4), int)),
        ("uv", np.zeros((4, 2))),
        ("au_probabilities", np.zeros((6, 3))),
        ("au_intensities", np.zeros((5, 2))),
        ("au_masks", np.ones((5, 2))),
        ("thresholds", [0.5]),
        ("rotation", np.eye(3)),
        ("scale", np.ones((6, 1))),
        ("translation", np.zeros((6, 3))),
        ("interpolated", [False]),
    ],
)
def test_a_wrong_shape_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} of a FaceSequence with 6 timestamps"):
        make(**{name: value})


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match="never fall"):
        make(timestamps=[0.0, 0.2, 0.1, 0.3, 0.4, 0.5])
    with pytest.raises(ValueError, match="rows of its vertices"):
        make(faces=[[0, 1, 5]])
    with pytest.raises(ValueError, match="au_probabilities of a FaceSequence must be finite"):
        make(au_probabilities=np.full((6, 2), np.nan))
    good = make(invalid=(2,))
    with pytest.raises(ValueError, match="vertices of a FaceSequence must be NaN in every frame that is not valid"):
        dataclasses.replace(good, vertices=np.nan_to_num(good.vertices))


def test_decisions_use_each_threshold_and_are_false_without_a_face() -> None:
    sequence = make(3, invalid=(2,), au_probabilities=[[0.3, 0.6], [0.2, 0.7], [1, 1]], thresholds=[0.3, 0.7])
    assert sequence.au_decisions.tolist() == [[True, False], [False, True], [False, False]]


def test_motion_is_the_mean_displacement_inside_the_mask() -> None:
    sequence = make(2, invalid=(1,))
    vertices = sequence.vertices.copy()
    vertices[0] = sequence.neutral_vertices
    vertices[0, 0] += [0.003, 0, 0.004]  # 5 mm at one of the two vertices of AU 1
    moved = dataclasses.replace(sequence, vertices=vertices)
    assert moved.au_motion[0] == pytest.approx([0.0025, 0], abs=1e-6)
    assert np.isnan(moved.au_motion[1]).all()


@pytest.mark.parametrize(
    ("axis", "column", "movement", "sign"),
    [
        # Each row: a turn about an axis of the camera frame (x right, y up, z towards the viewer), the angle that it
        # changes, what a viewer sees, and OpenFace's sign. All three signs agree with OpenFace's csv files of real
        # clips with head motion: correlations of 0.72 to 0.99 for pitch, yaw and roll.
        ((1, 0, 0), 0, "the forehead comes towards the viewer: the person looks down", +1),
        ((0, 1, 0), 1, "the nose moves right in the image: the person turns to the own left", -1),
        ((0, 0, 1), 2, "the head leans anticlockwise in the image, onto the own right shoulder", -1),
    ],
)
def test_pose_angles_have_openface_signs(axis: tuple[int, ...], column: int, movement: str, sign: int) -> None:
    rotation = axis_angle_to_matrix(0.3 * torch.tensor(axis, dtype=torch.float32)).numpy()
    angles = make(2, invalid=(1,), rotation=np.stack([rotation, rotation])).pose_angles
    expected = np.zeros(3)
    expected[column] = 0.3 * sign
    assert angles[0] == pytest.approx(expected, abs=1e-6), movement
    assert np.isnan(angles[1]).all()


def test_image_points_look_down_the_camera() -> None:
    sequence = make(2, invalid=(1,), translation=[[30, 40], [0, 0]])
    points = sequence.image_points
    assert points[0, :, 0] == pytest.approx(1000 * sequence.vertices[0, :, 0] + 30, rel=1e-5)
    assert points[0, :, 1] == pytest.approx(40 - 1000 * sequence.vertices[0, :, 1], rel=1e-5)
    assert np.isnan(points[1]).all()


def test_to_pandas_has_the_columns_of_the_csv() -> None:
    table = make(3, invalid=(1,), au_intensities=np.full((3, 2), 2.5)).to_pandas()
    assert list(table.columns) == [
        *("frame", "face_id", "timestamp", "confidence", "success", "pose_Rx", "pose_Ry", "pose_Rz"),
        *("AU01_p", "AU12_p", "AU01_c", "AU12_c", "AU01_r", "AU12_r"),
    ]
    assert table["frame"].tolist() == [1, 2, 3]
    assert table["success"].tolist() == [1, 0, 1]
    assert table.loc[1, "confidence"] == 0
    assert table.loc[1, "pose_Rx":].isna().all()
    assert table.loc[0, "AU12_r"] == 2.5
    assert "AU01_r" not in make().to_pandas().columns


def test_events_run_from_the_first_to_the_last_active_frame() -> None:
    sequence = with_decisions([[0, 1, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0]])
    sequence.au_probabilities[2, 0] = 0.95
    events = sequence.events()
    assert [(event.action_unit, event.onset, event.apex, event.offset) for event in events] == [
        (12, 0, 0, 0),
        (1, 1, 2, 3),
        (1, 5, 5, 5),
    ]
    assert events[1].onset_time == pytest.approx(0.1)
    assert events[1].duration == pytest.approx(0.2)
    assert events[1].peak_probability == pytest.approx(0.95)
    assert events[1].peak_intensity is None


def test_an_event_peaks_where_the_intensity_does() -> None:
    intensities = np.array([[0, 1, 4, 2], [0, 0, 0, 0]]).T
    event = with_decisions([[0, 1, 1, 1], [0, 0, 0, 0]], au_intensities=intensities).events()[0]
    assert (event.apex, event.peak_intensity) == (2, 4.0)


def test_gaps_are_bridged_only_when_asked_and_never_without_a_face() -> None:
    columns = [[1, 1, 0, 1, 1], [0, 0, 0, 0, 0]]
    assert len(with_decisions(columns).events()) == 2
    assert len(with_decisions(columns).events(max_gap=0.21)) == 1
    assert len(with_decisions(columns).events(max_gap=0.19)) == 2
    assert len(with_decisions(columns, invalid=(2,)).events(max_gap=1.0)) == 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_events_cover_exactly_the_active_frames(frames: list[tuple[bool, bool]]) -> None:
    active, valid = np.array(frames).T
    sequence = with_decisions([active, np.zeros(len(frames))], invalid=tuple(np.flatnonzero(~valid)))
    covered = np.zeros(len(frames), bool)
    for event in sequence.events():
        assert not covered[event.onset : event.offset + 1].any()
        covered[event.onset : event.offset + 1] = True
    assert np.array_equal(covered, active & valid)


def test_an_activation_that_lingers_at_the_threshold_is_one() -> None:
    first = [0.1, 0.6, 0.45, 0.52, 0.36, 0.34, 0.4, 0.5]  # above, held, above, held, released, not begun, above
    sequence = make(8, au_probabilities=np.stack([first, np.full(8, 0.45)], 1))
    assert sequence.au_activity[:, 0].tolist() == [False, True, True, True, True, False, False, True]
    assert not sequence.au_activity[:, 1].any()  # never reaches the threshold, so it never begins
    assert [(event.onset, event.offset) for event in sequence.events()] == [(1, 4), (7, 7)]
    assert sequence.au_decisions[:, 0].sum() == 3


def test_a_frame_without_the_person_ends_an_activation() -> None:
    sequence = make(5, (2,), au_probabilities=np.stack([[0.6, 0.4, 0.4, 0.4, 0.4], np.zeros(5)], 1))
    assert sequence.au_activity[:, 0].tolist() == [True, True, False, False, False]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_activity_holds_every_decision_and_nothing_below_the_release(seed: int) -> None:
    probabilities = np.random.default_rng(seed).uniform(size=(30, 2))
    sequence = make(30, au_probabilities=probabilities)
    activity = sequence.au_activity
    assert (activity | ~sequence.au_decisions).all()
    assert not activity[probabilities < RELEASE * 0.5 - 1e-6].any()
