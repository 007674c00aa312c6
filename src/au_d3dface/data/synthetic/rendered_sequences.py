"""Labelled sequences of the better quality: a head of ICT-FaceKit acts, is rendered, and is tracked like a video.

    python -m au_d3dface.data.synthetic.rendered_sequences --ict-facekit PATH --output DIR --count 900 --seed 0

What the tracker says of each frame is its true answer with its true errors. The same seed gives the same sequences
whatever the number of workers; shards that exist already are kept, so the work can be interrupted and goes on. Held-out
people are another seed. `sequences.py` makes sequences of the same kind from statistics, without rendering.

With `--pictures`, the pictures that the tracker saw are kept beside each shard, with the true points in them: see
film.py for what is written and stored_pictures.py for reading it.
"""

import argparse
import json
import multiprocessing
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...errors import AUD3DFaceError, InputError, UsageError
from ...export.files import atomic_path, output_errors
from ...geometry import similarity_alignment
from ...tracking import NUM_FACE_LANDMARKS, NUM_LANDMARKS, TrackedFace
from .displays import STYLES
from .film import Film, write_films
from .filming import FilmedFrame, FilmedPerson, RenderSettings, load_head, random_take
from .picture_tracking import PictureTracker
from .scenes import HeadPainter
from .sequences import TrackedSequence

PER_SHARD = 4
PROVENANCE = "provenance.json"
_ARRAYS = ("times", "intensity", "weights", "neutral", "identity", "rest")
_IMAGE_TO_HEAD = np.array([1.0, -1.0, -1.0], np.float32)
_REST_POSES = ((0.0, 0.0, 0.0), (0.06, 0.1, 0.0), (-0.06, -0.1, 0.0))
"""Poses (pitch, yaw, roll) from which the tracker's view of a person at rest is averaged."""


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

    def __call__(self, index: int, watch: Callable[[FilmedFrame], object] = lambda frame: None) -> TrackedSequence:
        """The sequence of this index: always the same.

        Args:
            watch: called with each of its frames, in order.
        """
        head, painter = load_head(self.kit)
        rng = np.random.default_rng([self.seed, index])
        take = random_take(rng, head, self.settings)
        tracker = PictureTracker(passes=2)
        landmarks = np.full((len(take.times), NUM_LANDMARKS, 3), np.nan, np.float32)
        for frame in range(len(take.times)):
            filmed = take.frame(rng, painter, frame)
            watch(filmed)
            points = tracker(filmed.picture)
            if frame == 0 and points is not None:
                points = tracker(filmed.picture)  # the crop settles, as after the first frames of a video
            if points is not None:
                landmarks[frame] = points
        neutral = _tracked_at_rest(rng, take.person, painter, tracker)
        tracker.close()
        valid = np.isfinite(landmarks[:, 0, 0])
        if neutral is None:  # nobody could tell what this face looks like to the tracker
            valid[:], neutral = False, np.zeros((NUM_FACE_LANDMARKS, 3), np.float32)
        landmarks[~valid] = np.nan
        return TrackedSequence(
            face=TrackedFace(face_id=0, landmarks=landmarks, valid=valid),
            times=take.times,
            intensity=take.act.action_units,
            weights=take.shapes - take.person.rest,
            neutral=neutral,
            identity=take.person.identity,
            rest=take.person.rest,
        )


def _tracked_at_rest(
    rng: np.random.Generator, person: FilmedPerson, painter: HeadPainter, tracker: PictureTracker
) -> np.ndarray | None:
    """(468, 3) metres in the head frame: what the tracker says of the person at rest, from the front."""
    true = person.head.landmarks_468(person.vertices(person.rest), person.head.faces)
    seen = []
    for pose in _REST_POSES:
        filmed = person.film(rng, painter, person.rest, np.array(pose), person.scale, np.zeros(2))
        points = [tracker(filmed.picture) for _ in range(2)][-1]
        if points is not None:
            tracked = torch.from_numpy(points[:NUM_FACE_LANDMARKS] * _IMAGE_TO_HEAD)
            rotation, scale, translation = similarity_alignment(tracked, true)
            seen.append(scale * tracked @ rotation.mT + translation)
    return torch.stack(seen).mean(0).numpy() if seen else None


