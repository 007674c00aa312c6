"""Synthetic sequences as a Hugging Face dataset: `SyntheticFaces`, a builder of the `datasets` library.

A row is one person for a few seconds: what a landmark tracker says of the face in every frame, and the truth. People of
the test split are others than those of the training split. The same seed gives the same rows whatever the number of
processes, built or streamed. Most people want `au_d3dface.data.load_synthetic`.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import facs
from ...errors import CheckpointError, MissingDependencyError, UsageError
from ...face_models import find_ict_facekit
from ...tracking import NUM_FACE_LANDMARKS, NUM_LANDMARKS
from .displays import STYLES
from .filming import IDENTITIES, RenderSettings
from .pool import SequenceSource
from .rendered_sequences import RenderedSequenceSampler
from .sequences import HELD_OUT_SEED, SequenceSampler, SequenceSettings
from .tracker_response import ASSET, load_tracker_response
from .trajectories import labels

try:
    import datasets
except ImportError as error:
    raise MissingDependencyError(
        "synthetic sequences as a dataset need the library `datasets`: install it with pip install 'au-d3dface[train]'"
    ) from error

QUALITIES = ("fast", "rendered")
NUM_SHAPES = 57

_DESCRIPTION = """\
Synthetic people who show action units (AUs) of the Facial Action Coding System: nobody was filmed, and no human coder \
was asked. Each row is one person for a few seconds, with 478 landmarks a frame as MediaPipe answers to such a face \
(measured statistics of its answers in the quality "fast", the answers themselves to rendered pictures in "rendered"), \
occurrence and intensity of 19 AUs, left and right, and the true expression. True vertices are neutral_landmarks plus \
the expression weights times the geometry of ICT-FaceKit's shapes (au_d3dface.data.true_vertices)."""

_LICENSE = """\
Apache-2.0, as au-d3dface that makes it. Faces and their statistics are made from ICT-FaceKit (MIT License, Copyright \
(c) 2020 USC Institute for Creative Technologies); all people are synthetic."""


