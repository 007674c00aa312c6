"""Renders random people with random action units and tracks them: what MediaPipe answers to known faces.

    python -m au_d3dface.data.synthetic.tracked_renders --ict-facekit FILE --output DIR --count 6000 --seed 0

Each person is seen from a few poses; in every pose first at rest and then with several expressions, the camera and the
appearance unchanged, so that an expression's effect on the tracker can be told from the person's and the pose's. The
same seed gives the same renders whatever the number of workers; shards that exist already are kept.
"""

import argparse
import multiprocessing
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ... import facs
from ...errors import AUD3DFaceError, InputError, UsageError
from ...export.files import atomic_path, output_errors
from ...face_models.ict import ICTFaceKit
from .picture_tracking import PictureTracker
from .scenes import HeadPainter, random_appearance, random_background, random_camera, random_lighting
from .trajectories import OTHER_SHAPES

COMBINATIONS = (
    (6, 12), (6, 12, 25), (6, 7, 12, 25, 26), (12, 25), (12, 25, 26), (12, 14), (1, 2), (1, 2, 5), (1, 2, 5, 25, 26),
    (1, 4), (1, 4, 15), (1, 4, 15, 17), (4, 7), (4, 5, 7), (4, 9, 10), (9, 10, 25), (4, 7, 23), (4, 7, 24), (15, 17),
    (17, 24), (17, 23), (10, 25), (10, 17), (20, 25), (1, 4, 20, 25), (25, 26), (25, 26, 45), (12, 45), (4, 45),
    (6, 7, 12), (2, 12), (14, 17), (23, 25), (28, 26), (4, 6, 7, 9, 10, 25), (12, 17), (12, 15, 17), (6, 45), (7, 45),
)  # fmt: skip
"""Action units seen together on people."""

_GAZE = ("eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut")

POSES, EXPRESSIONS = 3, 14
PER_PERSON = POSES + EXPRESSIONS
"""Renders of one person: at rest in each pose, then expressions spread over the poses."""

PEOPLE_PER_SHARD = 6


@dataclass(frozen=True)
class Face:
    """One face to render.

    Attributes:
        action_units: (19, 2) activations of `facs.ALL`, subject's left and right; 1 is intensity 5.
        other: (E,) ICT expression weights of what is no action unit: speech, gaze, a mouth pushed aside.
        pose: 0 to `POSES` - 1.
        at_rest: whether it is the person's neutral face.
    """

    action_units: np.ndarray
    other: np.ndarray
    pose: int
    at_rest: bool


def random_identity(rng: np.random.Generator, modes: int = 100) -> np.ndarray:
    """(100,) identity weights, N(0, 1) within ±2.5; the late modes, which hold the scans' noise, are damped."""
    return np.clip(rng.normal(0, 1, modes), -2.5, 2.5) * np.exp(-np.arange(modes) / 80)


