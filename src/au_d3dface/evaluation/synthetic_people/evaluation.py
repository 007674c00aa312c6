"""Scores on held-out synthetic people, rendered and tracked, whose action units and meshes are known.

A folder of sequences as `data.synthetic.rendered_sequences` writes it is decoded as in use: the tracker's landmarks,
the neutral face from the whole clip, the network at its own rate and thresholds. Beside it, as far as asked for: the
same with a network without the temporal module, the distance to ICT-FaceKit's surface, and the action units again with
every other way of learning what the person looks like at rest (`calibration.WAYS`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import facs
from ...coarse import LandmarkFitting
from ...data.synthetic.rendered_sequences import PER_SHARD, StoredSequences
from ...data.synthetic.sequences import TrackedSequence
from ...data.synthetic.trajectories import PRESENCE_THRESHOLD
from ...errors import InputError, UsageError
from ...face_models import FaceMesh, ICTFaceKit
from ...modeling_au_d3dface import AUD3DFaceForReconstruction
from ...pipeline_au_d3dface import Progress
from ...tracking import TrackedFace
from .au_scores import AURows
from .calibration import BLINK, WAYS, HardCase, calibrated_rows, decode, true_intensities
from .mesh_scores import MeshScores, longest_stretch, mesh_scores
from .report import ALL_FOLDERS, FolderScores, SyntheticReport
from .true_meshes import KitTruth, TrackedRestTruth

MIN_STRETCH = 2.0
"""Seconds. A person who never relaxes is a piece of a sequence at least as long, through which one action unit (no
blink) is present; one who never moves, a piece in which none is but blinks. The piece is cut out, so that nothing else
is known of the person, and is the longest of its sequence."""


@dataclass(frozen=True)
class SequenceScores:
    """What is kept of one sequence.

    Attributes:
        rows: of the network, by way of `WAYS`; "clip" is always there. static: of the one without temporal module.
        meshes: of the network.
        never_relaxes, never_moves: of pieces cut out, by way; empty where there is no such piece.
    """

    rows: dict[str, AURows]
    static: AURows | None
    meshes: MeshScores
    never_relaxes: dict[str, HardCase]
    never_moves: dict[str, HardCase]


class SyntheticEvaluation:
    """Measures sequences one by one.

    Args:
        model: the network, in evaluation mode.
        static: one without temporal module that reads the same, or None.
        kit: ICT-FaceKit's face, or None.
        calibration: whether to measure the other ways of calibration.
        surface_every: the distance to the surface is measured at every so-manieth sample.

    Raises:
        UsageError: a network that reads video or another face model, or action units that sequences do not have; a
            static one that is not static or reads other action units at another rate; `surface_every` below 1.
        CheckpointError: a kit with other shapes.
    """

    def __init__(
        self,
        model: AUD3DFaceForReconstruction,
        static: AUD3DFaceForReconstruction | None = None,
        kit: ICTFaceKit | None = None,
        calibration: bool = True,
        surface_every: int = 10,
    ) -> None:
        for network in (model, static):
            if network is not None:
                _check_network(network)
        if static is not None:
            if static.config.use_temporal:
                raise UsageError("the static model has the temporal module; give one trained with use_temporal=False")
            for name in ("action_units", "frame_rate"):
                if getattr(static.config, name) != getattr(model.config, name):
                    raise UsageError(
                        f"the static model differs from the full one in {name}; give one that has the same"
                    )
        if surface_every < 1:
            raise UsageError(
                f"the distance to the surface is measured every so many samples, not every {surface_every}"
            )
        self.model, self.static, self.calibration, self.surface_every = model, static, calibration, surface_every
        self.fitting = LandmarkFitting(FaceMesh())
        self.tracked_rest, self.kit = TrackedRestTruth(), None if kit is None else KitTruth(kit)

    def __call__(self, sequence: TrackedSequence, rendered: bool = True) -> SequenceScores:
        """The scores of one sequence in which the face is seen in one frame at least.

        Args:
            rendered: whether the person is one of the kit; else nothing is measured against the kit.
        """
        model = self.model
        coarse = self.fitting(sequence.face)
        decoded = decode(model, coarse, sequence.times)
        truth = true_intensities(sequence, model.config.action_units)
        rows = {"clip": decoded.rows(truth)}
        static = None if self.static is None else decode(self.static, coarse, sequence.times).rows(truth)
        kit = self.kit if rendered else None
        meshes = mesh_scores(sequence, decoded, self.tracked_rest, kit, self.surface_every)
        relaxes: dict[str, HardCase] = {}
        moves: dict[str, HardCase] = {}
        if self.calibration:
            rows = calibrated_rows(model, self.fitting, sequence)
            units = model.config.action_units
            held = held_piece(sequence, units)
            if held is not None:
                unit, piece = held
                for way, said in calibrated_rows(model, self.fitting, cut(sequence, piece)).items():
                    relaxes[way] = HardCase.of(said, units, held=unit)
            calm = calm_piece(sequence)
            if calm is not None:
                for way, said in calibrated_rows(model, self.fitting, cut(sequence, calm)).items():
                    moves[way] = HardCase.of(said, units)
        return SequenceScores(rows, static, meshes, relaxes, moves)


def evaluate_synthetic(
    folders: Sequence[str | Path], evaluation: SyntheticEvaluation, progress: Progress | None = None
) -> SyntheticReport:
    """Measures every sequence of every folder; each folder is scored by itself, and all together where they are many.

    Args:
        folders: as `data.synthetic.rendered_sequences` writes them, of one style each or of all.
        progress: called as work proceeds.

    Raises:
        InputError: a folder cannot be read or is damaged, or no face was found in any of its sequences.
        UsageError: no folder, or one twice.
    """
    if not folders:
        raise UsageError("there is nothing to measure: give a folder of rendered sequences")
    paths = [Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a folder is named twice; name each once")
    stored = [StoredSequences(path) for path in paths]
    total, done = sum(map(len, stored)), 0
    groups: dict[str, list[SequenceScores]] = {}
    left_out: dict[str, int] = {}
    notes = []
    for source, name in zip(stored, folder_names(paths), strict=True):
        rendered = is_rendered(source)
        if evaluation.kit is not None and not rendered:
            notes.append(f"{source.folder} was not rendered, so its people are not compared with ICT-FaceKit")
        groups[name], left_out[name] = [], 0
        for index in range(len(source)):
            sequence = read_sequence(source, index)
            if sequence.face.valid.any():
                groups[name].append(evaluation(sequence, rendered))
            else:
                left_out[name] += 1
            done += 1
            if progress is not None:
                progress("measuring", done, total)
        if not groups[name]:
            raise InputError(f"no face was found in any sequence of {source.folder}; render others")
    if evaluation.kit is None:
        notes.append("distances to ICT-FaceKit's surface and points are left out; they need --ict-facekit")
    if lost := sum(left_out.values()):
        notes.append(f"left out: {lost} sequences in which no face was found")
    styles = {name: _style(source) for source, name in zip(stored, groups, strict=True)}
    scores = {name: _pooled(parts, evaluation, left_out[name]) for name, parts in groups.items()}
    if len(groups) > 1:
        everything = [part for parts in groups.values() for part in parts]
        scores[ALL_FOLDERS] = _pooled(everything, evaluation, sum(left_out.values()))
    return SyntheticReport(scores, styles, evaluation.surface_every, MIN_STRETCH, notes)


def read_sequence(stored: StoredSequences, index: int) -> TrackedSequence:
    """A stored sequence, checked.

    Raises:
        InputError: the shard is damaged, or holds something else.
    """
    path = stored.paths[index // PER_SHARD]
    try:
        sequence = stored(index)
        face, frames = sequence.face, len(sequence.times)
        shapes = {
            "times": (frames,),
            "intensity": (frames, len(facs.ALL), 2),
            "weights": (frames, 57),
            "neutral": (468, 3),
            "rest": (57,),
            "identity": (len(sequence.identity),),
        }
        arrays = {name: getattr(sequence, name) for name in shapes} | {"landmarks": face.landmarks[face.valid]}
        wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
        wrong += ["landmarks"] if face.landmarks.shape != (frames, 478, 3) else []
        wrong += ["valid"] if face.valid.shape != (frames,) or face.valid.dtype != bool else []
        usable = all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays.values())
        usable = usable and frames > 0 and sequence.times[0] >= 0 and bool((np.diff(sequence.times) > 0).all())
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a shard of sequences ({error}); delete it and render it again") from error
    if wrong or not usable:
        what = f"its {wrong[0]!r} has another shape or type" if wrong else "its numbers are not usable"
        raise InputError(f"{path} is not a shard of sequences ({what}); delete it and render it again")
    single = {name: array.astype(np.float32) for name, array in arrays.items() if name not in ("times", "landmarks")}
    return replace(sequence, face=replace(face, landmarks=face.landmarks.astype(np.float32)), **single)


def held_piece(sequence: TrackedSequence, action_units: Sequence[int]) -> tuple[int, slice] | None:
    """The action unit that is present without a break for longest, and when; None below MIN_STRETCH."""
    units = [unit for unit in action_units if unit != BLINK]
    present = true_intensities(sequence, tuple(units)) >= PRESENCE_THRESHOLD
    pieces = [longest_stretch(column & sequence.face.valid) for column in present.T]
    longest = max(range(len(units)), key=lambda k: pieces[k].stop - pieces[k].start, default=None)
    if longest is None or _seconds(sequence, pieces[longest]) < MIN_STRETCH:
        return None
    return units[longest], pieces[longest]


def calm_piece(sequence: TrackedSequence) -> slice | None:
    """The longest time without any action unit but blinks; None below MIN_STRETCH."""
    present = true_intensities(sequence, tuple(u for u in facs.ALL if u != BLINK)) >= PRESENCE_THRESHOLD
    piece = longest_stretch(~present.any(1) & sequence.face.valid)
    return None if _seconds(sequence, piece) < MIN_STRETCH else piece


def cut(sequence: TrackedSequence, piece: slice) -> TrackedSequence:
    """A piece of a sequence as one of its own, which begins at 0 seconds."""
    face = sequence.face
    return replace(
        sequence,
        face=TrackedFace(face.face_id, face.landmarks[piece], face.valid[piece]),
        times=sequence.times[piece] - sequence.times[piece.start],
        intensity=sequence.intensity[piece],
        weights=sequence.weights[piece],
    )


def _seconds(sequence: TrackedSequence, piece: slice) -> float:
    """How long a piece lasts, its last frame with it."""
    count = piece.stop - piece.start
    if count < 2:
        return 0.0
    return float(sequence.times[piece.stop - 1] - sequence.times[piece.start]) * count / (count - 1)


def _pooled(parts: list[SequenceScores], evaluation: SyntheticEvaluation, left_out: int) -> FolderScores:
    def cases(name: str) -> dict[str, HardCase]:
        found = [getattr(part, name) for part in parts if getattr(part, name)]
        return {way: HardCase.over([case[way] for case in found]) for way in WAYS} if found else {}

    static = [part.static for part in parts if part.static is not None]
    return FolderScores.of(
        sequences=len(parts),
        left_out=left_out,
        action_units=evaluation.model.config.action_units,
        rows={way: AURows.cat(part.rows[way] for part in parts) for way in WAYS if way in parts[0].rows},
        static=AURows.cat(static) if static else None,
        meshes=MeshScores.over([part.meshes for part in parts]),
        never_relaxes=cases("never_relaxes"),
        never_moves=cases("never_moves"),
    )


def folder_names(paths: list[Path]) -> list[str]:
    """The folders' own names where those differ, else whole paths."""
    names = [path.resolve().name for path in paths]
    return names if len({*names, ALL_FOLDERS}) > len(names) else [str(path) for path in paths]


def is_rendered(source: StoredSequences) -> bool:
    """Whether the people of a folder are of ICT-FaceKit, rendered and tracked."""
    return isinstance(source.provenance, dict) and source.provenance.get("quality") == "rendered"


def _style(source: StoredSequences) -> str | None:
    """The style of `displays.STYLES` that the folder's settings fix; None where they fix none."""
    settings = source.provenance.get("settings") if isinstance(source.provenance, dict) else None
    style = settings.get("style") if isinstance(settings, dict) else None
    return style if isinstance(style, str) else None


def _check_network(model: AUD3DFaceForReconstruction) -> None:
    config = model.config
    if config.use_video:
        raise UsageError("stored sequences hold no pictures; give a checkpoint of the mesh branch alone")
    if (config.face_model, config.num_vertices) != (FaceMesh.name, 468):
        raise UsageError(f"sequences are measured on the face model 'facemesh', not {config.face_model!r}")
    if unknown := [unit for unit in config.action_units if unit not in facs.ALL]:
        raise UsageError(f"the sequences know nothing of {facs.label(unknown[0])}, which this checkpoint reads")
