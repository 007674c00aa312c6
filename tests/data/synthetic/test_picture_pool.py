"""What the weak losses compare with, from pictures of a made-up head, and of the real one where it is there."""

import numpy as np
import pytest
import torch

from au_d3dface.coarse import load_coarse
from au_d3dface.data import collate_clips
from au_d3dface.data.synthetic.filming import RenderSettings
from au_d3dface.data.synthetic.picture_pool import PicturePool, build_picture_pool
from au_d3dface.data.synthetic.pool import SyntheticClips, build_pool
from au_d3dface.data.synthetic.rendered_sequences import (
    PER_SHARD,
    RenderedSequenceSampler,
    StoredSequences,
    render_sequences,
)
from au_d3dface.data.synthetic.stored_pictures import StoredPictures
from au_d3dface.errors import InputError
from au_d3dface.face_models import load_face_model
from au_d3dface.rendering import MeshRenderer

SIZE, FRAMES = 32, 3


@pytest.fixture
def folder(full_kit_path, template_tracker, tmp_path):
    sampler = RenderedSequenceSampler(full_kit_path, RenderSettings(seconds=0.3, size=64), seed=4)
    render_sequences(sampler, tmp_path / "made", PER_SHARD, pictures=True)
    return tmp_path / "made"


@pytest.fixture(scope="module")
def coarse():
    return load_coarse("landmarks", load_face_model("facemesh"))


def test_everything_in_pixels_goes_with_the_pictures(folder, coarse, tmp_path):
    done = []
    pool = build_picture_pool(folder, coarse, SIZE, done.append)
    assert done == [1] * PER_SHARD
    sequences, stored = StoredSequences(folder), StoredPictures(folder)
    assert len(pool) == PER_SHARD
    assert pool.pictures.shape == (PER_SHARD, FRAMES, SIZE, SIZE, 3)
    assert pool.skin.shape == pool.pictures.shape[:-1]
    for index in (0, 2):
        fit = coarse(sequences(index).face)
        torch.testing.assert_close(pool.scale[index], fit.scale / 2)
        torch.testing.assert_close(pool.translation[index], fit.translation / 2)
        torch.testing.assert_close(pool.rotation[index], fit.rotation)
        np.testing.assert_allclose(pool.landmarks[index], stored.landmarks(index) / 2)
        tracked = sequences(index).face.landmarks[:, :468, :2]
        np.testing.assert_allclose(pool.tracked_landmarks[index], tracked / 2)
        large = stored.pictures(index).reshape(FRAMES, SIZE, 2, SIZE, 2, 3).mean((2, 4))
        assert np.abs(pool.pictures[index].numpy() - large).mean() < 6  # not a plain mean, but the same picture
    pool.save(tmp_path / "pool.safetensors")
    again = PicturePool.load(tmp_path / "pool.safetensors")
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(pool).items())


def test_clips_bring_their_pictures(folder, coarse):
    pictures = build_picture_pool(folder, coarse, SIZE)
    clips = SyntheticClips(build_pool(StoredSequences(folder), coarse, PER_SHARD), (12,), 2, beside=[pictures])
    batch = collate_clips([clips[0], clips[3]])
    assert batch["pictures"].shape == (2, 2, SIZE, SIZE, 3)
    assert batch["texture"].shape == (2, *pictures.texture.shape[1:])
    assert batch["sequence"].tolist() == [0, 3]
    row = next(k for k in range(2) if torch.equal(batch["rotation"][1], pictures.rotation[3, k : k + 2]))
    assert torch.equal(batch["pictures"][1], pictures.pictures[3, row : row + 2])


def test_a_person_never_found_counts_for_nothing(folder, coarse, monkeypatch):
    real = StoredSequences.__call__

    def blind(self, index):
        sequence = real(self, index)
        sequence.face.valid[:] = False
        sequence.face.landmarks[:] = np.nan
        return sequence

    monkeypatch.setattr(StoredSequences, "__call__", blind)
    pool = build_picture_pool(folder, coarse, SIZE)
    assert not pool.skin.any()
    assert not pool.visible.any()
    assert all(value.isfinite().all() for value in vars(pool).values())


def test_what_is_no_pool_is_one_sentence(tmp_path):
    path = tmp_path / "pool.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"pool\.safetensors is damaged or of another kind"):
        PicturePool.load(path)
    with pytest.raises(InputError, match="is damaged or of another kind"):
        PicturePool.load(tmp_path / "missing.safetensors")


@pytest.mark.shared_data
def test_the_texture_in_the_light_looks_like_the_pictures(ict_facekit, tmp_path, coarse):
    sampler = RenderedSequenceSampler(ict_facekit, RenderSettings(seconds=1.0, size=256), seed=4)
    render_sequences(sampler, tmp_path / "real", PER_SHARD, pictures=True)
    pool = build_picture_pool(tmp_path / "real", coarse, 128)
    sequences, model = StoredSequences(tmp_path / "real"), coarse.face_model
    for index in (0, 1):
        mesh = coarse(sequences(index).face).vertices
        camera = pool.rotation[index], pool.scale[index], pool.translation[index]
        paint = {"texture": pool.texture[index], "lighting": pool.lighting[index]}
        shown = MeshRenderer(model.faces, model.uv).heads(mesh, *camera, 128, 128, **paint)
        skin = pool.skin[index]
        assert 0.05 < skin.float().mean() < 0.6
        assert (shown.alpha[skin] == 0).float().mean() < 0.02  # rims that shrinking has moved
        skin = skin & (shown.alpha > 0)
        assert (shown.image - pool.pictures[index] / 255).abs().mean(-1)[skin].mean() < 0.02
