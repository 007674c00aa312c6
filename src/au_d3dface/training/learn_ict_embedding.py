"""Finds MediaPipe's 468 points on the ICT-FaceKit surface: renders heads, tracks them, un-projects the landmarks.

    python -m au_d3dface.training.learn_ict_embedding --ict-facekit ict_facekit.npz --output ict_landmarks_468.json

A tracked landmark is taken to the nearest visible skin pixel, from there to the place on the rest head; the median over
people and poses, weighted by how much the skin faces the camera, is made symmetric and put on the nearest triangle. The
heads' lips touch, so that both lips are near a point of their inner edges: which lip each belongs to is known.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from tqdm import tqdm

from ..data.synthetic.picture_tracking import PictureTracker
from ..data.synthetic.scenes import (
    Camera,
    HeadPainter,
    euler_rotation,
    random_appearance,
    random_background,
    random_lighting,
)
from ..face_models.ibug68 import INNER_LIPS
from ..face_models.ict import PARTS, ICTFaceKit
from ..geometry import nearest_on_surface, triangle_normals
from ..rendering.rasterizer import interpolate, rasterize
from ..tracking.topology import mirror_indices
from .render_alignment import IMAGE_TO_HEAD, robust_alignment

_SIZE = 512
_JAW_MOTION = (0.012, 0.015)
"""Metres: `jawOpen` moves no triangle of the upper lip by more, and every one of the lower lip by more than these."""

_POSES = ((0.0, 0.0), (0.35, 0.0), (-0.35, 0.0), (0.0, 0.2), (0.0, -0.2), (0.6, 0.0), (-0.6, 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ict-facekit", type=Path, required=True, help="npz of ICT-FaceKit")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    head = ICTFaceKit(arguments.ict_facekit, part="head")
    places, weights = _observe(head, arguments.people, arguments.seed)
    points = _weighted_median(places, weights)
    mirror = mirror_indices()
    points = (points + points[mirror] * np.array([-1, 1, 1])) / 2
    corners, barycentric, distance = place(head, points)
    print(f"spread of a landmark over people and poses: median {np.median(_spread(places, points)) * 1e3:.2f} mm")
    print(f"distance from the median to the surface: at most {distance.max() * 1e3:.2f} mm")
    stored = {
        "about": "MediaPipe's 468 points on ICT-FaceKit's face: found by rendering and tracking (learn_ict_embedding).",
        "vertices": corners.tolist(),
        "barycentric": np.round(barycentric, 4).tolist(),
    }
    temporary = arguments.output.with_suffix(".tmp")
    temporary.write_text(json.dumps(stored, separators=(",", ":")))
    temporary.replace(arguments.output)


def _observe(head: ICTFaceKit, people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places on the rest head (R, 468, 3) and weights (R, 468) of R tracked renders."""
    painter, tracker = HeadPainter(head), PictureTracker(passes=4)
    skin = head.faces[(head.faces < PARTS["face"].stop).all(1)]
    rest_mouth = torch.zeros(len(head.expression_names))
    rest_mouth[head.expression_names.index("mouthClose")] = 0.02
    rng = np.random.default_rng(seed)
    places, weights = [], []
    for _ in tqdm(range(people), unit="person"):
        identity = torch.from_numpy(rng.normal(0, 0.7, 100)).float()
        vertices, appearance = head(identity, rest_mouth), random_appearance(rng)
        for yaw, pitch in _POSES:
            rotation = euler_rotation(yaw, pitch, 0.0)
            scale = _SIZE / 0.27
            offset = scale * (rotation @ np.array([0.0, -0.01, 0.09]))[:2] * np.array([1, -1])
            camera = Camera(rotation, 1.5, scale, np.full(2, _SIZE / 2) - offset)
            background = random_background(rng, _SIZE, _SIZE)
            tracked = tracker(painter.render(vertices, appearance, random_lighting(rng), camera, background))
            if tracked is None:
                continue
            points = camera.project(vertices)[None]
            # Of the whole head only skin is asked for, but teeth and hair in front of it hide nothing that matters.
            fragments = rasterize(points, skin, _SIZE, _SIZE, cull_backfaces=True)
            rest = interpolate(fragments, skin, head.template)[0].numpy()
            rows, columns = fragments.mask[0].nonzero().numpy().T
            distance, nearest = cKDTree(np.stack([columns, rows], 1) + 0.5).query(tracked[:468, :2])
            normals = torch.nn.functional.normalize(triangle_normals(points[0], skin), dim=-1)
            facing = -normals[fragments.pixel_to_face[0, rows[nearest], columns[nearest]], 2].numpy()
            places.append(rest[rows[nearest], columns[nearest]])
            # Where the nearest skin is far from where the tracker has the point in depth, it is another surface: the
            # neck behind the jaw, the far side of the nose.
            solid = robust_alignment(
                torch.from_numpy(tracked[None, :468]) * IMAGE_TO_HEAD, torch.from_numpy(places[-1])
            )
            depth = np.linalg.norm(solid[0].numpy() - places[-1], axis=-1)
            weights.append(np.clip(facing, 0.02, 1) ** 2 * np.exp(-distance / 3) / (1 + (depth / 0.006) ** 2))
    tracker.close()
    return np.stack(places), np.stack(weights)


def place(head: ICTFaceKit, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(468, 3) points near the face to the nearest points on its surface, inner lips each on their own lip.

    Returns:
        as `nearest_on_surface`.
    """
    vertices = head.template.numpy()
    faces = head.faces[(head.faces < PARTS["face"].stop).all(1)].numpy()
    motion = head.expression_basis[head.expression_names.index("jawOpen")].norm(dim=-1).numpy()[faces]
    lips = {"upper": faces[motion.max(1) < _JAW_MOTION[0]], "lower": faces[motion.min(1) > _JAW_MOTION[1]]}
    placed = nearest_on_surface(points, vertices, faces)
    for lip, rows in INNER_LIPS.items():
        for whole, part in zip(placed, nearest_on_surface(points[list(rows)], vertices, lips[lip]), strict=True):
            whole[list(rows)] = part
    return placed


def _weighted_median(places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, L, 3) and (R, L) to the geometric median (L, 3), by Weiszfeld's iteration."""
    median = np.average(places, axis=0, weights=np.repeat(weights[..., None], 3, -1))
    for _ in range(50):
        closeness = weights / np.maximum(np.linalg.norm(places - median, axis=-1), 1e-5)
        median = (places * closeness[..., None]).sum(0) / closeness.sum(0)[:, None]
    return median


def _spread(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.median(np.linalg.norm(places - points, axis=-1), axis=0)


if __name__ == "__main__":
    main()
