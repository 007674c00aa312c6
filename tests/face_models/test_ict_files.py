"""ICT-FaceKit's folder of OBJ files: the same arrays as its npz, and folders that are not the kit."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from au_d3dface.errors import CheckpointError
from au_d3dface.face_models import ICTFaceKit
from au_d3dface.face_models.ict_files import read_ict_facekit

NEUTRAL = "generic_neutral_mesh.obj"


def write_obj(path: Path, vertices: np.ndarray, tail: str = "") -> None:
    lines = "v %.9g %.9g %.9g\n" * len(vertices) % tuple(vertices.ravel().tolist())
    path.write_text("# a comment\nmtllib some.mtl\n" + lines + tail)


def write_folder(folder: Path, arrays: Mapping[str, np.ndarray], identities: int | None = None) -> Path:
    """One OBJ a shape; of texture coordinates and faces, the other shapes have none."""
    folder.mkdir(parents=True)
    tail = "".join(f"vt {u:.9g} {v:.9g}\n" for u, v in arrays.get("uv", ()))
    textured = arrays.get("faces_uv", np.full(arrays["faces_quads"].shape, -1))
    for corners, places in zip(arrays["faces_quads"].tolist(), textured.tolist(), strict=True):
        words = (f"{a + 1}/{b + 1}" if b >= 0 else f"{a + 1}" for a, b in zip(corners, places, strict=True) if a >= 0)
        tail += "f " + " ".join(words) + "\n"
    neutral = arrays["neutral"].astype(np.float64)
    write_obj(folder / NEUTRAL, neutral, "usemtl skin\n" + tail)
    for row, delta in enumerate(arrays["identity_delta"][:identities]):
        write_obj(folder / f"identity{row:03d}.obj", neutral + delta)
    for name, delta in zip(arrays["expression_names"], arrays["expression_delta"], strict=True):
        write_obj(folder / f"{name}.obj", neutral + delta)
    return folder


@pytest.fixture(scope="module")
def textured(kit_arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The small kit, each vertex with its own place in the unit square."""
    count = len(kit_arrays["neutral"])
    uv = np.stack([np.arange(count) / count, np.linspace(1, 0, count)], 1).astype(np.float32)
    return {**kit_arrays, "uv": uv, "faces_uv": kit_arrays["faces_quads"]}


@pytest.fixture(scope="module")
def folder(textured: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("ict") / "kit" / "FaceXModel", textured)


def check_equal(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    order = np.argsort(expected["expression_names"])
    assert (found["expression_names"] == expected["expression_names"][order]).all()
    assert (found["faces_quads"] == expected["faces_quads"]).all()
    assert (found["neutral"] == expected["neutral"]).all()
    # Deltas are differences of numbers of nine digits, up to 20 cm.
    np.testing.assert_allclose(found["expression_delta"], expected["expression_delta"][order], atol=2e-7)
    count = len(found["identity_delta"])
    np.testing.assert_allclose(found["identity_delta"], expected["identity_delta"][:count], atol=2e-7)
    for name in ("uv", "faces_uv"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-7)


def test_the_arrays_of_the_npz(folder: Path, textured: dict[str, np.ndarray]) -> None:
    check_equal(read_ict_facekit(folder), textured)


def test_a_face_model_from_either(folder: Path, kit_path: Path) -> None:
    from_folder, from_npz = ICTFaceKit(folder.parent), ICTFaceKit(kit_path)  # the folder above FaceXModel will do
    assert (from_folder.faces == from_npz.faces).all()
    row, other = (kit.expression_names.index("mouthSmile_L") for kit in (from_folder, from_npz))
    difference = from_folder.expression_basis[row] - from_npz.expression_basis[other]
    assert difference.abs().max() < 1e-8
    assert from_npz.uv is None  # that npz has none


def test_texture_coordinates_only_where_each_vertex_has_one(textured: dict[str, np.ndarray], tmp_path: Path) -> None:
    faces = np.concatenate([textured["faces_quads"], [[i, i + 1, i + 2, -1] for i in range(0, 9407)]])
    whole = {**textured, "faces_quads": faces, "faces_uv": faces.copy()}
    np.savez(tmp_path / "one.npz", **whole)
    np.testing.assert_allclose(ICTFaceKit(tmp_path / "one.npz").uv.numpy(), textured["uv"][:9409])
    seam = {**whole, "faces_uv": whole["faces_uv"].copy()}
    seam["faces_uv"][-1, 0] += 5
    tiled = {**whole, "uv": 7 * textured["uv"]}
    for name, arrays in {"seam": seam, "tiled": tiled}.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        assert ICTFaceKit(tmp_path / f"{name}.npz").uv is None


def replace_line(path: Path, number: int, line: str) -> None:
    lines = path.read_text().splitlines()
    lines[number] = line
    path.write_text("\n".join(lines))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        (NEUTRAL, Path.unlink, f"no {NEUTRAL}"),
        ("identity000.obj", Path.unlink, "identity000.obj"),
        ("mouthSmile_L.obj", Path.unlink, "mouthSmile"),
        ("jawOpen.obj", lambda path: append(path, "v 1 2 3\n"), "26,720 vertices instead of"),
        ("jawOpen.obj", lambda path: path.write_bytes(path.read_bytes()[:400_000]), "jawOpen.obj"),
        ("jawOpen.obj", lambda path: replace_line(path, 9, "v 1 nan 3"), "not finite"),
        ("jawOpen.obj", lambda path: replace_line(path, 9, "v 1 2"), "not 3 numbers"),
        ("jawOpen.obj", lambda path: replace_line(path, 9, "v one 2 3"), "not 3 numbers"),
        ("jawOpen.obj", lambda path: path.write_bytes(bytes(range(256)) * 99), "0 vertices instead of"),
        ("jawOpen.obj", lambda path: path.write_bytes(b""), "0 vertices instead of"),
        (NEUTRAL, lambda path: append(path, "f 1 2\n"), "face that cannot be read"),
        (NEUTRAL, lambda path: append(path, "f 1 2 x\n"), "face that cannot be read"),
        (NEUTRAL, lambda path: append(path, "f 1/1 2/1 99999/1\n"), "outside"),
        (NEUTRAL, lambda path: append(path, "f 1/1 2/1 3/99999\n"), "outside"),
        (NEUTRAL, lambda path: append(path, "f -1/1 2/1 3/1\n"), "outside"),
        (NEUTRAL, lambda path: append(path, "f 99999999999999999999999 2 3\n"), "face that cannot be read"),
    ],
)
def test_damaged_folders(file: str, damage: Callable[[Path], None], words: str, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=_link)
    damaged = copy / file
    content = damaged.read_bytes()
    damaged.unlink()  # a link: the next test wants the whole one
    damaged.write_bytes(content)
    damage(damaged)
    with pytest.raises(CheckpointError, match=words) as caught:
        ICTFaceKit(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no generic_neutral_mesh\.obj"):
        read_ict_facekit(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_ict_facekit(tmp_path / "nowhere")


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_real_kit_written_out(shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "ict_facekit" / "ict_facekit.npz") as npz:
        arrays = {name: npz[name] for name in npz}
    check_equal(read_ict_facekit(write_folder(tmp_path / "kit", arrays, identities=2)), arrays)
