"""MultiREX's protocol on files made here in its layout: regions aligned one by one, against a reading of our own."""

import numpy as np
import pytest
from multiface_layout import Layout
from scipy.sparse import csr_matrix, save_npz
from scipy.spatial.transform import Rotation

from au_d3dface.data.multiface.selection import select_clips
from au_d3dface.errors import InputError, UsageError
from au_d3dface.evaluation.meshes.methods import MethodMeshes
from au_d3dface.evaluation.meshes.multirex import LEFT_OUT, MultiREX
from au_d3dface.evaluation.meshes.truths import FolderTruth, MultifaceTruth, TrueSurfaces

SUBJECT, FRAMES = "6795937", [102, 105, 108]
NAMES = ("mouth", "nose", "cheek", "eyes_forehead")


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> MultifaceTruth:
    root = tmp_path_factory.mktemp("multiface") / "copy"
    layout = Layout(root, height=64, width=42, pictures=False, cameras={"400015": -4.0}).write()
    return MultifaceTruth(select_clips(str(layout.root), expressions=["E001"])[0][0])


@pytest.fixture
def assets(tmp_path):
    """Made files in MultiREX's layout; the mouth-and-cheek region holds both, as theirs does."""
    rng = np.random.default_rng(0)
    for name in ("regions", "conversion_matrices", "Neutrals_FLAME"):
        (tmp_path / "assets" / name).mkdir(parents=True)
    order = rng.permutation(7306).astype(np.int32)
    regions = {name: np.sort(part) for name, part in zip(NAMES, np.split(order[:800], 4), strict=True)}
    regions["mouth_cheek"] = np.union1d(regions["mouth"], regions["cheek"])
    for name, rows in regions.items():
        np.save(tmp_path / "assets" / "regions" / f"{name}_region.npy", rows)
    matrix = _matrix(rng)
    save_npz(
        tmp_path / "assets/conversion_matrices" / f"{SUBJECT}_031632_FLAME_to_multiface_weights_sparse_v1.npz", matrix
    )
    rest = rng.normal(0, 0.05, (5023, 3)).round(6)
    path = tmp_path / "assets/Neutrals_FLAME" / f"{SUBJECT}_031632.obj"
    path.write_text("".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in rest))
    return tmp_path / "assets", regions, matrix, rest


def _matrix(rng):
    weights, columns = rng.dirichlet(np.ones(3), 7306), rng.integers(0, 5023, (7306, 3))
    return csr_matrix((weights.ravel(), columns.ravel(), 3 * np.arange(7307)), (7306, 5023))


def meshes(moved: np.ndarray, neutral: np.ndarray | None) -> MethodMeshes:
    return MethodMeshes(np.array(FRAMES), frozenset(), moved, neutral, np.empty((0, 3), np.int64))


def test_motion_counts_and_neither_identity_nor_pose(assets, truth):
    folder, regions, matrix, rest = assets
    rng = np.random.default_rng(1)
    motion = rng.normal(0, 0.003, (3, 5023, 3))
    neutral = rng.normal(0, 0.05, (5023, 3))  # of quite another person
    true = np.stack([matrix @ (rest + moved) for moved in motion])
    turned = true @ Rotation.from_rotvec([0.1, 0.2, -0.1]).as_matrix().T + [0.01, 0.5, 0.2]
    given = meshes(neutral + motion, neutral)
    surfaces = TrueSurfaces(turned, np.empty((0, 3)))
    found = MultiREX(folder.parent).errors(truth, given, surfaces, FRAMES, "it")  # the clone's folder will do too
    assert list(found) == list(NAMES)
    assert max(values.max() for values in found.values()) < 1e-6
    # A mouth that is elsewhere: what is left after mouth and cheek have been aligned together.
    lowered = turned.copy()
    lowered[:, regions["mouth"]] += [0, -0.005, 0]
    found = MultiREX(folder).errors(truth, given, TrueSurfaces(lowered, np.empty((0, 3))), FRAMES, "it")
    assert found["nose"].max() < 1e-6
    for frame in range(3):
        at = regions["mouth_cheek"]
        rotation, _ = Rotation.align_vectors(
            lowered[frame, at] - lowered[frame, at].mean(0), true[frame, at] - true[frame, at].mean(0)
        )
        placed = rotation.apply(true[frame] - true[frame, at].mean(0)) + lowered[frame, at].mean(0)
        for name in ("mouth", "cheek"):
            off = np.linalg.norm(placed - lowered[frame], axis=-1)[regions[name]].mean()
            assert found[name][frame] == pytest.approx(1000 * off, rel=1e-6)


def test_the_frames_that_the_authors_leave_out(assets, truth, monkeypatch):
    folder, _, _, rest = assets
    given, surfaces = meshes(np.stack([rest] * 3), rest), TrueSurfaces(np.zeros((3, 7306, 3)), np.empty((0, 3)))
    clip = truth.clip
    monkeypatch.setitem(LEFT_OUT, (clip.subject, clip.camera.name), slice(None, 2))
    assert np.isfinite(MultiREX(folder).errors(truth, given, surfaces, FRAMES, "it")["nose"]).all()
    monkeypatch.setattr("au_d3dface.evaluation.meshes.multirex._LEFT_OUT_OF", clip.expression)
    left = MultiREX(folder).errors(truth, given, surfaces, FRAMES, "it")["nose"]
    assert np.isnan(left).tolist() == [True, True, False]


def test_refused(assets, truth, tmp_path):
    folder, regions, _, rest = assets
    surfaces = TrueSurfaces(np.zeros((3, 7306, 3)), np.empty((0, 3)))
    given = meshes(np.stack([rest] * 3), rest)

    def errors(with_meshes=given, of=truth):
        return MultiREX(folder).errors(of, with_meshes, surfaces, FRAMES, "it")

    assert errors(meshes(np.zeros((3, 468, 3)), None)) == {}
    with pytest.raises(InputError, match=r"it: MultiREX .* write neutral\.obj"):
        errors(meshes(np.stack([rest] * 3), None))
    with pytest.raises(UsageError, match="a protocol on Multiface"):
        errors(of=FolderTruth("a", tmp_path, (1,)))
    with pytest.raises(InputError, match="holds no folder 'regions'"):
        MultiREX(tmp_path / "elsewhere")
    np.save(folder / "regions" / "nose_region.npy", np.array([7306]))
    with pytest.raises(InputError, match=r"no nose_region\.npy of the 7,306"):
        errors()
    np.save(folder / "regions" / "nose_region.npy", regions["nose"])
    matrix = next((folder / "conversion_matrices").iterdir())
    np.savez(matrix, data=[1.0], indices=[9000], indptr=np.minimum(np.arange(7307), 1), shape=[7306, 5023])
    with pytest.raises(InputError, match="cannot be read as a conversion matrix"):
        errors()
    matrix.unlink()
    with pytest.raises(InputError, match="holds 0 files 6795937_"):
        errors()
