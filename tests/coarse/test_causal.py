"""The neutral of a live stream: warm-up, a calmer stretch, gaps; and the per-frame fit."""

import pytest
import torch

from au_d3dface.coarse import CausalNeutral, LandmarkStream
from au_d3dface.coarse.causal import WARM_UP


def changes(stream, truth, rate=25.0, begin=0.0):
    return [i for i, x in enumerate(truth.landmarks) if stream.update(x, begin + i / rate)]


def test_changes_at_the_first_frame_and_after_the_warm_up_only(fitting, make_film, make_act):
    truth = make_film(make_act(250, rest=0.5, strength=3.0), noise=0.2)
    assert changes(CausalNeutral(fitting), truth) == [0, round(WARM_UP * 25)]


def test_is_replaced_once_when_a_person_who_came_in_smiling_relaxes(fitting, make_film, make_act):
    truth = make_film(make_act(250, rest=0.5, strength=3.0).flip(0), noise=0.2)
    causal = CausalNeutral(fitting)
    first, warm, calmer = changes(causal, truth)
    assert (first, warm) == (0, 50)
    assert 125 < calmer <= 125 + 3 * 25  # rest begins at frame 125; a stretch of it must have been seen
    neutral = fitting.neutral_vertices(causal.neutral)
    assert (neutral - truth.neutral).norm(dim=-1).mean() < 8e-4  # size, told from 20 frames' irises, is most of it


def test_is_not_replaced_by_an_expression(fitting, make_film, make_act):
    causal = CausalNeutral(fitting)
    rest, smile = make_film(torch.zeros(75, 8), noise=0.2), make_film(make_act(100, rest=-0.2, strength=3.0))
    assert changes(causal, rest) == [0, 50]
    before = causal.neutral
    assert changes(causal, smile, begin=3.0) == []
    assert changes(causal, smile, begin=60.0) == []  # after a minute's gap
    assert causal.neutral is before


def test_a_picture_at_rest_is_never_replaced(fitting, make_film, make_act):
    picture = make_film(torch.zeros(1, 8)).landmarks[0]
    causal = CausalNeutral(fitting, picture)
    neutral = causal.neutral
    assert changes(causal, make_film(make_act(120), noise=0.2)) == []
    assert causal.neutral is neutral


def test_stream_agrees_with_the_whole_clip(fitting, make_film, make_act):
    truth = make_film(make_act(120, rest=0.6), noise=0.1)
    offline = fitting(truth.face())
    stream = LandmarkStream(fitting)
    frames = [stream(x, i / 25) for i, x in enumerate(truth.landmarks)]
    assert [i for i, frame in enumerate(frames) if frame.restarted] == [0, 50]
    for frame, expected in zip(frames[60:], offline.vertices[60:], strict=True):
        assert (frame.vertices - expected).norm(dim=-1).mean() < 5e-4
    last = frames[-1]
    assert last.neutral_vertices.shape == last.vertices.shape == (1404, 3)
    assert last.rotation.shape == (3, 3)
    assert last.translation.shape == (2,)
    torch.testing.assert_close(last.scale, offline.scale[-1], atol=0, rtol=0.01)
    torch.testing.assert_close(last.residual, offline.residual[-1], atol=0.003, rtol=0)


def test_one_frame_a_second_still_warms_up(fitting, make_film):
    truth = make_film(torch.zeros(12, 8))
    assert changes(CausalNeutral(fitting), truth, rate=1.0) == [0, 2]


@pytest.mark.parametrize("frames", [1, 2])
def test_the_first_frames_have_a_neutral_too(fitting, make_film, frames):
    stream = LandmarkStream(fitting)
    for i, x in enumerate(make_film(torch.zeros(frames, 8)).landmarks):
        frame = stream(x, i / 30)
    assert torch.isfinite(frame.vertices).all()
    assert frame.restarted is (frames == 1)
