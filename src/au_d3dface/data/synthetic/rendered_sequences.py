"""Labelled sequences of the better quality: a head of ICT-FaceKit acts, is rendered, and is tracked like a video.

    python -m au_d3dface.data.synthetic.rendered_sequences --ict-facekit PATH --output DIR --count 900 --seed 0

What the tracker says of each frame is its true answer with its true errors. The same seed gives the same sequences
whatever the number of workers; shards that exist already are kept, so the work can be interrupted and goes on. Held-out
people are another seed. `sequences.py` makes sequences of the same kind from statistics, without rendering.
"""

import argparse
import io
import json
import multiprocessing
import os
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from ... import facs
from ...errors import AUD3DFaceError, InputError
from ...face_models.ict import ICTFaceKit
from ...geometry import axis_angle_to_matrix, similarity_alignment
from ...tracking import NUM_FACE_LANDMARKS, TrackedFace
from .picture_tracking import PictureTracker
from .scenes import Camera, HeadPainter, random_appearance, random_background, random_lighting
from .sequences import TrackedSequence, other_weights
from .tracked_renders import random_identity, random_rest
from .trajectories import sample_performance, smooth_noise

PER_SHARD = 4
PROVENANCE = "provenance.json"
_IMAGE_TO_HEAD = np.array([1.0, -1.0, -1.0], np.float32)
_REST_POSES = ((0.0, 0.0, 0.0), (0.06, 0.1, 0.0), (-0.06, -0.1, 0.0))
"""Poses (pitch, yaw, roll) from which the tracker's view of a person at rest is averaged."""


@dataclass(frozen=True)
class RenderSettings:
    """How rendered sequences vary. Ranges are (low, high) of a uniform draw.

    Attributes:
        seconds, frame_rate: length of a sequence, frames a second.
        size: pixels a side of the picture.
        width: metres across the picture at the head; a face is about 0.14 m wide.
        true_gain: factor on the geometry of each AU, per person.
        blur: standard deviation in pixels of the camera's blur. noise: standard deviation of its noise, of 255.
        quality: of JPEG compression.
        style: of `displays.STYLES`; None draws one a sequence.
    """

    seconds: float = 10.0
    frame_rate: float = 10.0
    size: int = 256
    width: tuple[float, float] = (0.21, 0.40)
    true_gain: tuple[float, float] = (0.85, 1.2)
    blur: tuple[float, float] = (0.0, 0.9)
    noise: tuple[float, float] = (0.0, 5.0)
    quality: tuple[int, int] = (50, 96)
    style: str | None = None

    @property
    def num_frames(self) -> int:
        return round(self.seconds * self.frame_rate)


