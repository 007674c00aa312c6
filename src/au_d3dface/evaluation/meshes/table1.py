"""Table 1 from what the user names: the sequences, the rows, and the table of them.

    table = table1("Multiface", truths, methods, Measuring(), output, processes=2)

Sequences and rows are gathered here, so that everything that is wrong with them is said before the long work.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...checkpoints import load_checkpoint
from ...data.multiface.selection import select_clips
from ...data.synthetic.rendered_sequences import StoredSequences
from ...errors import CheckpointError, InputError, UsageError
from ...face_models import FaceMesh, find_ict_facekit
from ...modeling_au_d3dface import AUD3DFaceForReconstruction
from ...preparation import PREPARATION
from ..synthetic_people.evaluation import is_rendered, read_sequence
from .aligning import Measuring
from .folders import find_sequence, first_sequence, sequence_paths
from .frame_meshes import mesh_frames
from .measuring import Report, plan, run
from .methods import CheckpointUse, FolderMethod, Method, PreparedMethod, TrackedMethod
from .report import PAPER_VIDEOS, Table1, pooled
from .truths import FolderTruth, MultifaceTruth, PersonTruth, Truth, kit_truth

BUNDLED = "bundled"
"""What stands for the checkpoint in the package."""

_PER_FRAME = ("deca", "emoca")
"""Reconstructors that give each frame an identity of its own, which the paper's rows of them have."""
_TITLES = {"deca": "DECA", "emoca": "EMOCA"}


@dataclass(frozen=True)
class Loaded:
    """A checkpoint as it is used, and what it reads: a face model of so many vertices, and perhaps video."""

    use: CheckpointUse
    face_model: str
    num_vertices: int
    reads_video: bool


def table1(
    title: str,
    truths: Sequence[Truth],
    methods: Sequence[Method],
    measuring: Measuring,
    output: Path,
    processes: int = 1,
    paper: bool = False,
    notes: Sequence[str] = (),
    report: Report = lambda done, total: None,
) -> Table1:
    """Measures what is not measured yet below `output`, and pools it.

    Raises:
        UsageError: no method, or two of one name.
        InputError: what is wrong with the data.
    """
    names = [method.name for method in methods]
    if not names:
        raise UsageError("there is nothing to measure: give --prepared, or --meshes NAME=DIR")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two rows are called {twice[0]!r}; give them different names")
    jobs = plan(truths, methods, measuring, output)
    before = run(jobs, processes, report)
    notes = [*notes, *([f"{before} of {len(jobs)} results were there already"] if before else [])]
    return pooled(title, jobs, measuring, paper, notes)


def multiface_truths(
    data_dir: str,
    subjects: Sequence[str] | None = None,
    expressions: Sequence[str] | None = None,
    cameras: Sequence[str] | None = None,
    every: int = 1,
    neutral: str | None = None,
    skip_missing: bool = False,
    ignore_distortion: bool = False,
) -> tuple[list[MultifaceTruth], list[str]]:
    """The sequences of a copy of Multiface, and notes on them. Arguments are `MultifaceConfig`'s.

    Raises:
        UsageError: a subject or expression that is not there. InputError: no copy, or files that are missing.
    """
    if every < 1:
        raise UsageError(f"--every must be at least 1, not {every}")
    clips, missing = select_clips(data_dir, subjects, expressions, cameras, every, neutral, ignore_distortion)
    told = "; ".join(missing[:3]) + (f"; and {len(missing) - 3} more such" if len(missing) > 3 else "")
    if missing and not skip_missing:
        raise InputError(f"{data_dir} lacks files: {told}; fetch them, or give --missing skip")
    if not clips:
        raise InputError(f"no frame of Multiface in {data_dir} has all its files; nothing can be measured")
    notes = [f"left out: {told}"] if missing else []
    people, shown = {clip.subject for clip in clips}, {clip.expression for clip in clips}
    if (len(people), len(shown), len(clips)) != (3, 10, PAPER_VIDEOS):
        notes.append(
            f"these are {len(clips)} sequences, {len(shown)} expressions of {len(people)} subjects; the paper's are "
            "30, 10 expressions of 3 subjects, which it does not name"
        )
    else:
        notes.append("the paper does not name its 30 sequences, so these may be others")
    return [MultifaceTruth(clip) for clip in clips], notes


def folder_truths(folder: Path, every: int = 1) -> list[FolderTruth]:
    """The sequences of a folder of true meshes. Raises InputError where it holds none."""
    if every < 1:
        raise UsageError(f"--every must be at least 1, not {every}")
    return [FolderTruth.of(name, path, every) for name, path in sequence_paths(folder).items()]


