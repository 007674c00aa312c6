"""face.glb: read back byte by byte, its animation gives the vertices of the sequence."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from scipy.spatial.transform import Rotation

from au_d3dface.errors import UsageError
from au_d3dface.export.glb import write_glb
from au_d3dface.export.morph_targets import morph_targets
from au_d3dface.face_sequence import FaceSequence

COMPONENTS = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}

MakeSequence = Callable[..., FaceSequence]


class GlbFile:
    """Reads a glb independently of the code that writes it: bytes, accessors, weights at a time, vertices."""

    def __init__(self, path: Path) -> None:
        self.document = pygltflib.GLTF2().load_binary(str(path))
        self.blob = self.document.binary_blob()
        (self.primitive,) = self.document.meshes[0].primitives

    def read(self, number: int) -> np.ndarray:
        """(count, width) elements of an accessor, honouring offsets and strides."""
        accessor = self.document.accessors[number]
        view = self.document.bufferViews[accessor.bufferView]
        dtype, width = np.dtype(COMPONENTS[accessor.componentType]), WIDTHS[accessor.type]
        stride = view.byteStride or dtype.itemsize * width
        offset = accessor.byteOffset or 0
        assert offset + stride * (accessor.count - 1) + dtype.itemsize * width <= view.byteLength
        start = (view.byteOffset or 0) + offset
        assert start % 4 == 0
        values = np.ndarray((accessor.count, width), dtype, self.blob, start, (stride, dtype.itemsize))
        if accessor.min:
            assert np.allclose(values.min(0), accessor.min)
            assert np.allclose(values.max(0), accessor.max)
        return values

    @property
    def neutral(self) -> np.ndarray:
        return self.read(self.primitive.attributes.POSITION)

    @property
    def targets(self) -> np.ndarray:
        """(K, V, 3)."""
        return np.stack([self.read(target["POSITION"]) for target in self.primitive.targets])

    def channel(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        """Times (T,) and values (T, ...) of the one animation of `path`."""
        (animation,) = self.document.animations
        (channel,) = [channel for channel in animation.channels if channel.target.path == path]
        sampler = animation.samplers[channel.sampler]
        assert sampler.interpolation == "LINEAR"
        times = self.read(sampler.input)[:, 0]
        assert np.all(np.diff(times) > 0)
        return times, self.read(sampler.output).reshape(len(times), -1)

    def vertices(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and the mesh (T, V, 3) at each keyframe."""
        times, weights = self.channel("weights")
        assert weights.shape[1] == len(self.primitive.targets)
        return times, self.neutral + np.tensordot(weights, self.targets, 1)


def held(sequence: FaceSequence) -> np.ndarray:
    """The sequence's vertices, with the last valid mesh in place of each invalid one."""
    vertices = sequence.vertices.copy()
    for frame in range(len(vertices)):
        if not sequence.valid[frame]:
            vertices[frame] = vertices[frame - 1]
    return vertices


@pytest.mark.parametrize("limit", [1000, 5], ids=["one target a frame", "low rank"])
def test_the_animation_is_the_sequence(tmp_path: Path, small_sequence: FaceSequence, limit: int) -> None:
    report = write_glb(tmp_path / "face.glb", small_sequence, per_frame_limit=limit)
    glb = GlbFile(report.path)
    times, vertices = glb.vertices()
    assert times == pytest.approx(small_sequence.timestamps, abs=1e-6)
    assert np.linalg.norm(vertices - held(small_sequence), axis=-1).max() < 1e-5
    assert report.low_rank == (limit == 5)
    assert report.morph_targets == len(glb.primitive.targets) == (4 if limit == 5 else 22)
    assert np.array_equal(glb.read(glb.primitive.indices).reshape(-1, 3), small_sequence.faces)
    assert list(tmp_path.iterdir()) == [report.path]


def test_normals_uv_and_what_people_read(tmp_path: Path, small_sequence: FaceSequence) -> None:
    glb = GlbFile(write_glb(tmp_path / "face.glb", small_sequence).path)
    normals = glb.read(glb.primitive.attributes.NORMAL)
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(1, abs=1e-5)
    assert normals[:, 2].mean() > 0.5  # out of the face
    uv = glb.read(glb.primitive.attributes.TEXCOORD_0)
    assert np.allclose(uv, small_sequence.uv * [1, -1] + [0, 1])
    turned = normals + glb.read(glb.primitive.targets[3]["NORMAL"])
    assert np.linalg.norm(turned, axis=-1) == pytest.approx(1, abs=1e-5)
    document = glb.document
    assert document.asset.generator.startswith("au-d3dface")
    assert document.materials[0].doubleSided
    extras = document.scenes[0].extras
    assert extras["action_units"]["AU12"] == "lip corner puller"
    assert extras["frames_without_face"] == [10, 11]
    assert document.meshes[0].extras["targetNames"][:2] == ["frame_000001", "frame_000002"]


