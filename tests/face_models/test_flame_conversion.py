"""Converting FLAME's files: what comes out, and what the user reads where a file is wrong, renamed, cut or hostile."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_flame import NUM_FACES, NUM_VERTICES, made_arrays, made_landmarks, write_landmarks, write_model

from au_d3dface.assets.converted import read_converted, sha256
from au_d3dface.cli import main
from au_d3dface.errors import CheckpointError, UsageError
from au_d3dface.face_models import FLAME, find_flame, load_face_model
from au_d3dface.face_models.flame import KIND, SHAPES
from au_d3dface.face_models.flame_albedo import FLAMEAlbedo
from au_d3dface.face_models.flame_conversion import convert_flame


@pytest.fixture(scope="module")
def arrays() -> dict:
    return made_arrays()


@pytest.fixture(scope="module")
def landmarks(arrays) -> dict:
    return made_landmarks(arrays)


@pytest.fixture(scope="module")
def files(arrays, landmarks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of the authors, the albedo models apart."""
    folder = tmp_path_factory.mktemp("authors")
    write_model(folder / "generic_model.pkl", arrays)
    write_landmarks(folder / "landmark_embedding.npy", landmarks)
    masks = {"face": np.arange(2000), "nose": np.array([5, 9])}
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 2))
    triangles = np.arange(105)
    weights = np.tile([0.5, 0.25, 0.25], (105, 1))
    np.savez(
        folder / "mediapipe_landmark_embedding.npz",
        lmk_face_idx=triangles,
        lmk_b_coords=weights,
        landmark_indices=np.arange(105) + 300,
    )
    write_obj(folder / "head_template.obj", arrays)
    return folder