def person_truths(folders: Sequence[Path], kit: str | None, every: int = 1) -> tuple[list[PersonTruth], list[str]]:
    """The synthetic people of folders of rendered sequences, and notes on them.

    Raises:
        UsageError: no folder, or one twice. InputError: a folder holds no rendered people. CheckpointError: no kit.
    """
    if every < 1:
        raise UsageError(f"--every must be at least 1, not {every}")
    if not folders or len({folder.resolve().name for folder in folders}) < len(folders):
        raise UsageError("give folders of rendered sequences, each once and each of a name of its own")
    path = find_ict_facekit(None if kit is None else Path(kit).expanduser())
    kit_truth(path)
    truths, lost = [], 0
    for folder in folders:
        stored = StoredSequences(folder)
        if not is_rendered(stored):
            raise InputError(
                f"the people of {folder} were not rendered from ICT-FaceKit, so no surface of theirs is known"
            )
        for index in range(len(stored)):
            valid = read_sequence(stored, index).face.valid
            if not valid.any():
                lost += 1
                continue
            frames = tuple(range(0, len(valid), every))
            truths.append(PersonTruth(folder.resolve(), index, path, frames))
    if not truths:
        raise InputError(f"no face was found in any sequence of {', '.join(map(str, folders))}; render others")
    return truths, [f"left out: {lost} synthetic people in whom no face was found"] if lost else []


def load_uses(checkpoints: Mapping[str, str], device: str | None) -> list[Loaded]:
    """Loads each checkpoint once to see what it reads.

    Args:
        checkpoints: name in the table to a folder, a Hub id or BUNDLED.

    Raises:
        CheckpointError: one is missing, damaged or of another type. UsageError: no such device.
    """
    found = []
    for name, given in checkpoints.items():
        source = None if given == BUNDLED else given
        network = load_checkpoint(source, device)
        use = CheckpointUse(name, source, _digest(network), device)
        config = network.config
        found.append(Loaded(use, config.face_model, config.num_vertices, config.use_video))
    return found


def prepared_methods(
    folders: Sequence[Path],
    checkpoints: Sequence[Loaded],
    model_paths: Mapping[str, str | None],
    regions: Mapping[str, Path],
) -> list[PreparedMethod]:
    """A row for each prepared folder, and one for each checkpoint that reads its face model.

    Args:
        model_paths: the user's files by face model.
        regions: files of regions by face model.

    Raises:
        InputError: a folder is not the output of `prepare`. CheckpointError: a checkpoint reads none of them.
    """
    methods: list[PreparedMethod] = []
    used = set()
    settings = [_preparation(folder) for folder in folders]
    coarse_names = [one["coarse"] for one in settings]
    for folder, one in zip(folders, settings, strict=True):
        coarse, model = one["coarse"], one["face_model"]
        title = _TITLES.get(coarse, coarse) + (f" ({model})" if coarse_names.count(coarse) > 1 else "")
        plain = PreparedMethod(title, folder, model, model_paths.get(model), regions=regions.get(model))
        if coarse in _PER_FRAME:
            methods.append(replace(plain, per_frame=True))
            plain = replace(plain, name=f"{title}, one identity a person")
        methods.append(plain)
        for loaded in checkpoints:
            if loaded.face_model == model:
                used.add(loaded.use.name)
                methods.append(replace(plain, name=f"{title} + {loaded.use.name}", checkpoint=loaded.use))
    for loaded in checkpoints:
        if loaded.use.name not in used:
            there = ", ".join(repr(one["face_model"]) for one in settings) or "none"
            raise CheckpointError(
                f"the checkpoint {loaded.use.name} reads the face model {loaded.face_model!r}, but what was prepared "
                f"is of {there}; prepare the data set with --face-model {loaded.face_model}, or --coarse deca for flame"
            )
    return methods


def folder_methods(
    meshes: Mapping[str, Path], truths: Sequence[Truth], regions: Mapping[str, Path]
) -> list[FolderMethod]:
    """A row for each folder of another program's meshes. Raises InputError where it lacks a sequence."""
    found = []
    for name, folder in meshes.items():
        for truth in truths:
            mesh_frames(find_sequence(folder, truth.names))
        found.append(FolderMethod(name, folder, first_sequence(folder), regions.get(name)))
    return found


def tracked_methods(checkpoints: Sequence[Loaded], regions: Mapping[str, Path]) -> list[TrackedMethod]:
    """The landmark fit of synthetic people, and a row for each checkpoint.

    Raises:
        UsageError: a checkpoint that reads video or another face model.
    """
    own = regions.get(FaceMesh.name)
    for loaded in checkpoints:
        if loaded.reads_video:
            raise UsageError(f"stored sequences hold no pictures, which the checkpoint {loaded.use.name} reads")
        if loaded.face_model != FaceMesh.name:
            raise UsageError(
                f"synthetic people are fitted with 'facemesh', but the checkpoint {loaded.use.name} reads "
                f"{loaded.face_model!r}"
            )
    refined = [TrackedMethod(f"landmarks + {one.use.name}", one.use, own) for one in checkpoints]
    return [TrackedMethod("landmarks", None, own), *refined]


def _preparation(folder: Path) -> dict[str, str]:
    path = folder / PREPARATION
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(settings[name]) for name in ("coarse", "face_model")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} is not what `au-d3dface prepare` wrote: {path.name} is missing or damaged; give its --output"
        ) from error


def _digest(network: AUD3DFaceForReconstruction) -> str:
    digest = hashlib.sha256()
    for config in (network.config, network.generation_config):
        digest.update(json.dumps(config.to_dict(), sort_keys=True, default=str).encode())
    for name, values in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values.detach().cpu().float().numpy()).tobytes())
    return digest.hexdigest()