def test_a_range_counts_frames_as_the_csv_does(tmp_path: Path, small_sequence: FaceSequence) -> None:
    report = write_glb(tmp_path / "face.glb", small_sequence, frame_range=(3, 6))
    times, vertices = GlbFile(report.path).vertices()
    assert (report.first_frame, report.last_frame, report.whole_video) == (3, 6, False)
    assert times == pytest.approx([0, 0.04, 0.08, 0.12], abs=1e-6)
    assert np.abs(vertices - small_sequence.vertices[2:6]).max() < 1e-6


@pytest.mark.parametrize("frames", [(0, 3), (3, 2), (1, 25)])
def test_a_range_outside_the_video_is_refused(
    tmp_path: Path, small_sequence: FaceSequence, frames: tuple[int, int]
) -> None:
    with pytest.raises(UsageError, match="not within the video's frames, 1 to 24"):
        write_glb(tmp_path / "face.glb", small_sequence, frame_range=frames)
    assert not list(tmp_path.iterdir())


def test_the_first_minute_is_the_default(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence = make_sequence(frames=1600)  # 64 s, above the limit of one target a frame
    report = write_glb(tmp_path / "face.glb", sequence)
    assert (report.first_frame, report.last_frame, report.whole_video) == (1, 1500, False)
    assert report.low_rank
    assert report.max_error < 1e-5
    _, vertices = GlbFile(report.path).vertices()
    assert np.linalg.norm(vertices - held(sequence)[:1500], axis=-1).max() < 1e-5


def test_one_frame_is_a_still_face(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence = make_sequence(frames=1)
    glb = GlbFile(write_glb(tmp_path / "face.glb", sequence).path)
    assert not glb.document.animations
    (weight,) = glb.document.meshes[0].weights
    assert np.allclose(glb.neutral + weight * glb.targets[0], sequence.vertices[0], atol=1e-6)


def test_frames_without_a_face(tmp_path: Path, make_sequence: MakeSequence) -> None:
    start = make_sequence(frames=6, invalid=(0, 1))
    _, vertices = GlbFile(write_glb(tmp_path / "a.glb", start).path).vertices()
    assert np.allclose(vertices[:2], start.vertices[2], atol=1e-6)
    never = GlbFile(write_glb(tmp_path / "b.glb", make_sequence(frames=3, invalid=(0, 1, 2))).path)
    assert not never.primitive.targets
    assert not never.document.animations
    assert np.allclose(never.neutral, start.neutral_vertices)


def test_frames_that_share_a_timestamp_become_one(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence = make_sequence(frames=4, invalid=())
    sequence.timestamps[2] = sequence.timestamps[1]
    times, vertices = GlbFile(write_glb(tmp_path / "a.glb", sequence).path).vertices()
    assert times == pytest.approx([0, 0.04, 0.12], abs=1e-6)
    assert np.allclose(vertices, sequence.vertices[[0, 2, 3]], atol=1e-6)


def test_head_pose(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence = make_sequence(frames=8, invalid=(4,))
    sequence.rotation = Rotation.from_rotvec(np.linspace(0, 6, 8)[:, None] * [0, 1, 0]).as_matrix().astype(np.float32)
    glb = GlbFile(write_glb(tmp_path / "a.glb", sequence, head_pose=True).path)
    _, quaternions = glb.channel("rotation")
    matrices = Rotation.from_quat(quaternions).as_matrix()
    assert np.allclose(np.delete(matrices, 4, 0), np.delete(sequence.rotation, 4, 0), atol=1e-5)
    assert np.allclose(matrices[4], sequence.rotation[3], atol=1e-5)
    assert ((quaternions[1:] * quaternions[:-1]).sum(1) > 0).all()
    straight = GlbFile(write_glb(tmp_path / "b.glb", sequence).path)
    assert [channel.target.path for channel in straight.document.animations[0].channels] == ["weights"]


@pytest.mark.parametrize(("frames", "vertices"), [(60, 10), (20, 50)], ids=["fewer coordinates", "fewer frames"])
def test_a_basis_keeps_the_error_of_noise_too(frames: int, vertices: int) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(frames, vertices, 3)) * np.geomspace(1e-2, 1e-8, frames)[:, None, None]
    targets = morph_targets(noise, per_frame_limit=0)
    rebuilt = np.tensordot(targets.weights.astype(float), targets.displacements.astype(float), 1)
    error = np.linalg.norm(rebuilt - noise, axis=-1).max()
    assert error < 1e-5
    assert targets.max_error == pytest.approx(error, abs=1e-7)
    assert len(targets.displacements) < min(frames, 3 * vertices)
    assert targets.weights.min() >= 0  # Blender and game engines clamp weights to [0, 1]
    assert targets.weights.max() <= 1


def test_a_face_that_never_moves() -> None:
    targets = morph_targets(np.zeros((4, 5, 3)), per_frame_limit=0)
    assert len(targets.displacements) <= 2
    assert targets.max_error == 0


def test_large_meshes_get_a_basis_early() -> None:
    assert morph_targets(np.ones((4, 5, 3)), target_bytes=100).low_rank
    assert not morph_targets(np.ones((4, 5, 3))).low_rank
