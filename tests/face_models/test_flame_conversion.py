"""Converting FLAME's files: what comes out, and what the user reads where a file is wrong, renamed, cut or hostile."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_flame_files import BAD_FILES, with_bytes
from made_flame import NUM_VERTICES, made_arrays, made_landmarks, write_landmarks, write_model

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
        with_bytes(tmp_path / "cut.safetensors", good[:-1000]): "cannot be read",
        with_bytes(tmp_path / "text.safetensors", b"text"): "cannot be read",
        tmp_path / "other.safetensors": "no file that this program converted",
    }
    for path, words in cases.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            FLAME(path)
        assert str(caught.value).startswith(f"{path} ")
        assert "\n" not in str(caught.value)
