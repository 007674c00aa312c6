"""Small copies of Multiface for tests: its exact layout, made-up people, pictures rendered here, each quirk an option.

The mesh is the bundled facemesh with every edge halved twice (6,990 vertices), closed by a back of the head and an
inside of the mouth (18), and 298 vertices in no triangle, as the published 7,306 have too. Meshes are written in a
frame of their own (`Layout.mesh_rotation`), millimetres; the obj beside a bin holds the posed mesh, as published.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from au_d3dface.face_models import FaceMesh
from au_d3dface.geometry import axis_angle_to_matrix, pinhole, vertex_normals
from au_d3dface.metrics import REGIONS, facemesh_regions
from au_d3dface.rendering import MeshRenderer, default_lighting

NUM_VERTICES, NUM_SKIN, NUM_BACK = 7306, 6990, 17
MOUTH = NUM_SKIN + NUM_BACK  # the vertex inside the mouth; those after it are in no triangle
VERSION_1 = ("E001_Neutral_Eyes_Open", "E008_Smile_Mouth_Closed")
VERSION_2 = ("EXP_neutral_peak", "EXP_cheek001")
FOLDERS = {
    "6795937": "m--20180227--0000--6795937--GHS",
    "8870559": "m--20180406--0000--8870559--GHS",
    "002421669": "m--20190529--1300--002421669--GHS",
}
_PAINT = {"brows": (0.25, 0.16, 0.1), "eyes": (0.75, 0.72, 0.7), "mouth": (0.75, 0.35, 0.33)}
_SKIN = (0.85, 0.62, 0.5)


@dataclass
class Layout:
    """What is written, and what is true of it afterwards.

    Attributes:
        root: folder of the copy.
        subjects: numbers, of `FOLDERS`; 002421669 follows version 2 of the script.
        frames: a number for every frame of every expression; steps of 3, as published.
        cameras: degrees that each stands to the subject's left of straight ahead.
        height, width: of the pictures.
        mesh_rotation: (3, 3), from the head frame to the mesh's own.
        obj: "all" vertices, or "fewer": those in triangles only.
        obj_in_world: whether objs are posed, as published.
        missing: paths below `root`, left out.
        blank_lines: more of them in KRT, and spaces at the ends of lines.
        padded: whether names have six digits.
        distortion: of the last camera.
        markers: vertices painted pure green, each on a patch of its own.
        pictures: whether to render any (slow).
    """

    root: Path
    subjects: Sequence[str] = ("6795937",)
    frames: int = 3
    cameras: dict[str, float] = field(default_factory=lambda: {"400002": 40.0, "400015": -4.0, "400037": -35.0})
    height: int = 256
    width: int = 167
    mesh_rotation: torch.Tensor = field(default_factory=lambda: torch.eye(3))
    obj: str = "all"
    obj_in_world: bool = True
    missing: Sequence[str] = ()
    blank_lines: bool = False
    padded: bool = True
    distortion: float = 0.0
    markers: Sequence[int] = ()
    pictures: bool = True
    head: dict[str, np.ndarray] = field(default_factory=dict)
    """(7306, 3) metres in the head frame, by the path of the bin below `root`."""

    def expressions(self, subject: str) -> tuple[str, ...]:
        return VERSION_2 if subject == "002421669" else VERSION_1

    def numbers(self, expression: int) -> list[int]:
        """The first expression begins at frame 102, as published."""
        return [102 + 900 * expression + 3 * k for k in range(self.frames)]

    def camera(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """K in pixels, [R | t] in millimetres: 1.1 m from the world's origin, x right, y down, z forward."""
        turn = np.radians(self.cameras[name])
        centre = 1100 * np.array([np.sin(turn), 0.05, np.cos(turn)]) + WORLD_ORIGIN
        forward = (WORLD_ORIGIN - centre) / np.linalg.norm(WORLD_ORIGIN - centre)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        focal = 3.4 * self.height
        intrinsics = np.array([[focal, 0, self.width / 2 + 1.7], [0, focal, self.height / 2 - 2.3], [0, 0, 1]])
        return intrinsics, rotation, -rotation @ centre

    def write(self) -> "Layout":
        for place, subject in enumerate(self.subjects):
            folder = self.root / FOLDERS[subject]
            folder.mkdir(parents=True)
            self.write_krt(folder / "KRT")
            lines = []
            everything = []
            for row, expression in enumerate(self.expressions(subject)):
                for frame, number in enumerate(self.numbers(row)):
                    lines.append(f"{expression} {number:06d}\n")
                    head = made_head(place, 0.0 if row == 0 else (frame + 1) / self.frames)
                    everything.append(self._own(head))
                    self._write_frame(folder, expression, number, frame, head)
            (folder / "frame_list.txt").write_text("".join(reversed(lines)))  # its order is not that of time
            np.mean(everything, 0).astype("<f4").tofile(folder / "vert_mean.bin")
        for path in self.missing:
            (self.root / path).unlink()
        return self

    def _own(self, head: np.ndarray) -> np.ndarray:
        """Head frame, metres, to the mesh's own, millimetres."""
        return 1000 * head @ self.mesh_rotation.double().numpy().T + OWN_ORIGIN

    def pose(self, frame: int) -> np.ndarray:
        """(3, 4) millimetres, from the mesh's own frame to the world; the head turns and moves a little."""
        turn = axis_angle_to_matrix(torch.tensor([0.03, 0.05 * frame, 0.02 * frame], dtype=torch.float64))
        rotation = turn.numpy() @ self.mesh_rotation.double().numpy().T
        # The middle of the face, 70 mm before the head's origin, comes to the world's origin and a little beside it.
        middle = OWN_ORIGIN + self.mesh_rotation.double().numpy() @ [0, -20, 70]
        return np.concatenate([rotation, (WORLD_ORIGIN + np.array([3 * frame, 5, 0]) - rotation @ middle)[:, None]], 1)

    def _write_frame(self, folder: Path, expression: str, number: int, frame: int, head: np.ndarray) -> None:
        name = f"{number:06d}" if self.padded else str(number)
        meshes = folder / "tracked_mesh" / expression
        meshes.mkdir(parents=True, exist_ok=True)
        own, pose = self._own(head), self.pose(frame)
        own.astype("<f4").tofile(meshes / f"{name}.bin")
        self.head[str((meshes / f"{name}.bin").relative_to(self.root))] = head
        np.savetxt(meshes / f"{name}_transform.txt", pose, fmt="%.8f")
        world = own @ pose[:, :3].T + pose[:, 3]
        _write_obj(meshes / f"{name}.obj", world if self.obj_in_world else own, self.obj == "fewer")
        for camera in self.cameras:
            pictures = folder / "images" / expression / camera
            pictures.mkdir(parents=True, exist_ok=True)
            if self.pictures:
                image = self._render(world, camera)
            else:
                image = np.zeros((self.height, self.width, 3), np.uint8)
            Image.fromarray(image).save(pictures / f"{name}.png")

    def _render(self, world: np.ndarray, camera: str) -> np.ndarray:
        intrinsics, rotation, translation = self.camera(camera)
        points = torch.from_numpy(world)
        projected = pinhole(points, *(torch.from_numpy(part) for part in (rotation, translation, intrinsics)))
        faces = made_faces()
        toward_viewer = torch.from_numpy(rotation) * torch.tensor([[1.0], [-1.0], [-1.0]], dtype=torch.float64)
        normals = vertex_normals(points, faces) @ toward_viewer.T
        colors = _colors().clone()
        colors[list(self.markers)] = torch.tensor([0.0, 1.0, 0.0])
        lighting = None if self.markers else default_lighting()
        drawn = MeshRenderer(faces)(
            projected[None].float(),
            normals[None].float(),
            self.height,
            self.width,
            colors=colors,
            lighting=lighting,
            perspective=True,
        )
        background = torch.tensor([0.0, 0.0, 0.25])
        image = torch.where(drawn.alpha[0, ..., None] > 0, drawn.image[0], background)
        return (image.clamp(0, 1) * 255).round().byte().numpy()

    def write_krt(self, path: Path) -> None:
        end, gap = ("  \n", "\n\n\n") if self.blank_lines else ("\n", "\n")
        text = "\n\n" if self.blank_lines else ""
        for name in self.cameras:
            intrinsics, rotation, translation = self.camera(name)
            distortion = [self.distortion if name == list(self.cameras)[-1] else 0.0, 0.0, 0.0, 0.0, 0.0]
            extrinsics = np.concatenate([rotation, translation[:, None]], 1)
            rows = [[name], *_words(intrinsics), *_words([distortion]), *_words(extrinsics)]
            text += "".join(" ".join(row) + end for row in rows) + gap
        path.write_text(text)