class RenderedSequenceSampler:
    """Renders and tracks sequences of facs.ALL.

    Args:
        kit: path of ICT-FaceKit.
        settings: how much things vary.
        seed: of everything drawn; held-out people are another seed.
    """

    def __init__(self, kit: str | Path, settings: RenderSettings | None = None, seed: int = 0) -> None:
        self.kit, self.settings, self.seed = Path(kit), settings or RenderSettings(), seed

    @property
    def provenance(self) -> dict:
        """What the sequences are made from."""
        sources = ["rendered and tracked heads of ICT-FaceKit"]
        return {"quality": "rendered", "sources": sources, "seed": self.seed, "settings": asdict(self.settings)}

    def __call__(self, index: int) -> TrackedSequence:
        """The sequence of this index: always the same."""
        head, painter = _head(self.kit)
        rng, s = np.random.default_rng([self.seed, index]), self.settings
        times = np.arange(s.num_frames) / s.frame_rate
        scene = self._scene(rng, head)
        act = sample_performance(rng, times, s.style)
        true_gain = rng.uniform(*s.true_gain, len(facs.ALL))[:, None] * np.exp(0.05 * rng.standard_normal((19, 2)))
        units = np.tensordot(act.action_units / 5 * true_gain, head.au_to_expression(facs.ALL).numpy(), axes=2)
        shapes = scene.rest + units + other_weights(act, head.expression_names)
        shapes = np.clip(shapes, 0, 1).astype(np.float32)
        scale = scene.scale * np.exp(0.04 * smooth_noise(rng, times, 1, 2.5)[:, 0])
        drift = 0.015 * smooth_noise(rng, times, 2, 2.0)
        tracker = PictureTracker(passes=2)
        landmarks = np.full((len(times), 478, 3), np.nan, np.float32)
        for frame, (weights, pose) in enumerate(zip(shapes, act.pose, strict=True)):
            picture = scene.picture(rng, painter, weights, pose, float(scale[frame]), drift[frame])
            points = tracker(picture)
            if frame == 0 and points is not None:
                points = tracker(picture)  # the crop settles, as after the first frames of a video
            if points is not None:
                landmarks[frame] = points
        neutral = self._tracked_at_rest(rng, scene, painter, tracker)
        tracker.close()
        valid = np.isfinite(landmarks[:, 0, 0])
        if neutral is None:  # nobody could tell what this face looks like to the tracker
            valid[:], neutral = False, np.zeros((NUM_FACE_LANDMARKS, 3), np.float32)
        landmarks[~valid] = np.nan
        return TrackedSequence(
            face=TrackedFace(face_id=0, landmarks=landmarks, valid=valid),
            times=times,
            intensity=act.action_units,
            weights=shapes - scene.rest,
            neutral=neutral,
            identity=scene.identity,
            rest=scene.rest,
        )

    def _scene(self, rng: np.random.Generator, head: ICTFaceKit) -> "_Scene":
        s = self.settings
        return _Scene(
            head=head,
            identity=random_identity(rng).astype(np.float32),
            rest=random_rest(rng, head.expression_names),
            look=random_appearance(rng),
            lighting=random_lighting(rng),
            background=random_background(rng, s.size, s.size),
            distance=float(np.exp(rng.uniform(np.log(0.45), np.log(2.5)))),
            scale=s.size / rng.uniform(*s.width),
            blur=rng.uniform(*s.blur),
            noise=rng.uniform(*s.noise),
            quality=int(rng.integers(*s.quality)),
        )

    @staticmethod
    def _tracked_at_rest(rng, scene: "_Scene", painter: HeadPainter, tracker: PictureTracker) -> np.ndarray | None:
        """(468, 3) metres in the head frame: what the tracker says of the person at rest, from the front."""
        true = scene.vertices(scene.rest)
        true = scene.head.landmarks_468(true, scene.head.faces)
        seen = []
        for pose in _REST_POSES:
            picture = scene.picture(rng, painter, scene.rest, np.array(pose), scene.scale, np.zeros(2))
            points = [tracker(picture) for _ in range(2)][-1]
            if points is not None:
                tracked = torch.from_numpy(points[:NUM_FACE_LANDMARKS] * _IMAGE_TO_HEAD)
                rotation, scale, translation = similarity_alignment(tracked, true)
                seen.append(scale * tracked @ rotation.mT + translation)
        return torch.stack(seen).mean(0).numpy() if seen else None