def write_obj(path: Path, arrays: dict) -> Path:
    """The mesh as OBJ with a texture coordinate a vertex and five more; triangles in another order, turned."""
    lines = [f"v {x} {y} {z}" for x, y, z in arrays["v_template"]]
    lines += [f"vt {i / 6000:.6f} {1 - i / 6000:.6f}" for i in range(NUM_VERTICES + 5)]
    for a, b, c in arrays["f"][::-1].astype(int) + 1:
        lines.append(f"f {b}/{b + 5} {c}/{c + 5} {a}/{a + 5}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def converted(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "new" / "folder"
    assert convert_flame([files], folder, "2020") == [folder / "flame.safetensors"]
    return folder


def test_the_converted_file_holds_the_authors_numbers(converted: Path, files: Path, arrays: dict) -> None:
    stored = read_converted(converted / "flame.safetensors", KIND, SHAPES)
    assert stored.information["version"] == "2020"
    assert stored.sources == {path.name: sha256(path) for path in sorted(files.iterdir())}
    model = FLAME(converted)
    assert (model.version, model.parents) == ("2020", (-1, 0, 1, 1, 1))
    np.testing.assert_allclose(model.template.numpy(), arrays["v_template"], atol=1e-7)
    np.testing.assert_allclose(model.shape_basis[7].numpy(), arrays["shapedirs"][:, :, 7], atol=1e-8)
    np.testing.assert_allclose(model.expression_basis[7].numpy(), arrays["shapedirs"][:, :, 307], atol=1e-8)
    np.testing.assert_allclose(model.pose_basis[7].numpy(), arrays["posedirs"][:, :, 7], atol=1e-8)
    np.testing.assert_array_equal(model.faces.numpy(), arrays["f"])


def test_masks_texture_coordinates_and_the_users_468(converted: Path, files: Path, arrays: dict) -> None:
    model = FLAME(converted)
    assert model.regions.keys() == {"face", "nose"}
    assert model.regions["nose"].nonzero()[:, 0].tolist() == [5, 9]
    assert model.uv is None
    assert model.texture_coordinates.shape == (NUM_VERTICES + 5, 2)
    assert torch.equal(model.texture_faces, model.faces + 5)  # as `write_obj` made them
    assert model.landmarks_468.triangles[300:405].tolist() == list(range(105))
    assert model.landmarks_468.barycentric[404].tolist() == [0.5, 0.25, 0.25]


def test_a_model_alone_has_neither_landmarks_nor_regions(files: Path, tmp_path: Path) -> None:
    convert_flame([files / "generic_model.pkl"], tmp_path, "2023")
    model = FLAME(tmp_path)
    assert (model.version, model.landmarks_68, model.landmarks_468, model.contour_landmarks) == (
        "2023",
        None,
        None,
        None,
    )
    assert model.regions == {}
    with pytest.raises(ValueError, match=r"landmark_embedding\.npy"):
        model.au_masks([1])


@pytest.mark.parametrize(
    ("name", "told", "version"),
    [
        ("flame2023.pkl", None, "2023"),
        ("flame2023_Open.pkl", None, "2023-open"),
        ("flame2023_no_jaw.pkl", None, "2023-no-jaw"),
        ("FLAME2020_generic.pkl", None, "2020"),
        ("flame2023.pkl", "2023-open", "2023-open"),
        ("generic_model.pkl", "2019", "2019"),
    ],
)
def test_the_release(name: str, told: str | None, version: str, files: Path, tmp_path: Path) -> None:
    model = tmp_path / name
    model.symlink_to(files / "generic_model.pkl")
    convert_flame([model], tmp_path, told)
    assert FLAME(tmp_path).version == version


@pytest.mark.parametrize(
    ("name", "told", "words"),
    [
        ("generic_model.pkl", None, "does not tell which FLAME it is"),
        ("flame2023.pkl", "2020", "says that it is FLAME 2023, and --version says 2020"),
        ("generic_model.pkl", "2021", "there is no FLAME '2021'"),
    ],
)
def test_a_release_that_is_not_known(name: str, told: str | None, words: str, files: Path, tmp_path: Path) -> None:
    model = tmp_path / name
    model.symlink_to(files / "generic_model.pkl")
    with pytest.raises(UsageError, match=words):
        convert_flame([model], tmp_path / "out", told)
    assert not (tmp_path / "out").exists()


def test_coefficients_of_another_release_are_refused(converted: Path) -> None:
    model = FLAME(converted)
    model.require_version("2020", "the coefficients of clip.npz")
    with pytest.raises(CheckpointError, match=r"clip\.npz belong to FLAME 2023-open, and this is FLAME 2020"):
        model.require_version("2023-open", "the coefficients of clip.npz")


def test_albedo_models(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mean, basis = rng.uniform(0, 255, (512, 512, 3)), rng.normal(0, 9, (512, 512, 3, 4))
    np.savez(tmp_path / "FLAME_texture.npz", mean=mean, tex_dir=basis)
    np.savez(tmp_path / "renamed.npz", MU=mean / 255, PC=basis / 255)
    written = convert_flame([tmp_path / "FLAME_texture.npz", tmp_path / "renamed.npz"], tmp_path)
    assert [path.name for path in written] == ["flame_albedo_flame.safetensors", "flame_albedo_bfm.safetensors"]
    coefficients = torch.randn(2, 3)
    expected = (mean + np.einsum("bk,hwck->bhwc", coefficients.numpy(), basis[..., :3])) / 255
    for kind in ("flame", "bfm"):
        albedo = FLAMEAlbedo(tmp_path, kind, num_components=3)(coefficients)
        assert albedo.shape == (2, 256, 256, 3)
        np.testing.assert_allclose(albedo.numpy(), expected[:, ::2, ::2, ::-1], atol=1e-5)
    with pytest.raises(CheckpointError, match="4 components, and 50"):
        FLAMEAlbedo(tmp_path, "bfm")
    with pytest.raises(CheckpointError, match=r"FLAME_texture\.npz"):
        FLAMEAlbedo(tmp_path / "none", "flame")
    with pytest.raises(UsageError, match="bfm"):
        FLAMEAlbedo(tmp_path, "skin")


# --- wrong, renamed, cut and hostile files ---------------------------------------------------------------------------


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


def _model(path: Path, arrays: dict, **changes) -> Path:
    small = {"shapedirs": np.zeros((NUM_VERTICES, 3, 400), np.int8)}  # what takes the time
    changed = {name: value for name, value in (arrays | small | changes).items() if value is not None}
    return write_model(path, changed, chumpy=changes.get("v_template", 0) is not None)


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _npy(path: Path, value: object) -> Path:
    np.save(path, value, allow_pickle=True)
    return path


def _npz(path: Path, **content: np.ndarray) -> Path:
    np.savez(path, **content)
    return path


def _masks(path: Path, value: object) -> Path:
    return _bytes(path, pickle.dumps(value, 2))


def _cut(path: Path, source: Path, share: float) -> Path:
    content = source.read_bytes()
    return _bytes(path, content[: int(len(content) * share)])


Make = Callable[[Path, dict, dict, Path], Path]
"""Called as make(folder, arrays, landmarks, good files); returns the bad file."""

BAD_FILES: dict[str, tuple[Make, str]] = {
    "a model that is not there": (lambda d, a, m, f: d / "generic_model.pkl", "does not exist"),
    "an empty model": (lambda d, a, m, f: _bytes(d / "generic_model.pkl", b""), "damaged or of another kind"),
    "a model cut in the middle": (lambda d, a, m, f: _cut(d / "g.pkl", f / "generic_model.pkl", 0.5), "damaged"),
    "a model without its last byte": (
        lambda d, a, m, f: _bytes(d / "g.pkl", (f / "generic_model.pkl").read_bytes()[:-1]),
        "damaged",
    ),
    "a web page saved as a model": (
        lambda d, a, m, f: _bytes(d / "generic_model.pkl", b"<!DOCTYPE html><html>Sign in</html>"),
        "damaged or of another kind",
    ),
    "a model that runs a program": (
        lambda d, a, m, f: _masks(d / "generic_model.pkl", {"v_template": a["v_template"], "extra": Hostile()}),
        "wants to use posix.system, which",
    ),
    "a model of another topology (SMPL)": (
        lambda d, a, m, f: _model(d / "g.pkl", a, v_template=np.zeros((6890, 3))),
        "'v_template' of shape (6890, 3), where FLAME's is (5023, 3)",
    ),
    "a model with 10 shapes": (
        lambda d, a, m, f: _model(d / "g.pkl", a, shapedirs=a["shapedirs"][:, :, :10]),
        "'shapedirs' of shape (5023, 3, 10)",
    ),
    "a model without skinning weights": (
        lambda d, a, m, f: _model(d / "g.pkl", a, weights=None),
        "lacks the array 'weights'",
    ),
    "a model with NaN": (
        lambda d, a, m, f: _model(d / "g.pkl", a, v_template=np.full((NUM_VERTICES, 3), np.nan)),
        "not finite in 'v_template'",
    ),
    "a model in millimetres": (
        lambda d, a, m, f: _model(d / "g.pkl", a, v_template=1000 * a["v_template"]),
        "not in metres",
    ),
    "a model whose triangles point outside": (
        lambda d, a, m, f: _model(d / "g.pkl", a, f=a["f"] + 9),
        "triangles that point outside",
    ),
    "a model with other joints": (
        lambda d, a, m, f: _model(d / "g.pkl", a, kintree_table=np.array([[-1, 0, 1, 2, 3], range(5)])),
        "hang together as [-1, 0, 1, 2, 3]",
    ),
    "a model with halved weights": (lambda d, a, m, f: _model(d / "g.pkl", a, weights=a["weights"] / 2), "add up to 1"),
    "masks named as the model": (
        lambda d, a, m, f: _masks(d / "generic_model.pkl", [1, 2, 3]),
        "neither FLAME's model nor its masks",
    ),
    "landmarks named as the model": (
        lambda d, a, m, f: _bytes(d / "generic_model.pkl", (f / "landmark_embedding.npy").read_bytes()),
        "damaged or of another kind",
    ),
    "the model named as landmarks": (
        lambda d, a, m, f: _bytes(d / "landmark_embedding.npy", (f / "generic_model.pkl").read_bytes()),
        "damaged or of another kind",
    ),
    "landmarks that run a program": (
        lambda d, a, m, f: _npy(d / "landmark_embedding.npy", np.array(dict(m, extra=Hostile()), object)),
        "wants to use posix.system, which",
    ),
    "landmarks cut in the middle": (
        lambda d, a, m, f: _cut(d / "landmark_embedding.npy", f / "landmark_embedding.npy", 0.5),
        "damaged",
    ),
    "landmarks that are a plain array": (
        lambda d, a, m, f: _npy(d / "landmark_embedding.npy", np.zeros((68, 3))),
        "an array, but not FLAME's landmark_embedding.npy",
    ),
    "landmarks without the contour": (
        lambda d, a, m, f: write_landmarks(
            d / "l.npy", {name: value for name, value in m.items() if "dynamic" not in name}
        ),
        "lacks the array 'dynamic_lmk_faces_idx'",
    ),
    "landmarks of another mesh": (
        lambda d, a, m, f: write_landmarks(d / "l.npy", dict(m, static_lmk_faces_idx=np.full(51, NUM_FACES))),
        "landmarks on triangles that FLAME does not have",
    ),
    "landmarks all in one place": (
        lambda d, a, m, f: write_landmarks(d / "l.npy", dict(m, full_lmk_faces_idx=np.zeros((1, 68), int))),
        "landmarks that are not where this FLAME has its face: no vertex is in the region of AU05",
    ),
    "masks that point outside": (
        lambda d, a, m, f: _masks(d / "FLAME_masks.pkl", {"face": np.array([NUM_VERTICES])}),
        "a mask 'face' that points outside",
    ),
    "masks of texts": (lambda d, a, m, f: _masks(d / "FLAME_masks.pkl", {"face": "all"}), "'face' is no mask"),
    "another program's npz": (
        lambda d, a, m, f: _npz(d / "a.npz", x=np.zeros(3)),
        "none of the arrays of FLAME's textures",
    ),
    "textures of another size": (
        lambda d, a, m, f: _npz(d / "FLAME_texture.npz", mean=np.zeros((8, 8, 3)), tex_dir=np.zeros((8, 8, 3, 2))),
        "maps that are not 512 x 512",
    ),
    "textures cut in the middle": (
        lambda d, a, m, f: _cut(_npz(d / "t.npz", mean=np.zeros(999)), d / "t.npz", 0.5),
        "not a whole npz file",
    ),
    "MediaPipe points on other landmarks": (
        lambda d, a, m, f: _npz(
            d / "m.npz",
            lmk_face_idx=np.arange(2),
            lmk_b_coords=np.ones((2, 3)) / 3,
            landmark_indices=np.array([3, 468]),
        ),
        "not among MediaPipe's 468",
    ),
    "an OBJ of another mesh": (
        lambda d, a, m, f: _bytes(d / "head_template.obj", b"v 0 0 0\nvt 0 0\nf 1/1 1/1 1/1\n"),
        "has 1 vertices and 1 faces, where FLAME's mesh has 5,023",
    ),
    "an OBJ without texture coordinates": (
        lambda d, a, m, f: _bytes(d / "head_template.obj", b"v 0 0 0\nf 1 1 1\n"),
        "not triangles with texture coordinates",
    ),
    "a file of another kind": (lambda d, a, m, f: _bytes(d / "deca_model.tar", b"x"), "is no file of FLAME"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name, arrays, landmarks, files: Path, tmp_path: Path) -> None:
    make, words = BAD_FILES[name]
    path = make(tmp_path, arrays, landmarks, files)
    others = [] if path.suffix == ".pkl" and "mask" not in path.name else [files / "generic_model.pkl"]
    with pytest.raises(CheckpointError) as caught:
        convert_flame([path, *others], tmp_path / "out", "2020")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))
    assert not Path("/tmp/never").exists()


def test_files_that_do_not_go_together(files: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of these files is FLAME's model"):
        convert_flame([files / "landmark_embedding.npy"], tmp_path, "2020")
    with pytest.raises(UsageError, match="both models of FLAME"):
        convert_flame([files / "generic_model.pkl"] * 2, tmp_path, "2020")
    with pytest.raises(UsageError, match="has none of FLAME's files"):
        convert_flame([tmp_path], tmp_path, "2020")


# --- where the converted file is found, and the command --------------------------------------------------------------


def test_found_by_path_environment_or_default(
    converted: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AU_D3DFACE_FLAME", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path))
    file = converted / "flame.safetensors"
    assert find_flame(converted) == find_flame(file) == file
    with pytest.raises(CheckpointError, match=r"assets convert flame FILE.*AU_D3DFACE_FLAME"):
        find_flame()
    (tmp_path / "au_d3dface").mkdir()
    (tmp_path / "au_d3dface" / "flame").symlink_to(converted)
    assert find_flame() == tmp_path / "au_d3dface" / "flame" / "flame.safetensors"
    monkeypatch.setenv("AU_D3DFACE_FLAME", str(converted))
    assert load_face_model("flame").name == "flame"
    with pytest.raises(CheckpointError, match=r"generic_model\.pkl is not a converted file"):
        find_flame(files / "generic_model.pkl")
    with pytest.raises(CheckpointError, match="does not exist"):
        find_flame(tmp_path / "none")


def test_the_command(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path))
    model = str(files / "generic_model.pkl")
    assert main(["assets", "convert", "flame", model, "--version", "2020"]) == 0
    assert str(find_flame()) in capsys.readouterr().out
    assert main(["assets", "convert", "flame", model, "--version", "2020", "-o", str(tmp_path / "own")]) == 0
    assert "AU_D3DFACE_FLAME" in capsys.readouterr().out
    assert main(["assets", "convert", "flame", model, "-o", str(tmp_path / "no")]) == 2
    assert main(["assets", "convert", "flame", str(tmp_path / "no.pkl"), "--version", "2020"]) == 6
    line = capsys.readouterr().err
    assert line.splitlines()[-1].startswith("au-d3dface: error: ")
    assert "Traceback" not in line
    (tmp_path / "file").touch()
    assert main(["assets", "convert", "flame", model, "--version", "2020", "-o", str(tmp_path / "file")]) == 5


def test_converted_files_that_are_wrong(converted: Path, tmp_path: Path) -> None:
    good = (converted / "flame.safetensors").read_bytes()
    from safetensors.torch import save_file

    save_file({"template": torch.zeros(3)}, tmp_path / "other.safetensors")
    cases = {
        _bytes(tmp_path / "cut.safetensors", good[:-1000]): "cannot be read",
        _bytes(tmp_path / "text.safetensors", b"text"): "cannot be read",
        tmp_path / "other.safetensors": "no file that this program converted",
    }
    for path, words in cases.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            FLAME(path)
        assert str(caught.value).startswith(f"{path} ")
        assert "\n" not in str(caught.value)