WORLD_ORIGIN = np.array([-10.0, 4.0, 1000.0])
OWN_ORIGIN = np.array([1.0, 30.0, -70.0])
"""Millimetres: the middle of the heads in the world, and the head frame's origin in the mesh's own frame."""


def made_head(seed: int, strength: float) -> np.ndarray:
    """(7306, 3) metres in the head frame: a person with so much of an expression."""
    generator = torch.Generator().manual_seed(seed)
    model = FaceMesh()
    shape = torch.randn(10, generator=generator) * 0.6
    expression = torch.zeros(len(model.expression_basis))
    expression[:3] = strength * torch.tensor([1.5, -1.0, 1.0])
    skin = _halving() @ model(shape, expression).double().numpy()
    loops = _loops()
    rim, mouth = skin[loops["outline"]], skin[loops["mouth"]]
    ring = rim[::9] * [0.9, 0.9, 1.0] - [0.0, 0.0, 0.06]
    extra = [ring, rim.mean(0, keepdims=True) - [[0, 0, 0.1]], mouth.mean(0, keepdims=True) - [[0, 0, 0.03]]]
    loose = np.repeat(mouth.mean(0, keepdims=True) - [[0, 0, 0.02]], NUM_VERTICES - MOUTH - 1, 0)
    loose[:, 0] += np.linspace(-0.01, 0.01, len(loose))
    return np.concatenate([skin, *extra, loose])


