"""Strips: everything has its place, nothing lies on anything else, and the whole stays of a bounded size."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from au_d3dface.rendering import ColourScale, StripRow, compose_strip, strip_layout
from au_d3dface.rendering.strips import MAX_SIDE
from au_d3dface.rendering.text import shortened, text_width, wrapped


def picture(value, height=60, width=60):
    return np.full((height, width, 3), value, np.uint8)


def boxes_of(layout):
    boxes = [*itertools.chain(*layout.cells), *layout.labels, *layout.heads, *layout.notes, layout.title]
    return [box for box in [*boxes, *(box for box, _ in layout.bars)] if box[2] > box[0] and box[3] > box[1]]


def assert_apart(layout):
    boxes = boxes_of(layout)
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= layout.width
        assert 0 <= top < bottom <= layout.height
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


@given(
    st.integers(1, 5),
    st.integers(1, 7),
    st.tuples(st.integers(30, 300), st.integers(30, 300)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 9),
    st.lists(st.sampled_from([None, ColourScale(2.0), ColourScale(0.5, "m", True)]), min_size=5, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_nothing_overlaps(count, columns, cell, labels, captions, notes, scales):
    place = picture(0, 10, 10)
    rows = [
        StripRow("a long label of a row" * labels, [place] * columns, ["1.2 mm"] * columns * captions, scale)
        for scale in scales[:count]
    ]
    heads = [f"{k} s" for k in range(columns)] if labels else []
    layout = strip_layout(rows, heads, [["AU12"] * notes] * columns, "title" * labels, cell)
    assert_apart(layout)
    sizes = {(right - left, bottom - top) for left, top, right, bottom in itertools.chain(*layout.cells)}
    assert sizes == {(cell[1], cell[0])}
    assert [len(row) for row in layout.cells] == [columns] * count
    lefts = [box[0] for box in layout.cells[0]]
    assert len(set(np.diff(lefts))) <= 1  # evenly spaced


def test_every_picture_is_in_its_place():
    rows = [StripRow("a", [picture(10), picture(40), None]), StripRow("b", [picture(70), picture(100), picture(130)])]
    whole = compose_strip(rows, ["x", "y", "z"], [["one"], ["two", "lines"], []], "title")
    layout = strip_layout(rows, ["x", "y", "z"], [["one"], ["two", "lines"], []], "title")
    assert whole.shape == (layout.height, layout.width, 3)
    for row, boxes in zip(rows, layout.cells, strict=True):
        for shown, (left, top, right, bottom) in zip(row.pictures, boxes, strict=True):
            expected = 255 if shown is None else shown[0, 0, 0]
            assert (whole[top:bottom, left:right] == expected).all()
    for left, top, right, bottom in (*layout.labels, *layout.heads, *layout.notes[:2], layout.title):
        assert (whole[top:bottom, left:right] < 120).any()  # text
    covered = np.zeros(whole.shape[:2], bool)
    for left, top, right, bottom in boxes_of(layout):
        covered[top:bottom, left:right] = True
    assert (whole[~covered] == 255).all()


def test_pictures_are_matched_in_size_and_keep_their_proportions():
    rows = [StripRow("", [picture(0, 60, 60), picture(0, 20, 40), picture(0, 5, 5)])]
    whole = compose_strip(rows)
    (boxes,) = strip_layout(rows).cells
    shapes = []
    for left, top, right, bottom in boxes:
        inside = (whole[top:bottom, left:right] == 0).all(-1)
        shapes.append((inside.any(1).sum(), inside.any(0).sum()))
    assert shapes == [(60, 60), (30, 60), (60, 60)]


def test_rows_of_one_scale_share_a_bar():
    scale = ColourScale(2.0)
    kinds = [None, scale, scale, ColourScale(3.0), None, scale]
    layout = strip_layout([StripRow("r", [picture(0)], scale=kind) for kind in kinds])
    assert [bar for _, bar in layout.bars] == [scale, ColourScale(3.0), scale]
    box = layout.bars[0][0]
    assert (box[1], box[3]) == (layout.cells[1][0][1], layout.cells[2][0][3])


def test_the_whole_is_bounded():
    rows = [StripRow("row", [picture(0, 900, 900)] * 12, ["caption"] * 12) for _ in range(3)]
    layout = strip_layout(rows, ["head"] * 12)
    assert max(layout.width, layout.height) <= MAX_SIDE
    assert layout.width > 0.9 * MAX_SIDE
    assert_apart(layout)
    with pytest.raises(ValueError, match="too many"):
        strip_layout([StripRow("", [picture(0)] * 400)])


def test_one_picture():
    whole = compose_strip([StripRow("", [picture(9)])])
    assert (whole == 9).all(-1).sum() == 3600


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ([], ()),
        ([StripRow("a", [])], ()),
        ([StripRow("a", [None, None])], ()),
        ([StripRow("a", [picture(0)]), StripRow("b", [picture(0)] * 2)], ()),
        ([StripRow("a", [picture(0)] * 2, ["one"])], ()),
        ([StripRow("a", [picture(0)] * 2)], ["one"]),
    ],
)
def test_what_does_not_fit_together(rows, labels):
    with pytest.raises(ValueError, match=r"at least one picture|as many"):
        compose_strip(rows, labels)


def test_text_that_is_too_long():
    assert shortened("AU12", 12, 100) == "AU12"
    short = shortened("AU12 lip corner puller", 12, 70)
    assert short.startswith("AU12")
    assert short.endswith("...")
    assert text_width(short, 12) <= 70
    assert shortened("AU12", 12, 3) == ""
    lines = wrapped("refined mesh with a very long name", 12, 80, 2)
    assert len(lines) == 2
    assert all(text_width(line, 12) <= 80 for line in lines)
    assert wrapped("", 12, 80, 2) == []
