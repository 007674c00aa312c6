"""From a video to the dense face: what changes with it, what does not, and whether it sits on the points."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from au_d3dface import AUD3DFacePipeline, FaceSequence
from au_d3dface.assets import sample_video
from au_d3dface.dense_face import DenseFace
from au_d3dface.errors import UsageError
from au_d3dface.streaming import AUD3DFaceStream
from au_d3dface.video import VideoReader


@pytest.fixture(scope="module")
def dense_pipe(kit_path: Path) -> AUD3DFacePipeline:
    """Over the small kit, whose triangles cross one another: good for what does not depend on the face."""
    return AUD3DFacePipeline.from_pretrained(face_model="ict", ict_facekit=kit_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_video) -> Path:
    """A second of the sample clip with a gap of ten frames without a face."""
    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(30), strict=False)]
    empty = [np.full_like(frames[0], 128)] * 10
    return make_video(tmp_path_factory.mktemp("clip") / "gap.mp4", [*frames[:18], *empty, *frames[18:]])


@pytest.fixture(scope="module")
def sparse(dense_pipe: AUD3DFacePipeline, clip: Path) -> FaceSequence:
    pipe = AUD3DFacePipeline(dense_pipe.model, dense_pipe.coarse, dense_pipe.tracker)
    return pipe(clip)[0]


@pytest.fixture(scope="module")
def dense(dense_pipe: AUD3DFacePipeline, clip: Path) -> FaceSequence:
    return dense_pipe(clip)[0]


def test_meshes_are_dense_and_the_rest_stays(sparse: FaceSequence, dense: FaceSequence, kit_arrays) -> None:
    assert dense.vertices.shape == dense.coarse_vertices.shape == (40, 9409, 3)
    assert dense.neutral_vertices.shape == (9409, 3)
    assert dense.au_masks.shape == (19, 9409)
    assert sorted(dense.expression_names) == sorted(kit_arrays["expression_names"])
    assert dense.expression_weights.shape == (40, len(dense.expression_names))
    assert (dense.provenance["face_model"], dense.provenance["network_face_model"]) == ("ict", "facemesh")
    assert not dense.valid[20:26].any()
    for name in ("au_probabilities", "au_intensities", "rotation", "scale", "translation", "valid", "interpolated"):
        np.testing.assert_array_equal(getattr(dense, name), getattr(sparse, name))


def test_values_between_samples_are_linear_in_time(dense: FaceSequence) -> None:
    checked = 0
    for a, b in itertools.pairwise(np.flatnonzero(dense.valid & ~dense.interpolated)):
        if not dense.valid[a:b].all():
            continue
        for frame in range(a + 1, b):
            t = (dense.timestamps[frame] - dense.timestamps[a]) / (dense.timestamps[b] - dense.timestamps[a])
            for values in (dense.vertices, dense.expression_weights):
                np.testing.assert_allclose(values[frame], (1 - t) * values[a] + t * values[b], atol=1e-6)
            checked += 1
    assert checked > 10


def test_every_output_takes_it(dense: FaceSequence, tmp_path: Path) -> None:
    dense.save(tmp_path, "csv,npz,glb,overlay,timeline,obj")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"action_units.csv", "sequence.npz", "face.glb", "overlay.mp4", "timeline.png", "meshes"} <= names
    with np.load(tmp_path / "sequence.npz") as arrays:
        assert arrays["vertices"].shape == (40, 9409, 3)
        assert tuple(arrays["expression_names"]) == dense.expression_names
        assert arrays["expression_weights"].shape == (40, len(dense.expression_names))
    assert len(list((tmp_path / "meshes").iterdir())) == 1 + dense.valid.sum()


def test_a_kit_for_another_face_model_is_refused(kit_path: Path) -> None:
    with pytest.raises(UsageError, match="goes with the face model 'ict'"):
        AUD3DFacePipeline.from_pretrained(ict_facekit=kit_path)


def test_live_use_says_that_it_has_no_dense_face(dense_pipe: AUD3DFacePipeline) -> None:
    with pytest.raises(UsageError, match="leave out"):
        AUD3DFaceStream(dense_pipe)


@pytest.mark.shared_data
@pytest.mark.parametrize("clip_name", ["pyfeat_single_face.mp4", "intel_asl_sorry.mkv"])
def test_on_real_faces(clip_name: str, shared_data: Path, clips: Path) -> None:
    kit_path = shared_data / "ict_facekit" / "ict_facekit.npz"
    pipe = AUD3DFacePipeline.from_pretrained(face_model="ict", ict_facekit=kit_path)
    kit = pipe.dense.fitting.face_model
    dense = pipe(clips / clip_name)[0]
    pipe.dense = None
    sparse = pipe(clips / clip_name)[0]

    def jitter(frames: np.ndarray) -> float:
        return float(np.sqrt(np.square(np.diff(frames, n=2, axis=0)).sum(-1).mean()))

    for name in ("vertices", "coarse_vertices"):
        points = getattr(sparse, name)[sparse.valid]
        surface = torch.from_numpy(getattr(dense, name)[dense.valid])
        seen = kit.landmarks_468(surface, kit.faces).numpy()
        assert np.sqrt(np.square(seen - points).sum(-1).mean()) < 7e-4
        assert jitter(seen) < 1.02 * jitter(points)
        assert jitter(surface.numpy()) < jitter(points)
        # As open as the points say: the lids, and the lips where the points part them.
        for upper, lower in ((159, 145), (386, 374), (13, 14)):
            gap = np.linalg.norm(points[:, upper] - points[:, lower], axis=-1)
            shown = np.linalg.norm(seen[:, upper] - seen[:, lower], axis=-1)
            assert np.abs(shown - gap).max() < 2e-3


def test_it_looks_between_few_frames(sparse: FaceSequence, dense_pipe: AUD3DFacePipeline, monkeypatch) -> None:
    """However long the sequence is; and the faces are the same as fitted all at once."""
    assert dense_pipe.dense is not None
    whole = dense_pipe.dense(sparse)
    monkeypatch.setattr("au_d3dface.dense_face.FRAMES_A_LOOK", 4)
    looks: list[None] = []
    few = DenseFace(dense_pipe.dense.fitting)(sparse, lambda: looks.append(None))
    samples = int((sparse.valid & ~sparse.interpolated).sum())
    assert len(looks) == -(-samples // 4) + -(-int(sparse.valid.sum()) // 4)
    for name in ("vertices", "coarse_vertices", "expression_weights"):
        np.testing.assert_allclose(getattr(few, name), getattr(whole, name), atol=1e-5)