@lru_cache(maxsize=1)
def made_faces() -> torch.Tensor:
    """(F, 3) counter-clockwise seen from outside."""
    _, faces = _halved()
    loops = _loops()
    rim, ring, pole = loops["outline"], np.arange(NUM_SKIN, MOUTH - 1), MOUTH - 1
    fans = [[b, a, MOUTH] for a, b in _pairs(loops["mouth"])]
    fans += [[b, a, ring[i // 9]] for i, (a, b) in enumerate(_pairs(rim))]
    # Where the ring's next vertex takes over, a triangle joins the two and the vertex of the rim between them.
    fans += [[rim[9 * (i + 1) % len(rim)], ring[i], ring[(i + 1) % len(ring)]] for i in range(len(ring))]
    fans += [[b, a, pole] for a, b in _pairs(ring)]
    return torch.from_numpy(np.concatenate([faces, np.array(fans, np.int64)]))


def _pairs(loop: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True))


def _halve(count: int, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends (E, 2) of the edges, whose middles become vertices count, count + 1, ..., and the (4 F, 3) triangles."""
    sides = np.sort(np.stack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]], 1), -1)
    edges, middle = np.unique(sides.reshape(-1, 2), axis=0, return_inverse=True)
    ab, bc, ca = (count + middle.reshape(-1, 3)).T
    a, b, c = faces.T
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return edges, np.concatenate([np.stack(corner, 1) for corner in corners])


@lru_cache(maxsize=1)
def _halved() -> tuple[np.ndarray, np.ndarray]:
    """The matrix (6990, 468) from the facemesh's vertices to those of the twice halved mesh, and its triangles."""
    faces, matrix = FaceMesh().faces.numpy(), np.eye(468)
    for _ in range(2):
        edges, faces = _halve(len(matrix), faces)
        matrix = np.concatenate([matrix, matrix[edges].mean(1)])
    assert len(matrix) == NUM_SKIN
    return matrix, faces


def _halving() -> np.ndarray:
    return _halved()[0]


@lru_cache(maxsize=1)
def _loops() -> dict[str, np.ndarray]:
    """The halved mesh's outline (144,) and the edge of its mouth (80,), surface on the left."""
    _, faces = _halved()
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    present = set(map(tuple, directed.tolist()))
    following = {a: b for a, b in present if (b, a) not in present}
    loops = {}
    for name, first in (("outline", 10), ("mouth", 14)):
        loop = [first]
        while (vertex := following[loop[-1]]) != first:
            loop.append(vertex)
        loops[name] = np.array(loop)
    assert {name: len(loop) for name, loop in loops.items()} == {"outline": 144, "mouth": 80}
    return loops


def made_regions() -> np.ndarray:
    """(7306,): the row of `metrics.REGIONS` where the vertex is one of the facemesh; -2 between such, -1 beyond."""
    regions = np.full(NUM_VERTICES, -2)
    regions[NUM_SKIN:] = -1
    for row, name in enumerate(REGIONS):
        regions[facemesh_regions()[name].numpy()] = row
    return regions


@lru_cache(maxsize=1)
def _colors() -> torch.Tensor:
    """(7306, 3) albedo: brows, eyes and mouth told from skin."""
    of_facemesh = torch.tensor(_SKIN).repeat(468, 1)
    for name, vertices in facemesh_regions().items():
        if name in _PAINT:
            of_facemesh[vertices] = torch.tensor(_PAINT[name])
    colors = torch.tensor([0.3, 0.2, 0.15]).repeat(NUM_VERTICES, 1)
    colors[:NUM_SKIN] = torch.from_numpy(_halving()).float() @ of_facemesh
    return colors


def _words(rows) -> list[list[str]]:
    return [[f"{value:.9g}" for value in row] for row in rows]


def _write_obj(path: Path, vertices: np.ndarray, fewer: bool) -> None:
    faces = made_faces().numpy()
    if fewer:
        kept = np.unique(faces)
        vertices, faces = vertices[kept], np.searchsorted(kept, faces)
    text = "# made here\n" + ("v %.6f %.6f %.6f\n" * len(vertices)) % tuple(vertices.ravel().tolist())
    text += "vt 0.0 0.0\n" + ("f %d/1 %d/1 %d/1\n" * len(faces)) % tuple((faces + 1).ravel().tolist())
    path.write_text(text)