@dataclass(frozen=True)
class _Scene:
    """One person before one camera."""

    head: ICTFaceKit
    identity: np.ndarray
    rest: np.ndarray
    look: object
    lighting: object
    background: np.ndarray
    distance: float
    scale: float
    blur: float
    noise: float
    quality: int

    def vertices(self, weights: np.ndarray) -> torch.Tensor:
        return self.head(torch.from_numpy(self.identity), torch.from_numpy(weights))

    def picture(self, rng, painter: HeadPainter, weights, pose, scale: float, shift) -> np.ndarray:
        """(S, S, 3) uint8: one frame as a camera would deliver it."""
        rotation = axis_angle_to_matrix(torch.from_numpy(np.asarray(pose, np.float64))).numpy()
        size = len(self.background)
        face = rotation @ np.array([0.0, -0.01, 0.09])  # the face lies in front of the head's origin
        centre = size / 2 + scale * (shift - face[:2]) * np.array([1, -1])
        camera = Camera(rotation, self.distance, scale, centre)
        picture = painter.render(self.vertices(weights), self.look, self.lighting, camera, self.background)
        seen = gaussian_filter(picture.astype(np.float32), (self.blur, self.blur, 0)) if self.blur > 0.2 else picture
        noise = self.noise * rng.standard_normal(picture.shape[:2], np.float32)
        seen = np.clip(seen + noise[..., None], 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(seen).save(file, "jpeg", quality=self.quality)
        return np.asarray(Image.open(file))


@lru_cache(maxsize=1)
def _head(kit: Path) -> tuple[ICTFaceKit, HeadPainter]:
    head = ICTFaceKit(kit, part="head")
    return head, HeadPainter(head)


class StoredSequences:
    """Sequences that were rendered before: a sampler over a folder of shards.

    Raises:
        InputError: the folder holds no shards, or one is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.paths = sorted(self.folder.glob("sequences_*.npz"))
        if not self.paths:
            raise InputError(
                f"{folder} holds no sequences_*.npz; make them with python -m "
                "au_d3dface.data.synthetic.rendered_sequences"
            )
        self._shard: tuple[Path, dict[str, np.ndarray]] | None = None
        try:
            self.provenance = json.loads((self.folder / PROVENANCE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / PROVENANCE} cannot be read ({error}); render them again") from error

    def __len__(self) -> int:
        return PER_SHARD * len(self.paths)

    def __call__(self, index: int) -> TrackedSequence:
        path, row = self.paths[index // PER_SHARD], index % PER_SHARD
        if self._shard is None or self._shard[0] != path:
            try:
                with np.load(path, allow_pickle=False) as npz:
                    self._shard = path, {key: npz[key] for key in npz}
            except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                raise InputError(f"{path} is damaged ({error}); delete it and render it again") from error
        arrays = {key: value[row] for key, value in self._shard[1].items()}
        face = TrackedFace(0, arrays.pop("landmarks"), arrays.pop("valid"))
        return TrackedSequence(face=face, **arrays)


def _make_shard(shard: int, sampler: RenderedSequenceSampler, output: Path) -> int:
    """Makes one shard in a worker; returns the number of frames in which no face was found."""
    torch.set_num_threads(1)
    made = [sampler(index) for index in range(shard * PER_SHARD, (shard + 1) * PER_SHARD)]
    arrays = {
        name: np.stack([getattr(sequence, name) for sequence in made])
        for name in ("times", "intensity", "weights", "neutral", "identity", "rest")
    }
    arrays["landmarks"] = np.stack([sequence.face.landmarks for sequence in made])
    arrays["valid"] = np.stack([sequence.face.valid for sequence in made])
    target = output / f"sequences_{shard:05d}.npz"
    temporary = target.with_suffix(f".{os.getpid()}.part")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, target)
    return int((~arrays["valid"]).sum())


def _write_provenance(output: Path, provenance: dict) -> None:
    """Raises InputError where the folder holds sequences that were made otherwise."""
    path, text = output / PROVENANCE, json.dumps(provenance, indent=1) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise InputError(f"{output} holds sequences of another seed or other settings; give another folder as --output")
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def render_sequences(sampler: RenderedSequenceSampler, output: Path, count: int, workers: int = 1) -> int:
    """Renders the shards of `count` sequences that are not there yet; returns the frames in which no face was found."""
    output.mkdir(parents=True, exist_ok=True)
    _write_provenance(output, sampler.provenance)
    shards = range(-(-count // PER_SHARD))
    waiting = [s for s in shards if not (output / f"sequences_{s:05d}.npz").exists()]
    work = partial(_make_shard, sampler=sampler, output=output)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(tqdm(pool.imap_unordered(work, waiting), total=len(waiting), unit="shard", disable=None))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ict-facekit", type=Path, required=True, help="ICT-FaceKit: its npz or folder")
    parser.add_argument("--output", type=Path, required=True, help="folder for sequences_*.npz")
    parser.add_argument("--count", type=int, default=900, help="sequences, rounded up to whole shards")
    parser.add_argument("--style", help="of data.synthetic.displays.STYLES; without it, all are drawn")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        ICTFaceKit(options.ict_facekit)  # fails here, with its sentence, rather than in a worker
        settings = RenderSettings(style=options.style)
        sampler = RenderedSequenceSampler(options.ict_facekit, settings, options.seed)
        lost = render_sequences(sampler, options.output, options.count, options.workers)
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"sequences in {options.output}; no face found in {lost} new frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
