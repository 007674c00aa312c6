"""Identities on faces made up as point sets: every law here holds without a tracker or a video."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from au_d3dface.errors import InputError
from au_d3dface.tracking import FaceIdentities, TrackedFace, TrackedVideo, iterate_faces, track_faces

HEIGHT, WIDTH = 240, 640


def made_up_face(seed: int, centre: tuple[float, float], size: float = 60) -> np.ndarray:
    """(478, 3) landmarks in a box of `size` pixels; the seed is the person."""
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (478, 3)) * size
    return (points + np.array([*centre, 0])).astype(np.float32)


def picture(*people: tuple[int, tuple[float, float]], size: float = 60) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    for colour, (x, y) in people:
        half = int(size / 2) + 2
        image[int(y) - half : int(y) + half, int(x) - half : int(x) + half] = [(200, 120, 90), (90, 70, 160)][colour]
    return image


class ScriptedTracker:
    def __init__(self, script):
        self.script = iter(script)

    def __call__(self, image, timestamp):
        return next(self.script)

    def close(self):
        pass


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=5, max_size=25))
def test_the_trackers_order_does_not_matter(swaps):
    identities = FaceIdentities()
    for k, swap in enumerate(swaps):
        places = (100 + 4 * k, 120), (500 - 4 * k, 120)
        faces = [made_up_face(1, places[0]), made_up_face(2, places[1])]
        image = picture((0, places[0]), (1, places[1]))
        named = identities.assign(image, faces[::-1] if swap and k else faces, k / 30)
        np.testing.assert_array_equal(named[0], faces[0])
        np.testing.assert_array_equal(named[1], faces[1])


def test_duplicates_are_removed_and_counted():
    identities = FaceIdentities()
    face = made_up_face(1, (100, 120))
    assert len(identities.assign(picture((0, (100, 120))), [face, face + 1.0], 0.0)) == 1
    assert identities.duplicates == 1


def scripted(frames_of, script):
    images = [picture() for _ in script]
    return track_faces(frames_of(images), ScriptedTracker(script))


def test_a_tiny_stray_is_left_out_and_said(frames_of):
    script = [[made_up_face(1, (100, 120), 120)] for _ in range(60)]
    script[30].append(made_up_face(2, (500, 40), 20))
    video = scripted(frames_of, script)
    assert len(video.faces) == 1
    assert video.faces[0].valid.all()
    assert len(video.warnings) == 1
    assert video.warnings[0].startswith("1 face seen in at most 5 frames")


def test_a_large_or_lasting_second_face_is_kept(frames_of):
    brief = [[made_up_face(1, (100, 120), 120)] for _ in range(60)]
    brief[30].append(made_up_face(2, (500, 120), 100))
    lasting = [[made_up_face(1, (100, 120), 120), made_up_face(2, (500, 40), 20)] for _ in range(60)]
    for script in (brief, lasting):
        video = scripted(frames_of, script)
        assert len(video.faces) == 2
        assert [face.face_id for face in video.faces] == [0, 1]
        assert video.warnings == []


def test_rows_of_absent_frames_are_nan_and_time_starts_at_zero(frames_of):
    frames = frames_of([picture()] * 3)
    for frame in frames:
        frame.timestamp += 7.5
    counts = []
    video = track_faces(frames, ScriptedTracker([[], [made_up_face(1, (100, 120))], []]), progress=counts.append)
    assert counts == [1, 2, 3]
    np.testing.assert_allclose(video.timestamps, [0, 1 / 30, 2 / 30])
    assert video.faces[0].valid.tolist() == [False, True, False]
    assert np.isnan(video.faces[0].landmarks[[0, 2]]).all()


def test_no_frames_and_changing_sizes_are_errors(frames_of):
    with pytest.raises(InputError, match="no frames"):
        track_faces([], ScriptedTracker([]))
    frames = frames_of([picture(), np.zeros((10, 10, 3), np.uint8)])
    with pytest.raises(InputError, match="frame 2 is 10 x 10 pixels"):
        track_faces(frames, ScriptedTracker([[], []]))


def test_iterating_holds_one_frame_at_a_time(frames_of):
    asked = 0

    def frames():
        nonlocal asked
        for frame in frames_of([picture()] * 3):
            asked += 1
            yield frame

    for number, (_, faces) in enumerate(iterate_faces(frames(), ScriptedTracker([[]] * 3)), start=1):
        assert asked == number
        assert faces == {}


def test_prominence_prefers_the_face_that_is_there_throughout():
    def face(face_id, size, frames):
        landmarks = np.stack([made_up_face(face_id, (100, 100), size)] * 66)
        return TrackedFace(face_id, landmarks, np.arange(66) < frames)

    video = TrackedVideo(np.arange(66) / 30, HEIGHT, WIDTH, [face(0, 140, 18), face(1, 70, 66)])
    assert video.largest.face_id == 1
