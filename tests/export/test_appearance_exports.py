"""What is written of a person's texture and light: texture.png, render.mp4, textured glb and obj."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
from PIL import Image

from au_d3dface.errors import UsageError
from au_d3dface.export.glb import write_glb
from au_d3dface.export.obj import write_obj_sequence
from au_d3dface.export.render import render_frames, write_render
from au_d3dface.export.texture import write_texture
from au_d3dface.face_sequence import FaceSequence
from au_d3dface.rendering import directional_lighting
from au_d3dface.video import VideoReader

SIZE = 16


def even(frames: int, brightness: float = 1.0) -> np.ndarray:
    """(T, 9, 3): the same light from everywhere."""
    none = torch.zeros(1, 3)
    light = directional_lighting(torch.tensor([[0.0, 0.0, 1.0]]), none, torch.full((3,), brightness))
    return np.repeat(light.numpy()[None], frames, 0)


def painted(sequence: FaceSequence) -> FaceSequence:
    """With a texture whose upper half is red and whose lower half is blue."""
    texture = np.zeros((SIZE, SIZE, 3))
    texture[: SIZE // 2, :, 0] = texture[SIZE // 2 :, :, 2] = 0.8
    return replace(sequence, texture=texture, lighting=even(len(sequence)))


def of_vertices(sequence: FaceSequence) -> FaceSequence:
    colors = np.linspace(0, 1, 42)[:, None].repeat(3, 1)
    return replace(sequence, uv=None, texture=colors, lighting=even(len(sequence)))


def test_the_texture_is_a_png_with_its_top_at_v_1(tmp_path: Path, small_sequence: FaceSequence) -> None:
    pixels = np.asarray(Image.open(write_texture(tmp_path / "texture.png", painted(small_sequence))))
    assert pixels.shape == (SIZE, SIZE, 3)
    assert (pixels[0] == (204, 0, 0)).all()
    assert (pixels[-1] == (0, 0, 204)).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "texture.png"]


def test_what_cannot_be_written(tmp_path: Path, small_sequence: FaceSequence, sequence_with_video) -> None:
    with pytest.raises(UsageError, match="appearance=True"):
        small_sequence.save(tmp_path / "out", "texture")
    with pytest.raises(UsageError, match="appearance=True"):
        sequence_with_video.save(tmp_path / "out", "csv,render")
    with pytest.raises(UsageError, match="no texture coordinates"):
        of_vertices(small_sequence).save(tmp_path / "out", "texture")
    with pytest.raises(UsageError, match="a render needs the video"):
        render_frames([replace(painted(small_sequence), source=None)])
    assert list(tmp_path.iterdir()) == []


def test_the_render_covers_the_face_and_nothing_else(sequence_with_video: FaceSequence) -> None:
    sequence = painted(sequence_with_video)
    with VideoReader(sequence.source) as reader:
        plain = [frame.image for frame in reader]
    for row, (before, after) in enumerate(zip(plain, render_frames([sequence]), strict=True)):
        if not sequence.valid[row]:
            assert (before == after).all()
            continue
        points = sequence.image_points[row, :, :2]
        (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int)
        middle = (top + bottom) // 2
        assert (np.abs(after[top + 6 : middle - 8, left + 6 : right - 6].astype(int) - (204, 0, 0)) < 3).mean() > 0.97
        assert (np.abs(after[middle + 8 : bottom - 6, left + 6 : right - 6].astype(int) - (0, 0, 204)) < 3).mean() > 0.9
        outside = np.ones(before.shape[:2], bool)
        outside[top - 1 : bottom + 2, left - 1 : right + 2] = False
        assert (before[outside] == after[outside]).all()


def test_the_light_of_the_frame_is_used(sequence_with_video: FaceSequence) -> None:
    bright = painted(sequence_with_video)
    dim = replace(bright, lighting=even(len(bright), 0.5))
    one, other = next(render_frames([bright])).astype(float), next(render_frames([dim]))
    face = one[..., 0] > 200
    assert np.allclose(other[face][:, 0], 102, atol=2)


def test_the_nearer_face_hides_the_farther(sequence_with_video: FaceSequence) -> None:
    near = painted(sequence_with_video)
    far = replace(near, texture=np.full((SIZE, SIZE, 3), 1.0), scale=near.scale / 2)
    together = [next(render_frames(order)) for order in ([near, far], [far, near])]
    assert (together[0] == together[1]).all()
    assert (together[0] == next(render_frames([near]))).all()


def test_a_large_face_is_rendered_smaller_and_stretched(sequence_with_video, monkeypatch) -> None:
    sequence = painted(sequence_with_video)
    whole = next(render_frames([sequence])).astype(float)
    monkeypatch.setattr("au_d3dface.export.render.LARGEST", 40)
    assert np.abs(next(render_frames([sequence])) - whole).mean() < 8


def test_the_video_has_both_side_by_side(tmp_path: Path, sequence_with_video: FaceSequence) -> None:
    sequence = painted(sequence_with_video)
    steps: list[tuple[str, int, int | None]] = []
    path = write_render(tmp_path / "render.mp4", [sequence], lambda *step: steps.append(step))
    with VideoReader(path) as reader, VideoReader(sequence.source) as source:
        frames, plain = list(reader), next(iter(source)).image
    assert [frame.timestamp for frame in frames] == pytest.approx(list(sequence.timestamps), abs=1e-3)
    assert frames[0].image.shape == (160, 320, 3)
    assert np.abs(frames[0].image[:, :160].astype(int) - plain).mean() < 4
    assert np.abs(frames[0].image[:, 160:].astype(int) - next(render_frames([sequence]))).mean() < 8
    assert steps[-1] == ("render", 24, 24)
    assert list(tmp_path.iterdir()) == [path]


def test_a_textured_glb(tmp_path: Path, small_sequence: FaceSequence) -> None:
    plain = pygltflib.GLTF2().load(write_glb(tmp_path / "plain.glb", small_sequence).path)
    assert not plain.images
    assert not plain.textures
    document = pygltflib.GLTF2().load(write_glb(tmp_path / "face.glb", painted(small_sequence)).path)
    (material,) = document.materials
    surface = material.pbrMetallicRoughness
    assert surface.baseColorFactor == [1, 1, 1, 1]
    image = document.images[document.textures[surface.baseColorTexture.index].source]
    assert image.mimeType == "image/png"
    view = document.bufferViews[image.bufferView]
    assert view.target is None
    pixels = Image.open(BytesIO(document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]))
    assert np.asarray(pixels)[0, 0].tolist() == [204, 0, 0]
    assert document.buffers[0].byteLength == len(document.binary_blob())
    # glTF's v points down: the top of the face, v = 1 in ours, is at 0, where the png's first row is.
    accessor = document.accessors[document.meshes[0].primitives[0].attributes.TEXCOORD_0]
    view = document.bufferViews[accessor.bufferView]
    uv = np.frombuffer(document.binary_blob(), np.float32, accessor.count * 2, view.byteOffset).reshape(-1, 2)
    assert uv[small_sequence.neutral_vertices[:, 1].argmax(), 1] == 0


def test_colours_of_vertices(tmp_path: Path, small_sequence: FaceSequence) -> None:
    sequence = of_vertices(small_sequence)
    document = pygltflib.GLTF2().load(write_glb(tmp_path / "face.glb", sequence).path)
    assert not document.images
    accessor = document.accessors[document.meshes[0].primitives[0].attributes.COLOR_0]
    assert (accessor.type, accessor.count) == ("VEC3", 42)
    view = document.bufferViews[accessor.bufferView]
    colors = np.frombuffer(document.binary_blob(), np.float32, 126, view.byteOffset).reshape(-1, 3)
    assert colors[0, 0] == 0
    assert colors[-1, 0] == pytest.approx(1)
    assert colors[21, 0] == pytest.approx(((21 / 41 + 0.055) / 1.055) ** 2.4, abs=1e-5)  # amounts of light
    lines = (write_obj_sequence(tmp_path, sequence) / "000001.obj").read_text().splitlines()
    assert [len(line.split()) for line in lines if line.startswith("v ")] == [7] * 42
    assert lines[0].startswith("v ")


def test_a_textured_obj(tmp_path: Path, small_sequence: FaceSequence) -> None:
    folder = write_obj_sequence(tmp_path, painted(small_sequence))
    text = (folder / "000001.obj").read_text().splitlines()
    assert text[:2] == ["mtllib face.mtl", "usemtl face"]
    material = (folder / "face.mtl").read_text().splitlines()
    assert material[0] == "newmtl face"
    assert "map_Kd texture.png" in material
    assert np.asarray(Image.open(folder / "texture.png"))[0, 0].tolist() == [204, 0, 0]
    write_obj_sequence(tmp_path, small_sequence)  # without: what belonged to the texture is gone
    assert {path.suffix for path in folder.iterdir()} == {".obj"}


def test_everything_together(tmp_path: Path, sequence_with_video: FaceSequence) -> None:
    import json

    painted(sequence_with_video).save(tmp_path, "npz,glb,texture,render")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"sequence.npz", "face.glb", "texture.png", "render.mp4", "summary.json"}
    assert json.loads((tmp_path / "summary.json").read_text())["faces"][0]["appearance"] is True
    with np.load(tmp_path / "sequence.npz") as arrays:
        assert arrays["texture"].shape == (SIZE, SIZE, 3)
        assert arrays["lighting"].shape == (24, 9, 3)


def test_a_sequence_checks_its_appearance(make_sequence: Callable[..., FaceSequence]) -> None:
    sequence = make_sequence()
    light = even(24)
    with pytest.raises(ValueError, match="both texture and lighting, or neither"):
        replace(sequence, lighting=light)
    with pytest.raises(ValueError, match="texture of a FaceSequence with 24 timestamps"):
        replace(sequence, texture=np.zeros((42, 3)), lighting=light)
    with pytest.raises(ValueError, match="lighting of a FaceSequence with 24 timestamps"):
        replace(sequence, texture=np.zeros((4, 4, 3)), lighting=light[1:])
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        replace(sequence, texture=np.full((4, 4, 3), np.nan), lighting=light)
    with pytest.raises(ValueError, match="lighting of a FaceSequence must be finite"):
        replace(sequence, texture=np.zeros((4, 4, 3)), lighting=light * np.nan)
