"""face.glb: the moving face as one binary glTF 2.0 file that plays in a browser and opens in Blender.

The neutral mesh, morph targets, and one animation of their weights, linear between frames; the person's texture where
the sequence has one. Metres, y up, the face
looking along +z, which is both glTF's frame and the canonical head frame.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gltf
import torch

from .. import __version__, facs
from ..errors import UsageError
from ..face_sequence import FaceSequence
from ..geometry import vertex_normals
from .files import atomic_path, write_blocks
from .morph_targets import FRAMES_A_LOOK, PER_FRAME_LIMIT, TARGET_BYTES, MorphTargets, morph_targets
from .texture import texture_png

DEFAULT_SECONDS = 60.0
SKIN = [0.60, 0.41, 0.32, 1.0]
"""Base colour, linear RGBA, of a face without a texture: a light brown under a viewer's neutral light."""


@dataclass(frozen=True)
class GlbReport:
    """What a face.glb holds, for summary.json.

    Attributes:
        path: the file.
        first_frame, last_frame: the range of frames covered, counted from 1 as in the csv.
        whole_video: whether that is all of the sequence.
        morph_targets: how many.
        low_rank: whether the targets are a basis rather than one a frame.
        max_error: greatest distance in metres between a vertex of the file and of the sequence, in any frame.
    """

    path: Path
    first_frame: int
    last_frame: int
    whole_video: bool
    morph_targets: int
    low_rank: bool
    max_error: float


def write_glb(
    path: str | PathLike[str],
    sequence: FaceSequence,
    frame_range: tuple[int, int] | None = None,
    head_pose: bool = False,
    per_frame_limit: int = PER_FRAME_LIMIT,
    target_bytes: int = TARGET_BYTES,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> GlbReport:
    """Writes the animation of one person.

    A frame without the person holds the mesh of the last frame with the person (before the first one, the mesh of that
    one); `extras` of the scene lists these frames, the action units and the frame numbers. Times start at 0.

    Args:
        path: the .glb file.
        sequence: the person.
        frame_range: first and last frame, counted from 1 as in the csv, both included; the first minute by default.
        head_pose: whether the head turns as in the video; by default the face looks straight at the viewer.
        per_frame_limit: frames up to which each frame is one morph target; above, a low-rank basis.
        target_bytes: bytes of displacements above which a basis is used as well.
        progress: called as progress("glb", 0, None) again and again; what it raises ends the work.

    Raises:
        UsageError: the range lies outside the sequence.
        OutputError: the file cannot be written.
    """

    def look() -> None:
        if progress is not None:
            progress("glb", 0, None)

    rows = _rows(sequence, frame_range)
    first, last = int(rows[0]) + 1, int(rows[-1]) + 1
    # glTF wants strictly increasing times; of frames that share one (in float32), the last is kept.
    times = (sequence.timestamps[rows] - sequence.timestamps[rows[0]]).astype(np.float32)
    kept = np.append(np.diff(times) > 0, True)
    rows, times = rows[kept], times[kept] - times[kept][0]
    shown = _held_rows(sequence.valid, rows)
    distinct, which = np.unique(shown, return_inverse=True)  # no second target for a held frame
    moved = sequence.vertices[distinct] - sequence.neutral_vertices
    targets = morph_targets(moved, per_frame_limit, target_bytes, look=look)
    builder = _Builder()
    mesh = _add_mesh(builder, sequence, targets, distinct, look)
    if len(distinct):
        mesh.weights = targets.weights[which[0]].tolist()
    node = gltf.Node(name="face", mesh=0)
    if head_pose and len(distinct):
        node.rotation = _quaternions(sequence.rotation[shown])[0].tolist()
    if len(distinct) and len(times) > 1:
        channels = {"weights": targets.weights[which]}
        if head_pose:
            channels["rotation"] = _quaternions(sequence.rotation[shown])
        _add_animation(builder, times, channels)
    document = builder.document
    document.asset = gltf.Asset(version="2.0", generator=f"au-d3dface {__version__}")
    document.materials = [_material(builder, sequence)]
    document.meshes, document.nodes = [mesh], [node]
    extras = _extras(sequence, rows, targets, head_pose)
    document.scenes, document.scene = [gltf.Scene(name="face", nodes=[0], extras=extras)], 0
    document.buffers = [gltf.Buffer(byteLength=len(builder.data))]
    document.set_binary_blob(bytes(builder.data))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for piece in document.save_to_bytes():
            write_blocks(file, piece, lambda count: look())
    return GlbReport(
        path=Path(path),
        first_frame=first,
        last_frame=last,
        whole_video=(first, last) == (1, len(sequence)),
        morph_targets=len(targets.displacements),
        low_rank=targets.low_rank,
        max_error=targets.max_error,
    )


def _rows(sequence: FaceSequence, frame_range: tuple[int, int] | None) -> np.ndarray:
    if not len(sequence):
        raise UsageError("a sequence without frames cannot become a glb")
    if frame_range is None:
        return np.flatnonzero(sequence.timestamps - sequence.timestamps[0] < DEFAULT_SECONDS)
    first, last = frame_range
    if not 1 <= first <= last <= len(sequence):
        raise UsageError(
            f"the frame range {first} to {last} is not within the video's frames, 1 to {len(sequence)}; "
            "give its first and last frame, counted from 1"
        )
    return np.arange(first - 1, last)


def _held_rows(valid: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The row whose mesh each row shows: its own, or the last valid one, or the first; empty where none is valid."""
    good = rows[valid[rows]]
    if not len(good):
        return good
    return good[np.maximum(np.searchsorted(good, rows, side="right") - 1, 0)]


class _Builder:
    """Collects binary data and the accessors that describe it."""

    def __init__(self) -> None:
        self.document = gltf.GLTF2()
        self.data = bytearray()

    def view(self, array: np.ndarray, target: int | None = None, stride: int | None = None) -> int:
        """Appends the array's bytes, aligned to four, as a buffer view, and returns its number."""
        return self.bytes(array.tobytes(), target, stride)

    def bytes(self, data: bytes, target: int | None = None, stride: int | None = None) -> int:
        """Appends bytes, aligned to four, as a buffer view, and returns its number."""
        self.document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=len(data), target=target, byteStride=stride)
        )
        self.data += data + b"\0" * (-len(data) % 4)
        return len(self.document.bufferViews) - 1

    def accessor(self, view: int, kind: str, count: int, component: int = gltf.FLOAT, **fields: Any) -> int:
        self.document.accessors.append(
            gltf.Accessor(bufferView=view, componentType=component, count=count, type=kind, **fields)
        )
        return len(self.document.accessors) - 1

    def vectors(self, arrays: np.ndarray) -> list[int]:
        """One accessor for each (V, D) array of (K, V, D) float32, all in one buffer view of vertex attributes."""
        arrays = np.ascontiguousarray(arrays, np.float32)
        if not len(arrays):
            return []
        count, size = arrays.shape[1:]
        view = self.view(arrays, gltf.ARRAY_BUFFER, 4 * size)
        lows, highs = arrays.min(1), arrays.max(1)
        return [
            self.accessor(
                view,
                f"VEC{size}",
                count,
                byteOffset=index * count * size * 4,
                min=lows[index].tolist(),
                max=highs[index].tolist(),
            )
            for index in range(len(arrays))
        ]