@dataclass
class SyntheticFacesConfig(datasets.BuilderConfig):
    """What is made.

    Attributes:
        quality: "fast", from statistics of the tracker; or "rendered", rendered and tracked, some 100 times as slow.
        style: of `displays.STYLES`: "conversation", "watching" or "posing"; None draws one a sequence.
        seconds, frame_rate: length of a sequence, frames a second.
        train_people, test_people: sequences of each split, one person each.
        seed: of everything; test people come from another.
        ict_facekit: path of ICT-FaceKit for "rendered"; None for where `face_models.find_ict_facekit` finds it.
    """

    quality: str = "fast"
    style: str | None = None
    seconds: float = 10.0
    frame_rate: float = 10.0
    train_people: int = 2000
    test_people: int = 200
    seed: int = 0
    ict_facekit: str | None = None

    @property
    def num_frames(self) -> int:
        """T."""
        return round(self.seconds * self.frame_rate)

    def check(self) -> None:
        """Raises UsageError where a value makes no sense."""
        if self.quality not in QUALITIES:
            raise UsageError(f"There is no quality {self.quality!r}; choose one of {', '.join(QUALITIES)}.")
        if self.style is not None and self.style not in STYLES:
            raise UsageError(f"There is no style {self.style!r}; choose one of {', '.join(STYLES)}.")
        frames = self.seconds * self.frame_rate
        if not (math.isfinite(frames) and self.frame_rate > 0 and round(frames) >= 2):
            raise UsageError("seconds and frame_rate must be positive and make two frames or more")
        for name in ("train_people", "test_people"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, not {self.seed}")


class SyntheticFaces(datasets.GeneratorBasedBuilder):
    """Labelled synthetic sequences.

        builder = SyntheticFaces(config_name="fast", style="conversation", train_people=500)
        builder.download_and_prepare(num_proc=2)
        rows = builder.as_dataset(split="train").with_format("numpy")

    Columns, T frames: `person` its number in the split; `landmarks` (T, 478, 3) float32 pixels, x right, y down, z away
    from the camera, NaN where the face was lost; `valid` (T,) bool; `timestamps` (T,) seconds; `au_labels` (T, 19) int8
    in {0, 1} of facs.ALL; `au_intensity` (T, 19, 2) float32 in 0-5, the subject's left and right;
    `expression_weights` (T, 57) float32 of ICT-FaceKit's shapes beyond those at rest; `identity` (100,) and
    `rest_weights` (57,) of the person, zero in the quality "fast", which draws people from statistics;
    `neutral_landmarks` (468, 3) metres in the head frame: what the tracker says of the person at rest.

    Raises:
        UsageError: a setting that makes no sense.
    """

    VERSION = datasets.Version("1.0.0", "raised whenever a seed gives other rows")
    BUILDER_CONFIG_CLASS = SyntheticFacesConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 (the library's own way)
        SyntheticFacesConfig(name="fast", version=VERSION, description="from statistics, without rendering"),
        SyntheticFacesConfig(
            name="rendered",
            version=VERSION,
            description="rendered and tracked; needs ICT-FaceKit",
            quality="rendered",
            train_people=900,
            test_people=100,
        ),
    ]
    DEFAULT_CONFIG_NAME = "fast"
    DEFAULT_WRITER_BATCH_SIZE = 16  # a row is half a megabyte

    def __init__(self, cache_dir: str | None = None, hash: str | None = None, **arguments: Any) -> None:
        arguments.setdefault("dataset_name", "synthetic_faces")
        super().__init__(cache_dir, hash=hash or _statistics_digest(), **arguments)
        self._process = os.getpid()

    def _info(self) -> datasets.DatasetInfo:
        self.config.check()
        frames, units = self.config.num_frames, len(facs.ALL)
        number = datasets.Value("float32")
        return datasets.DatasetInfo(
            description=_DESCRIPTION,
            license=_LICENSE,
            features=datasets.Features(
                {
                    "person": datasets.Value("int32"),
                    "landmarks": datasets.Array3D((frames, NUM_LANDMARKS, 3), "float32"),
                    "valid": datasets.List(datasets.Value("bool"), length=frames),
                    "timestamps": datasets.List(datasets.Value("float64"), length=frames),
                    "au_labels": datasets.Array2D((frames, units), "int8"),
                    "au_intensity": datasets.Array3D((frames, units, 2), "float32"),
                    "expression_weights": datasets.Array2D((frames, NUM_SHAPES), "float32"),
                    "identity": datasets.List(number, length=IDENTITIES),
                    "rest_weights": datasets.List(number, length=NUM_SHAPES),
                    "neutral_landmarks": datasets.Array2D((NUM_FACE_LANDMARKS, 3), "float32"),
                }
            ),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        config, kit = self.config, None
        if config.quality == "rendered":
            kit = find_ict_facekit(config.ict_facekit)
            if not kit.exists():
                raise CheckpointError(f"{kit} does not exist: give the folder of ICT-FaceKit's OBJ files, or its npz.")
        path, held_out = None if kit is None else str(kit), config.seed + HELD_OUT_SEED
        splits = (("train", config.train_people, config.seed), ("test", config.test_people, held_out))
        # A list is what the library shares out among processes and workers: every person may be made alone.
        return [
            datasets.SplitGenerator(name, {"people": list(range(count)), "seed": seed, "kit": path})
            for name, count, seed in splits
        ]

    def _generate_examples(self, people: list[int], seed: int, kit: str | None) -> Iterator[tuple[int, dict]]:
        if os.getpid() != self._process:
            torch.set_num_threads(1)  # torch's threads do not survive a fork
        config = self.config
        source = _source(config.quality, config.style, config.seconds, config.frame_rate, seed, kit)
        for person in people:
            sequence = source(person)
            present, _ = labels(sequence.intensity)
            yield (
                person,
                {
                    "person": person,
                    "landmarks": sequence.face.landmarks,
                    "valid": sequence.face.valid,
                    "timestamps": sequence.times,
                    "au_labels": present.astype(np.int8),
                    "au_intensity": sequence.intensity,
                    "expression_weights": sequence.weights,
                    "identity": sequence.identity,
                    "rest_weights": sequence.rest,
                    "neutral_landmarks": sequence.neutral,
                },
            )


@lru_cache(maxsize=2)
def _source(
    quality: str, style: str | None, seconds: float, frame_rate: float, seed: int, kit: str | None
) -> SequenceSource:
    """The sampler of a split, kept: streaming asks for it person by person."""
    if quality == "rendered":
        settings = RenderSettings(seconds=seconds, frame_rate=frame_rate, style=style)
        return RenderedSequenceSampler(Path(kit), settings, seed)
    settings = SequenceSettings(seconds=seconds, frame_rate=frame_rate, style=style)
    return SequenceSampler(load_tracker_response(), settings=settings, seed=seed)


def _statistics_digest() -> str:
    """Names the tracker's statistics in the cache, so that rows made from others are not taken for these."""
    return hashlib.sha256(files(__package__).joinpath(ASSET).read_bytes()).hexdigest()[:12]