class StoredSequences:
    """Sequences that were rendered before: a sampler over a folder of shards.

    Raises:
        InputError: here and when a sequence is taken: the folder holds no shards, or one is damaged.
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
            self._shard = path, _read_shard(path)
        arrays = {key: value[row] for key, value in self._shard[1].items()}
        face = TrackedFace(0, arrays.pop("landmarks"), arrays.pop("valid"))
        return TrackedSequence(face=face, **arrays)


def _read_shard(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as npz:
            arrays = {name: npz[name] for name in npz}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and render it again") from error
    wrong = sorted(arrays.keys() ^ {*_ARRAYS, "landmarks", "valid"})
    wrong += [name for name, array in arrays.items() if array.shape[:1] != (PER_SHARD,)]
    if wrong:
        raise InputError(
            f"{path} is not a shard of sequences ({wrong[0]!r} is missing or another); delete it and render it again"
        )
    return arrays


def pictures_path(shard: Path) -> Path:
    """Where the pictures of a shard of sequences lie."""
    return shard.with_name(shard.name.replace("sequences_", "pictures_"))


def _make_shard(shard: int, sampler: RenderedSequenceSampler, output: Path, pictures: bool) -> int:
    """Makes one shard; returns the number of frames in which no face was found."""
    indices, path = range(shard * PER_SHARD, (shard + 1) * PER_SHARD), output / f"sequences_{shard:05d}.npz"
    if pictures:
        head, _ = load_head(sampler.kit)
        films = [Film(head) for _ in indices]
        made = [sampler(index, film.add) for index, film in zip(indices, films, strict=True)]
        write_films(films, pictures_path(path))  # first: sequences that are there have their pictures
    else:
        made = [sampler(index) for index in indices]
    write_shard(made, path)
    return sum(int((~sequence.face.valid).sum()) for sequence in made)


def write_shard(sequences: Sequence[TrackedSequence], target: Path) -> None:
    """Writes PER_SHARD sequences of one length as `StoredSequences` reads them, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays = {name: np.stack([getattr(sequence, name) for sequence in sequences]) for name in _ARRAYS}
    arrays["landmarks"] = np.stack([sequence.face.landmarks for sequence in sequences])
    arrays["valid"] = np.stack([sequence.face.valid for sequence in sequences])
    with atomic_path(target) as temporary:
        np.savez(temporary, **arrays)


def _write_provenance(output: Path, provenance: dict) -> None:
    """Raises InputError where the folder holds sequences that were made otherwise."""
    path, text = output / PROVENANCE, json.dumps(provenance, indent=1) + "\n"
    if path.exists():
        with output_errors(path):
            if path.read_bytes() == text.encode():
                return
        raise InputError(
            f"{output} holds sequences of another seed or other settings, or differs in whether pictures are kept; "
            "give another folder as --output"
        )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_sequences(
    sampler: RenderedSequenceSampler, output: Path, count: int, workers: int = 1, pictures: bool = False
) -> int:
    """Renders the shards of `count` sequences that are not there yet.

    Args:
        output: the folder for the shards.
        count: rounded up to whole shards.
        workers: processes; 1 works in this one. The result does not depend on it.
        pictures: keeps the pictures and the true points in them beside each shard, for `StoredPictures`.

    Returns:
        The frames in which no face was found.

    Raises:
        InputError: the folder holds sequences of another seed or other settings, or with pictures where these are
            without, or the other way round.
        OutputError: the folder cannot be written.
        CheckpointError: the kit is missing or damaged.
    """
    with output_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    # Without pictures nothing is said of them, as in folders that were made before they could be kept.
    _write_provenance(output, sampler.provenance | ({"pictures": True} if pictures else {}))
    paths = [output / f"sequences_{shard:05d}.npz" for shard in range(-(-count // PER_SHARD))]
    waiting = [
        shard
        for shard, path in enumerate(paths)
        if not (path.exists() and (pictures_path(path).exists() or not pictures))
    ]
    work = partial(_make_shard, sampler=sampler, output=output, pictures=pictures)
    bar = partial(tqdm, total=len(waiting), unit="shard", disable=None)
    if workers <= 1:
        return sum(bar(map(work, waiting)))
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        return sum(bar(pool.imap_unordered(work, waiting)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m au_d3dface.data.synthetic.rendered_sequences", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--ict-facekit", type=Path, required=True, help="ICT-FaceKit: its npz or folder")
    parser.add_argument("--output", type=Path, required=True, help="folder for sequences_*.npz")
    parser.add_argument("--count", type=int, default=900, help="sequences, rounded up to whole shards")
    parser.add_argument("--style", choices=sorted(STYLES), help="without it, all are drawn")
    parser.add_argument(
        "--pictures", action="store_true", help="keep the pictures, and the true points in them, in pictures_*.npz"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        if options.count < 1 or options.seed < 0:
            raise UsageError("--count must be at least 1, and --seed at least 0")
        load_head(options.ict_facekit)  # fails here, with its sentence, rather than in a worker
        settings = RenderSettings(style=options.style)
        sampler = RenderedSequenceSampler(options.ict_facekit, settings, options.seed)
        lost = render_sequences(sampler, options.output, options.count, options.workers, options.pictures)
    except AUD3DFaceError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(f"sequences in {options.output}; no face found in {lost} new frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
