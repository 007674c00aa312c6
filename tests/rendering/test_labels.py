import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from au_d3dface.rendering import LabelBlock, draw_labels

LINES = (("AU06 cheek raiser", 0.5), ("AU12 lip corner puller", 1.0))


def changed_box(before, after):
    rows, columns = np.nonzero((before != after).any(-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("size", [(96, 128), (360, 640), (1080, 1920), (181, 121)])
def test_readable_at_any_size(size):
    image = np.full((*size, 3), 128, np.uint8)
    drawn = draw_labels(image, [LabelBlock(LINES)])
    left, top, right, bottom = changed_box(image, drawn)
    assert (left, top) == (0, 0)
    assert right <= size[1]
    assert bottom <= size[0]
    assert drawn.max() > 230  # bright text
    assert bottom - top > 0.05 * size[0]


def test_beside_the_face_not_on_it():
    image = np.full((360, 640, 3), 128, np.uint8)
    for face in ((40, 60, 200, 260), (430, 60, 600, 260)):
        drawn = draw_labels(image, [LabelBlock(LINES, face)])
        assert (drawn[face[1] : face[3], face[0] : face[2]] == 128).all()
        assert (drawn != image).any()


def test_two_faces_have_their_own_places():
    image = np.full((360, 640, 3), 128, np.uint8)
    first = LabelBlock(LINES, (100, 60, 240, 240), "face 0")
    second = LabelBlock(LINES, (400, 60, 540, 240), "face 1")
    both = draw_labels(image, [first, second])
    one = draw_labels(image, [first])
    assert ((both != image).any(-1)).sum() == pytest.approx(2 * (one != image).any(-1).sum(), rel=0.05)
    for face in (first.box, second.box):
        assert (both[face[1] : face[3], face[0] : face[2]] == 128).all()


def test_bars_grow_with_the_amount():
    image = np.zeros((200, 300, 3), np.uint8)

    def orange(amount):
        drawn = draw_labels(image, [LabelBlock([("AU12", amount)])]).astype(int)
        return int(((drawn[..., 0] > 240) & (drawn[..., 2] < 90)).sum())

    assert orange(0.0) == orange(float("nan")) == orange(-1.0) == 0
    assert 0 < orange(0.3) < orange(0.6) < orange(1.0) == orange(7.0)


def test_nothing_to_say():
    image = np.full((60, 80, 3), 9, np.uint8)
    assert np.array_equal(draw_labels(image, [LabelBlock(())]), image)
    assert np.array_equal(draw_labels(image, []), image)


@given(
    st.integers(8, 200),
    st.integers(8, 200),
    st.tuples(*[st.floats(-300, 300) for _ in range(4)]),
    st.integers(0, 20),
)
@settings(max_examples=40, deadline=None)
def test_never_leaves_the_picture(height, width, box, count):
    image = np.zeros((height, width, 3), np.uint8)
    left, right = sorted(box[:2])
    top, bottom = sorted(box[2:])
    lines = [(f"AU{k:02d} some name", k / 20) for k in range(count)]
    drawn = draw_labels(image, [LabelBlock(lines, (left, top, right, bottom), "title")] * 2)
    assert drawn.shape == image.shape