def _add_mesh(
    builder: _Builder,
    sequence: FaceSequence,
    targets: MorphTargets,
    distinct: np.ndarray,
    look: Callable[[], object],
) -> gltf.Mesh:
    """The neutral mesh and its targets, with normals for both."""
    faces = torch.from_numpy(sequence.faces)
    normals = vertex_normals(torch.tensor(sequence.neutral_vertices), faces).numpy()
    normals[np.linalg.norm(normals, axis=-1) < 0.5] = (0, 0, 1)  # a vertex of no triangle
    (position,) = builder.vectors(sequence.neutral_vertices[None])
    (normal,) = builder.vectors(normals[None])
    attributes = gltf.Attributes(POSITION=position, NORMAL=normal)
    if sequence.texture is not None and sequence.uv is None:
        (attributes.COLOR_0,) = builder.vectors(_linear(sequence.texture)[None])
    if sequence.uv is not None:  # glTF's v points down
        (attributes.TEXCOORD_0,) = builder.vectors((sequence.uv * [1, -1] + [0, 1])[None])
    short = len(sequence.neutral_vertices) < 2**16
    indices = sequence.faces.astype(np.uint16 if short else np.uint32).ravel()
    names: list[str] = []
    morphs: list[dict[str, int]] = []
    if len(distinct):
        bent = _bent_normals(sequence.vertices, distinct, faces, normals, targets, look)
        if targets.low_rank:
            names = [f"component_{index:04d}" for index in range(1, len(targets.displacements) + 1)]
        else:
            names = [f"frame_{row + 1:06d}" for row in distinct]
        positions = builder.vectors(targets.displacements)
        morphs = [
            {"POSITION": moved, "NORMAL": turned}
            for moved, turned in zip(positions, builder.vectors(bent), strict=True)
        ]
    primitive = gltf.Primitive(
        attributes=attributes,
        indices=builder.accessor(
            builder.view(indices, gltf.ELEMENT_ARRAY_BUFFER),
            gltf.SCALAR,
            len(indices),
            gltf.UNSIGNED_SHORT if short else gltf.UNSIGNED_INT,
        ),
        material=0,
        targets=morphs,
    )
    return gltf.Mesh(name="face", primitives=[primitive], extras={"targetNames": names})


