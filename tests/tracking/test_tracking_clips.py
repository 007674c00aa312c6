"""Tracking on real clips, alone, side by side, crossing, cut together, coming and going."""

import cv2
import numpy as np

from au_d3dface.tracking import face_mesh_triangles, track_faces


def square(image: np.ndarray, side: int = 300) -> np.ndarray:
    """The middle of a picture, a square of `side` pixels."""
    edge = min(image.shape[:2])
    top, left = (image.shape[0] - edge) // 2, (image.shape[1] - edge) // 2
    return cv2.resize(image[top : top + edge, left : left + edge], (side, side), interpolation=cv2.INTER_AREA)


def centres(face) -> np.ndarray:
    return face.landmarks[:, :468, 0].mean(1)


def test_one_face_throughout_and_triangles_look_outwards(read_clip, tracker):
    frames = read_clip("pyfeat_single_face.mp4", 40)
    video = track_faces(frames, tracker)
    assert (video.height, video.width) == frames[0].image.shape[:2]
    assert video.timestamps[0] == 0
    assert len(video.faces) == 1
    face = video.faces[0]
    assert face.valid.all()
    assert face.landmarks.dtype == np.float32
    assert video.warnings == []
    a, b, c = (face.landmarks[0][face_mesh_triangles()[:, k]] for k in range(3))
    towards_viewer = -np.cross(b - a, c - a)[:, 2]
    assert (towards_viewer > 0).mean() > 0.95, "normals of a frontal face look out of it (z points away)"


def test_no_face_is_invented_once_it_is_gone(read_clip, tracker):
    video = track_faces(read_clip("pyfeat_face_noface.mov"), tracker)
    assert len(video.timestamps) == 169
    assert len(video.faces) == 1
    np.testing.assert_array_equal(np.nonzero(video.faces[0].valid)[0], np.arange(72))
    assert np.isnan(video.faces[0].landmarks[72:]).all()
    assert np.isfinite(video.faces[0].landmarks[:72]).all()


def test_a_video_without_a_face_gives_none(read_clip, tracker):
    video = track_faces(read_clip("pyfeat_no_face.mp4"), tracker)
    assert video.faces == []
    assert video.largest is None
    assert len(video.timestamps) == 95


def test_a_print_on_the_shirt_is_not_the_largest_face(read_clip, tracker):
    """In the last 18 frames the skull on the man's shirt is found too, twice as large as his face."""
    video = track_faces(read_clip("intel_asl_no.mkv"), tracker)
    assert video.largest.valid.all()
    assert video.largest.face_id == 0


def test_two_faces_side_by_side(read_clip, frames_of, tracker):
    left = [square(f.image) for f in read_clip("pyfeat_single_face.mp4", 30)]
    right = [square(f.image) for f in read_clip("pyfeat_WolfgangLanger_Pexels.mp4", 30)]
    video = track_faces(frames_of([np.hstack(pair) for pair in zip(left, right, strict=True)]), tracker)
    assert len(video.faces) == 2
    sides = sorted(video.faces, key=lambda face: np.nanmean(centres(face)))
    assert all(face.valid.mean() > 0.9 for face in sides)
    assert np.nanmax(centres(sides[0])) < 300 < np.nanmin(centres(sides[1]))


def crossing(front: list[np.ndarray], behind: list[np.ndarray], count: int) -> tuple[list[np.ndarray], list[float]]:
    """Both faces wander across the picture, one hiding the other on the way; also the front face's left edge."""
    images, edges = [], []
    for k in range(count):
        image = np.full((300, 900, 3), 128, dtype=np.uint8)
        share = k / (count - 1)
        one, other = round(600 * share), round(600 * (1 - share))
        image[:, other : other + 300] = behind[k % len(behind)]
        image[:, one : one + 300] = front[k % len(front)]
        images.append(image)
        edges.append(one)
    return images, edges


def test_identities_stay_with_the_person_through_a_crossing(read_clip, frames_of, tracker):
    front = [square(f.image) for f in read_clip("pyfeat_single_face.mp4", 60)]
    behind = [square(f.image) for f in read_clip("pyfeat_WolfgangLanger_Pexels.mp4", 60)]
    images, edges = crossing(front, behind, 60)
    video = track_faces(frames_of(images), tracker)
    assert len(video.faces) == 2, video.warnings
    mover = min(video.faces, key=lambda face: centres(face)[face.valid][0])
    other = next(face for face in video.faces if face is not mover)
    assert mover.valid.all()
    offset = centres(mover) - np.array(edges)
    assert np.abs(offset - offset[0]).max() < 30, "stays on the picture that moves right"
    assert not other.valid.all(), "hidden for some frames"
    assert other.valid[:10].all()
    assert other.valid[-10:].all()
    offset = (centres(other) - (600 - np.array(edges)))[other.valid]
    assert np.abs(offset - offset[0]).max() < 60, "stays on the one that moves left, half hidden at times"


def test_a_cut_to_another_person_in_the_same_place_and_back(read_clip, frames_of, tracker):
    """The tracker follows its window onto the new face; the identities must not."""
    one = [square(f.image) for f in read_clip("pyfeat_single_face.mp4", 45)]
    other = [square(f.image) for f in read_clip("pyfeat_WolfgangLanger_Pexels.mp4", 15)]
    video = track_faces(frames_of(one[:15] + other + one[30:]), tracker)
    assert [np.nonzero(face.valid)[0].tolist() for face in video.faces] == [
        [*range(15), *range(30, 45)],
        [*range(15, 30)],
    ]


def test_leaving_and_coming_back_elsewhere_is_the_same_person(read_clip, frames_of, tracker):
    images = [square(f.image) for f in read_clip("pyfeat_single_face.mp4", 30)]
    grey = np.full((300, 300, 3), 128, dtype=np.uint8)
    shown = [np.hstack([image, grey]) for image in images[:15]]
    shown += [np.hstack([grey, grey])] * 15
    shown += [np.hstack([grey, image]) for image in images[15:]]
    video = track_faces(frames_of(shown, rate=10), tracker)
    assert len(video.faces) == 1
    np.testing.assert_array_equal(np.nonzero(video.faces[0].valid)[0], [*range(15), *range(30, 45)])


def test_a_face_in_one_frame_only_is_kept(read_clip, frames_of, tracker):
    image = square(read_clip("pyfeat_single_face.mp4", 1)[0].image)
    video = track_faces(frames_of([np.zeros_like(image), image, np.zeros_like(image)]), tracker)
    assert len(video.faces) == 1
    assert video.faces[0].valid.tolist() == [False, True, False]


def test_sizes(read_clip, frames_of, tracker):
    """4K and odd sizes are one face each; a picture of few pixels is no error."""
    image = read_clip("pyfeat_single_face.mp4", 1)[0].image
    for height, width in ((2160, 3840), (361, 641), (91, 161)):
        video = track_faces(frames_of([cv2.resize(image, (width, height))]), tracker)
        assert len(video.faces) == 1, (height, width)
        assert (video.height, video.width) == (height, width)
        points = video.faces[0].landmarks[0]
        assert 0 < points[1, 0] < width
        assert 0 < points[1, 1] < height
    for shape in ((1, 1, 3), (2, 7, 3), (16, 16, 3)):
        assert track_faces(frames_of([np.zeros(shape, dtype=np.uint8)]), tracker).faces == []
