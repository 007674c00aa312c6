"""What the builders of BP4D and DISFA share: settings, splits by people, rows by frame or by clip.

Shards are sequences: whatever the number of processes or workers, each reads whole sequences, the rows and their order
are the same, and memory holds one sequence at a time. Most people want `au_d3dface.data.load_benchmark`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, UsageError
from .benchmark_files import Layout
from .benchmark_rows import (
    LabelledSequence,
    RowSettings,
    check_rows,
    clip_rows,
    frame_rows,
    missing_of,
    read_sequence,
    said_of_missing,
)
from .clips import positive_rates
from .folds import Fold, fold_of
from .joining import find_prepared
from .resumable_builder import ResumableBuilder, datasets


@dataclass
class BenchmarkConfig(datasets.BuilderConfig):
    """What rows there are.

    Attributes:
        tested: the part that is tested, "P1", "P2", "P3", a part of `folds`, or "all".
        folds: a file of parts of your own, see `folds.read_parts`; None for the published ones.
        frames: which frames count, see `benchmark_rows.COUNTED`: "labelled", "pictures" or "prepared".
        action_units: N numbers; None for those that papers score.
        clip_length: L frames a clip; None for one row a frame.
        clip_stride: grid entries from clip to clip; None for L.
        clip_rate: frames a second of clips, the model's.
        frame_rate: true frames a second of the data; None for what the files say, else the rate commonly reported.
        prepared: the folder that `au-d3dface prepare` wrote; None leaves coarse faces out.
        missing: "error", or "skip" to go on without sequences that are missing.
    """

    tested: str | None = None
    folds: str | None = None
    frames: str = "labelled"
    action_units: tuple[int, ...] | None = None
    clip_length: int | None = None
    clip_stride: int | None = None
    clip_rate: float = 10.0
    frame_rate: float | None = None
    prepared: str | None = None
    missing: str = "error"


class BenchmarkBuilder(ResumableBuilder, ABC):
    """Base of `BP4D` and `DISFA`.

    Columns of both kinds of rows: `sequence`, `subject`, `task` (empty for DISFA); `times_from`, where times come from:
    "prepared", "video", "reported" or "given"; `video`, path or None; `prepared`, path of the coefficients or None.

    One row a frame that counts: `frame`, its number; `timestamp` in seconds from frame 1; `picture`, path or None;
    `video_frame`, from 0, -1 without a video; `au_labels` (N,) int8, -1 unknown; `au_intensity` (N,) float32 in 0-5, -1
    unknown; `prepared_row`, -1 where there is none.

    One row a clip of L frames: `run`, `phase`, `phases` of `clips.Clip`; `frames` (L,), -1 where there is no frame;
    `timestamps` (L,), NaN there; `frame_mask` (L,) bool, frames that can be seen (with coefficients: whose face was
    reconstructed); `scored` (L,) bool, frames that count in scoring: over a split, each one once; `pictures` (L,),
    `video_frames` (L,), `au_labels` (L, N), `au_intensity` (L, N), `prepared_rows` (L,).

    Raises:
        UsageError: a setting that makes no sense.
        InputError: files are missing or damaged.
    """

    BUILDER_CONFIG_CLASS = BenchmarkConfig
    benchmark: str
    title: str
    default_units: tuple[int, ...]
    reported_rate: float
    tasks: tuple[str, ...]

    def __init__(self, cache_dir: str | None = None, data_dir: str | None = None, **arguments: Any) -> None:
        if data_dir is None:
            raise UsageError(f"{self.title} is read from your own copy: give its folder as data_dir")
        arguments.setdefault("dataset_name", self.benchmark)
        data_dir = _absolute(data_dir)
        for name in ("folds", "prepared"):
            if arguments.get(name) is not None:
                arguments[name] = _absolute(arguments[name])
        if arguments.get("action_units") is not None:
            arguments["action_units"] = tuple(arguments["action_units"])
        # Files that have changed are another data set in the cache: its key needs them before the base class starts.
        layout_arguments = {name: arguments[name] for name in ("camera", "first_picture") if name in arguments}
        self.layout = self.find(data_dir, **layout_arguments)
        prepared = arguments.get("prepared")
        self.prepared = (
            None
            if prepared is None
            else find_prepared(prepared, self.benchmark, layout_arguments.get("camera", "left"))
        )
        digest = hashlib.sha256(self.layout.digest().encode())
        for path in (self.prepared or {}).values():
            digest.update(f"{path}\0{path.stat().st_mtime_ns}\n".encode())
        if arguments.get("folds") is not None:
            fold_of(self.benchmark, "all", arguments["folds"])  # says what is wrong with the file before it is read
            digest.update(_bytes(arguments["folds"]))
        super().__init__(cache_dir, data_dir=data_dir, hash=digest.hexdigest()[:16], **arguments)

    @abstractmethod
    def find(self, data_dir: str, **arguments: Any) -> Layout:
        """The files of the benchmark in a folder."""

    @property
    def settings(self) -> RowSettings:
        """What rows are made of."""
        config = self.config
        return RowSettings(
            self.default_units if config.action_units is None else config.action_units,
            config.frames,
            config.clip_length,
            config.clip_stride,
            config.clip_rate,
            config.frame_rate,
            self.reported_rate,
            getattr(config, "present_from", 2),
        )

    @property
    def fold(self) -> Fold:
        """Who is trained on and who is tested."""
        return fold_of(self.benchmark, self.config.tested, self.config.folds)

    def sequences_of(self, subjects: tuple[str, ...]) -> list[str]:
        """The sequences of some people, in order.

        Raises:
            InputError: some are missing, and `missing` is not "skip".
        """
        missing = missing_of(self.layout, subjects, self.tasks, self.prepared, self.config.frames == "pictures")
        if missing and self.config.missing != "skip":
            said = said_of_missing(self.title, missing, len(subjects) * len(self.tasks))
            raise InputError(f"{said} (in {self.layout.root}); complete the copy, or give missing='skip'")
        chosen = set(subjects)
        names = [name for name, files in self.layout.sequences.items() if files.subject in chosen]
        return [name for name in names if name not in missing and self.layout.sequences[name].is_labelled]

    def splits(self) -> dict[str, list[str]]:
        """The sequences of the people trained on ("train", perhaps none) and tested ("test"), in order.

        Raises:
            InputError: sequences are missing, somebody is in no part, or nobody is tested.
        """
        fold = self.fold
        self.sequences_of(fold.train + fold.test)  # one sentence about all that is missing
        splits = {"train": self.sequences_of(fold.train), "test": self.sequences_of(fold.test)}
        if self.config.folds is not None and self.config.missing != "skip":
            known = {*fold.train, *fold.test}
            outside = {files.subject for files in self.layout.sequences.values()} - known
            if outside:
                raise InputError(
                    f"{self.config.folds} puts {', '.join(sorted(outside))} into no part, who is in "
                    f"{self.layout.root}; add everyone, or give missing='skip' to leave people out"
                )
        if not splits["test"]:
            raise InputError(f"{self.layout.root} has no sequence of the tested part {fold.tested!r}; choose another")
        return splits

    def labelled_sequences(self, names: Iterable[str]) -> Iterator[LabelledSequence]:
        """Whole sequences, read one by one: for who needs no rows. Nothing is kept in the cache.

        Raises:
            InputError: a file is missing or damaged, or was prepared from other frames.
        """
        for name in names:
            yield self._read(name)

    def positive_rates(self) -> list[float]:
        """The share of known labels of the training people, in frames that count, that are positive, by action unit.

        Raises:
            UsageError: nobody is trained on, or an action unit never occurs.
        """
        settings = self.settings
        if not self.fold.train:
            raise UsageError("nobody is trained on where everyone is tested: there are no rates; name a tested part")
        read = (self._read(name) for name in self.sequences_of(self.fold.train))
        return positive_rates((one.labels.au_labels[one.counted] for one in read), settings.action_units)

    def _read(self, name: str) -> LabelledSequence:
        files, prepared = self.layout.sequences[name], (self.prepared or {}).get(name)
        paths = [files.occurrence, *files.intensities.values(), files.pictures, files.video, prepared]
        arrays = self.read_or_kept(
            f"{name}, pictures from {files.first_picture}",
            [path for path in paths if path is not None],
            lambda: read_sequence(files, self.settings, prepared).to_arrays(),
        )
        return LabelledSequence.from_arrays(files, prepared, arrays)

    def _info(self) -> datasets.DatasetInfo:
        settings, config = self.settings, self.config
        check_rows(settings)
        if config.missing not in ("error", "skip"):
            raise UsageError(f"missing must be 'error' or 'skip', not {config.missing!r}")
        if config.frames == "prepared" and config.prepared is None:
            raise UsageError("frames='prepared' needs prepared=DIR, the folder that `au-d3dface prepare` wrote")
        _ = self.fold
        text, number = datasets.Value("string"), datasets.Value("int32")
        features: dict[str, Any] = {"sequence": text, "subject": text, "task": text, "times_from": text}
        units, length = len(settings.action_units), config.clip_length
        if length is None:
            features |= {
                "frame": number,
                "timestamp": datasets.Value("float64"),
                "picture": text,
                "video": text,
                "video_frame": number,
                "au_labels": datasets.List(datasets.Value("int8"), length=units),
                "au_intensity": datasets.List(datasets.Value("float32"), length=units),
                "prepared": text,
                "prepared_row": number,
            }
        else:
            flags = datasets.List(datasets.Value("bool"), length=length)
            numbers = datasets.List(number, length=length)
            features |= {
                **{"run": number, "phase": number, "phases": number, "frames": numbers},
                "timestamps": datasets.List(datasets.Value("float64"), length=length),
                "frame_mask": flags,
                "scored": flags,
                "pictures": datasets.List(text, length=length),
                "video": text,
                "video_frames": numbers,
                "au_labels": datasets.Array2D((length, units), "int8"),
                "au_intensity": datasets.Array2D((length, units), "float32"),
                "prepared": text,
                "prepared_rows": numbers,
            }
        return datasets.DatasetInfo(
            description=f"{self.title} as it lies in {self.layout.root}: {'; '.join(self.layout.variant)}. "
            f"AU {', '.join(map(str, settings.action_units))}; frames that count: {settings.frames}.",
            license=f"{self.title}'s own; rows hold labels and paths, no picture.",
            features=datasets.Features(features),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        # A list is what the library shares out among processes and workers.
        return [datasets.SplitGenerator(name, {"names": names}) for name, names in self.splits().items() if names]

    def _generate_examples(self, names: list[str]) -> Iterator[tuple[str, dict]]:
        for name in names:
            sequence = self._read(name)
            if self.config.clip_length is None:
                yield from frame_rows(sequence)
            else:
                yield from clip_rows(sequence, self.settings)


def _absolute(path: Any) -> str:
    return str(Path(path).expanduser().absolute())


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