def _bent_normals(
    vertices: np.ndarray,
    distinct: np.ndarray,
    faces: torch.Tensor,
    normals: np.ndarray,
    targets: MorphTargets,
    look: Callable[[], object],
) -> np.ndarray:
    """(K, V, 3): what each target adds to the neutral mesh's normals.

    Normals are not linear in the weights of a basis: their least-squares fit shades well enough.
    """
    bent = np.zeros_like(targets.displacements)
    # As np.linalg.lstsq has it, which would want the normals of all frames at once.
    share = len(targets.weights) * np.finfo(np.float32).eps
    inverse = np.linalg.pinv(targets.weights, share) if targets.low_rank else None  # (K, T)
    for start in range(0, len(distinct), FRAMES_A_LOOK):
        look()
        rows = slice(start, start + FRAMES_A_LOOK)
        change = vertex_normals(torch.from_numpy(vertices[distinct[rows]]), faces).numpy() - normals
        if inverse is None:
            bent[rows] = change
        else:
            bent += np.tensordot(inverse[:, rows], change, 1)
    return bent


def _material(builder: _Builder, sequence: FaceSequence) -> gltf.Material:
    """Skin: the person's texture, embedded, where the sequence has one; white under the colours of vertices."""
    surface = gltf.PbrMetallicRoughness(baseColorFactor=SKIN, metallicFactor=0.0, roughnessFactor=0.75)
    if sequence.texture is not None:
        surface.baseColorFactor = [1.0, 1.0, 1.0, 1.0]
    if sequence.texture is not None and sequence.uv is not None:
        document = builder.document
        document.images = [
            gltf.Image(name="texture", mimeType="image/png", bufferView=builder.bytes(texture_png(sequence)))
        ]
        document.samplers = [
            gltf.Sampler(
                magFilter=gltf.LINEAR,
                minFilter=gltf.LINEAR_MIPMAP_LINEAR,
                wrapS=gltf.CLAMP_TO_EDGE,
                wrapT=gltf.CLAMP_TO_EDGE,
            )
        ]
        document.textures = [gltf.Texture(sampler=0, source=0)]
        surface.baseColorTexture = gltf.TextureInfo(index=0)
    return gltf.Material(name="skin", pbrMetallicRoughness=surface, doubleSided=True)


def _linear(colors: np.ndarray) -> np.ndarray:
    """Colours of a picture (sRGB) in [0, 1] to amounts of light, as glTF has the colours of vertices."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def _add_animation(builder: _Builder, times: np.ndarray, channels: dict[str, np.ndarray]) -> None:
    """One animation, linear between frames."""
    clock = builder.accessor(
        builder.view(times), gltf.SCALAR, len(times), min=[float(times[0])], max=[float(times[-1])]
    )
    animation = gltf.Animation(name="video", samplers=[], channels=[])
    for path, values in channels.items():
        values = np.ascontiguousarray(values, np.float32)
        kind, count = (gltf.SCALAR, values.size) if path == "weights" else (gltf.VEC4, len(values))
        output = builder.accessor(builder.view(values), kind, count)
        animation.samplers.append(gltf.AnimationSampler(input=clock, output=output, interpolation="LINEAR"))
        animation.channels.append(
            gltf.AnimationChannel(
                sampler=len(animation.samplers) - 1, target=gltf.AnimationChannelTarget(node=0, path=path)
            )
        )
    builder.document.animations = [animation]


def _quaternions(rotation: np.ndarray) -> np.ndarray:
    """(T, 3, 3) to (T, 4) x, y, z, w, each in the hemisphere of the one before, so that none turns the long way."""
    from scipy.spatial.transform import Rotation

    quaternions = Rotation.from_matrix(rotation).as_quat()
    turned = np.cumprod(np.append(1, np.where((quaternions[1:] * quaternions[:-1]).sum(1) < 0, -1, 1)))
    return (quaternions * turned[:, None]).astype(np.float32)


def _extras(sequence: FaceSequence, rows: np.ndarray, targets: MorphTargets, head_pose: bool) -> dict[str, Any]:
    known = facs.ACTION_UNITS
    return {
        "action_units": {
            facs.label(number): known[number].name if number in known else "" for number in sequence.action_units
        },
        "face_id": sequence.face_id,
        "frames": (rows + 1).tolist(),
        "frames_without_face": (rows[~sequence.valid[rows]] + 1).tolist(),
        "frames_without_face_show": "the last frame with a face",
        "morph_targets": "low-rank basis" if targets.low_rank else "one a frame",
        "max_error_metres": targets.max_error,
        "head_pose": head_pose,
    }
