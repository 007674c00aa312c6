"""Live use, picture by picture."""

import itertools

import numpy as np
import pytest
import torch

from au_d3dface import AUD3DFacePipeline
from au_d3dface.assets import sample_video
from au_d3dface.streaming import AUD3DFaceStream
from au_d3dface.video import VideoReader


@pytest.fixture(scope="module")
def pipe() -> AUD3DFacePipeline:
    return AUD3DFacePipeline.from_pretrained()


@pytest.fixture(scope="module")
def seen(pipe) -> list:
    """What a stream says of the first four seconds of the sample clip, picture by picture."""
    stream = AUD3DFaceStream(pipe)
    with VideoReader(sample_video()) as reader:
        faces = [stream(frame.image, frame.timestamp) for frame, _ in zip(reader, range(120), strict=False)]
    stream.close()
    return faces


def test_every_picture_has_its_face_and_values_are_held_between_samples(seen):
    assert all(len(faces) == 1 and faces[0].face_id == 0 for faces in seen)
    faces = [faces[0] for faces in seen]
    assert np.mean([face.held for face in faces]) == pytest.approx(2 / 3, abs=0.05)
    for before, face in itertools.pairwise(faces):
        assert np.isfinite(face.vertices).all()
        if face.held:
            assert np.array_equal(face.au_probabilities, before.au_probabilities)


def test_the_neutral_face_is_replaced_at_most_a_few_times(seen):
    restarts = [index for index, faces in enumerate(seen) if faces[0].restarted]
    assert restarts[0] == 0
    assert len(restarts) <= 3


def test_live_decoding_gives_the_numbers_of_generate(pipe, seen):
    """Since the last restart, the samples decoded at once are the samples decoded live."""
    faces = [faces[0] for faces in seen]
    last = max(index for index, face in enumerate(faces) if face.restarted)
    samples = [face for face in faces[last:] if not face.held]
    output = pipe.model.generate(
        vertices=torch.from_numpy(np.stack([face.coarse_vertices for face in samples]))[None],
        neutral_vertices=torch.from_numpy(samples[-1].neutral_vertices)[None],
    )
    live = np.stack([face.au_probabilities for face in samples])
    assert np.allclose(live, output.au_probabilities[0].numpy(), atol=1e-5)
    vertices = np.stack([face.vertices for face in samples])
    assert np.allclose(vertices, output.vertices[0].numpy(), atol=1e-6)


def test_someone_who_leaves_and_returns(pipe):
    stream = AUD3DFaceStream(pipe)
    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(20), strict=False)]
    empty = np.full_like(frames[0], 128)
    shown = [*frames, *[empty] * 120, *frames]
    faces = [stream(image, index / 30) for index, image in enumerate(shown)]
    stream.close()
    assert all(len(found) == 1 for found in faces[:20])
    assert not any(faces[30:138])
    assert len(faces[-1]) == 1
    assert np.isfinite(faces[-1][0].au_probabilities).all()