def random_rest(rng: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """(57,) expression weights of a person at rest: lids, lips and mouth corners differ between people."""
    rest = np.zeros(len(names), np.float32)
    rest[names.index("mouthClose")] = rng.uniform(0.014, 0.026)  # the kit's neutral has its lips a millimetre apart
    lids, squint, corners = rng.uniform(0, 0.18), rng.uniform(0, 0.1), rng.uniform(-0.12, 0.12)
    for side in "LR":
        rest[names.index(f"eyeBlink_{side}")] = lids
        rest[names.index(f"eyeSquint_{side}")] = squint
        rest[names.index(f"mouth{'Smile' if corners > 0 else 'Frown'}_{side}")] = abs(corners)
    return rest


def random_faces(rng: np.random.Generator, names: tuple[str, ...]) -> list[Face]:
    """The `PER_PERSON` faces of one person; `names` are the kit's expression shapes."""
    row = {number: i for i, number in enumerate(facs.ALL)}
    still = np.zeros(len(names))
    faces = [Face(np.zeros((len(row), 2)), still, pose, True) for pose in range(POSES)]
    for i in range(EXPRESSIONS):
        units, other = np.zeros((len(row), 2)), still.copy()
        kind = rng.uniform()
        if kind < 0.5:
            chosen: tuple[int, ...] = (facs.ALL[rng.integers(len(facs.ALL))],)
        elif kind < 0.88:
            chosen = COMBINATIONS[rng.integers(len(COMBINATIONS))]
        else:
            chosen = ()
            other[names.index("jawOpen")] = rng.uniform(0, 0.4)
            for name in rng.choice(OTHER_SHAPES, 3, replace=False):
                other[names.index(name)] = rng.uniform(0, 0.6)
            other[names.index("mouthClose")] = min(other[names.index("mouthClose")], other[names.index("jawOpen")])
        if kind >= 0.5 and rng.uniform() < 0.25:
            chosen = (*chosen, facs.ALL[rng.integers(len(facs.ALL))])
        for number in chosen:
            strength = rng.uniform(0.1, 1.0)
            sides = strength * np.clip(1 + rng.normal(0, 0.12, 2), 0, 1 / strength)
            if rng.uniform() < 0.2:
                sides[rng.integers(2)] *= rng.uniform(0, 0.6)
            units[row[number]] = np.maximum(units[row[number]], sides)
        if rng.uniform() < 0.25:
            up, across = rng.uniform(-0.8, 0.8, 2)
            for side, inwards in (("L", across), ("R", -across)):
                other[names.index(f"{_GAZE[0 if up > 0 else 1]}_{side}")] = abs(up)
                other[names.index(f"{_GAZE[2 if inwards > 0 else 3]}_{side}")] = abs(inwards)
        faces.append(Face(units, other, i % POSES, False))
    return faces


def render_person(
    person: int, seed: int, head: ICTFaceKit, painter: HeadPainter, tracker: PictureTracker, size: int = 256
) -> dict[str, np.ndarray]:
    """Renders and tracks one person. See `Shards` for the arrays, of `PER_PERSON` rows."""
    rng = np.random.default_rng([seed, person])
    names = head.expression_names
    weights, look = random_identity(rng), random_appearance(rng)
    rest = random_rest(rng, names)
    settings = [
        (random_camera(rng, size), random_lighting(rng), random_background(rng, size, size)) for _ in range(POSES)
    ]
    faces = random_faces(rng, names)
    # Faces of one pose after each other, as in a video; the order of rows stays.
    units_to_shapes = head.au_to_expression(facs.ALL).numpy()
    rows: list[dict[str, np.ndarray]] = [{} for _ in faces]
    for i in sorted(range(len(faces)), key=lambda i: (faces[i].pose, i)):
        face = faces[i]
        camera, lighting, background = settings[face.pose]
        shapes = rest + face.other + np.tensordot(face.action_units, units_to_shapes, axes=2)
        expression = np.clip(shapes, 0, 1).astype(np.float32)
        vertices = head(torch.from_numpy(weights.astype(np.float32)), torch.from_numpy(expression))
        points = tracker(painter.render(vertices, look, lighting, camera, background))
        rows[i] = {
            "person": np.int32(person),
            "identity": weights.astype(np.float32),
            "action_units": face.action_units.astype(np.float32),
            "other": face.other.astype(np.float32),
            "expression": expression - rest,
            "pose": np.int8(face.pose),
            "at_rest": np.bool_(face.at_rest),
            "rotation": camera.rotation.astype(np.float32),
            "distance": np.float32(camera.distance),
            "scale": np.float32(camera.scale),
            "centre": camera.centre.astype(np.float32),
            "true_points": head.landmarks_468(vertices, head.faces).numpy(),
            "tracked": np.full((478, 3), np.nan, np.float32) if points is None else points,
            "found": np.bool_(points is not None),
        }
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def load_shards(folder: Path) -> dict[str, np.ndarray]:
    """All renders of a folder, R rows in the order of the people.

    Returns:
        person (R,), identity (R, 100), action_units (R, 19, 2) of `facs.ALL` and the subject's left and right,
        other (R, 57), expression (R, 57) all ICT weights beyond those at rest, pose (R,), at_rest (R,),
        rotation (R, 3, 3), distance (R,) metres, scale (R,) pixels per metre, centre (R, 2) pixels (`scenes.Camera`),
        true_points (R, 468, 3) metres in the head frame, tracked (R, 478, 3) image frame, found (R,).

    Raises:
        InputError: no shard there, or one is damaged.
    """
    paths = sorted(Path(folder).glob("renders_*.npz"))
    if not paths:
        raise InputError(
            f"{folder} holds no renders_*.npz; make them with python -m au_d3dface.data.synthetic.tracked_renders"
        )
    shards = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as npz:
                shards.append({key: npz[key] for key in npz})
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path} is damaged ({error}); delete it and render it again") from error
    if any(shard.keys() != shards[0].keys() for shard in shards):
        raise InputError(f"{folder} holds renders of different kinds; render them again into another folder")
    return {key: np.concatenate([shard[key] for shard in shards]) for key in shards[0]}


def _make_shard(shard: int, kit: Path, output: Path, seed: int) -> int:
    """Makes one shard in a worker; returns the renders in which no face was found."""
    torch.set_num_threads(1)
    head, painter = _head(kit)
    # A new tracker for each shard: its answers depend a little on what it saw before.
    tracker = PictureTracker()
    people = range(shard * PEOPLE_PER_SHARD, (shard + 1) * PEOPLE_PER_SHARD)
    made = [render_person(person, seed, head, painter, tracker) for person in people]
    tracker.close()
    arrays = {key: np.concatenate([m[key] for m in made]) for key in made[0]}
    with atomic_path(output / f"renders_{shard:05d}.npz") as temporary:
        np.savez(temporary, **arrays)
    return int((~arrays["found"]).sum())


_CACHE: dict[Path, tuple[ICTFaceKit, HeadPainter]] = {}


def _head(kit: Path) -> tuple[ICTFaceKit, HeadPainter]:
    if kit not in _CACHE:
        head = ICTFaceKit(kit, part="head")
        _CACHE[kit] = head, HeadPainter(head)
    return _CACHE[kit]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.data.synthetic.tracked_renders", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--ict-facekit", type=Path, required=True, help="npz of ICT-FaceKit")
    parser.add_argument("--output", type=Path, required=True, help="folder for renders_*.npz")
    parser.add_argument("--count", type=int, default=6000, help="renders, rounded up to whole shards")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        if min(options.count, options.workers) < 1 or options.seed < 0:
            raise UsageError("--count and --workers must be at least 1, and --seed at least 0")
        with output_errors(options.output):
            options.output.mkdir(parents=True, exist_ok=True)
        ICTFaceKit(options.ict_facekit)  # fails here, with its sentence, rather than in a worker
        shards = range(-(-options.count // (PER_PERSON * PEOPLE_PER_SHARD)))
        waiting = [s for s in shards if not (options.output / f"renders_{s:05d}.npz").exists()]
        work = partial(_make_shard, kit=options.ict_facekit, output=options.output, seed=options.seed)
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            lost = sum(tqdm(pool.imap_unordered(work, waiting), total=len(waiting), unit="shard"))
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    made = len(shards) * PER_PERSON * PEOPLE_PER_SHARD
    print(f"{made} renders in {options.output}; no face found in {lost} new ones")
    return 0


if __name__ == "__main__":
    sys.exit(main())
