"""Pictures of what the meshes of synthetic people are wrong by, as `evaluate synthetic` measures it.

Vertices correspond, and each person's truth is laid on the estimated face at rest, once, with scale; the motion from
rest is shown too. `errors` draws what Table 1 measures instead: distances from the surface after ICP.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...data.synthetic.rendered_sequences import StoredSequences
from ...data.synthetic.sequences import TrackedSequence
from ...errors import InputError, UsageError
from ...export.files import atomic_path, output_errors
from ...face_models import FaceMesh
from ...metrics import displacement_distance, vertex_distance
from ...rendering import ColourScale, StripRow, compose_strip, draw_error_map, draw_face, error_maximum, fit_view
from ..synthetic_people.calibration import decode
from ..synthetic_people.evaluation import SyntheticEvaluation, folder_names, is_rendered, read_sequence

KINDS = {"whole": "whole face", "displacement": "motion from rest"}
"""The errors that can be shown, and what the picture calls them."""

_TRUTHS = {True: "the person's own surface of ICT-FaceKit", False: "the tracked face at rest, moved as in truth"}

COLUMNS, CELL = 6, 288
"""People in a picture, and pixels along a side of each map."""


@dataclass(frozen=True)
class ErrorMap:
    """One person in one frame.

    Attributes:
        name: of the person and the frame.
        true: (468, 3) metres, in the frame of the fit.
        meshes: by method, (468, 3) metres.
        errors: by kind of `KINDS` and by method, (468,) millimetres.
        on_kit: whether the truth is that of ICT-FaceKit.
    """

    name: str
    true: Tensor
    meshes: dict[str, Tensor]
    errors: dict[str, dict[str, Tensor]]
    on_kit: bool


def checked_kinds(text: str) -> tuple[str, ...]:
    """The kinds named in `"whole,displacement"`, each once.

    Raises:
        UsageError: none, or an unknown one.
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KINDS:
            raise UsageError(f"unknown error {name!r} for the figure; the errors are {', '.join(KINDS)}")
    if not names:
        raise UsageError(f"no error is named for the figure; the errors are {', '.join(KINDS)}")
    return tuple(name for name in KINDS if name in names)


def write_error_figure(
    path: str | PathLike[str],
    folders: Sequence[str | Path],
    evaluation: SyntheticEvaluation,
    kinds: Sequence[str] = tuple(KINDS),
    columns: int = COLUMNS,
) -> Path:
    """Writes `error_picture` of a few people, who are spread evenly over all sequences of the folders, as a png.

    Nobody chooses the people: they are the first in whom a face was found at or after each of `columns` even places.
    Of each the frame is shown in which the true face is farthest from rest.

    Raises:
        InputError: a folder cannot be read or is damaged, or no face was found in any sequence.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    maps = [
        error_map(sequence, name, evaluation, rendered)
        for name, sequence, rendered in _some_people([Path(folder) for folder in folders], columns)
    ]
    if not maps:
        raise InputError(f"no face was found in any sequence of {', '.join(map(str, folders))}; render others")
    picture = error_picture(maps, kinds)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return path


def error_map(sequence: TrackedSequence, name: str, evaluation: SyntheticEvaluation, rendered: bool = True) -> ErrorMap:
    """A person in the frame in which the true face is farthest from rest, of those that the network samples.

    The truth is that of ICT-FaceKit where the evaluation has it and the person is of it (`rendered`), else the
    tracker's view of the person at rest with the true motion; see `true_meshes`.
    """
    coarse = evaluation.fitting(sequence.face)
    decoded = decode(evaluation.model, coarse, sequence.times)
    on_kit = rendered and evaluation.kit is not None
    if on_kit:
        truth = evaluation.kit(sequence, decoded.neutral)
    else:
        truth = evaluation.tracked_rest(sequence, decoded.neutral, decoded.rest_correction)
    moved = truth.displacement[np.maximum(decoded.frames, 0)].norm(dim=-1).mean(-1)
    sample = int(np.where(decoded.valid, moved.numpy(), -1.0).argmax())
    frame = int(decoded.frames[sample])
    true = truth.rest + truth.displacement[frame]
    meshes = {"coarse": decoded.coarse[sample], "refined": decoded.vertices[sample]}
    if evaluation.static is not None:
        meshes["static"] = decode(evaluation.static, coarse, sequence.times).vertices[sample]
    errors = {
        "whole": {method: vertex_distance(mesh, true) for method, mesh in meshes.items()},
        "displacement": {
            method: displacement_distance(mesh, decoded.neutral, true, truth.rest) for method, mesh in meshes.items()
        },
    }
    return ErrorMap(f"{name}, {sequence.times[frame]:.1f} s", true, meshes, errors, on_kit)


def error_picture(maps: Sequence[ErrorMap], kinds: Sequence[str], cell: int = CELL) -> np.ndarray:
    """The true meshes, and below them those of each method coloured by their errors, all on one scale.

    The title says that the faces are synthetic, and what is taken for true.

    Args:
        maps: at least one, all of the same methods; a column each.
        kinds: at least one of `KINDS`; a row for each method, with the mean over the vertices under every map.
        cell: pixels along a side of each map.

    Returns:
        (H, W, 3) uint8.
    """
    faces = FaceMesh().faces
    maximum = error_maximum([error for item in maps for kind in kinds for error in item.errors[kind].values()])
    views = [fit_view(torch.stack([item.true, *item.meshes.values()]), cell, cell) for item in maps]
    truth = [draw_face(item.true, faces, cell, cell, view=view) for item, view in zip(maps, views, strict=True)]
    rows = [StripRow("truth", truth)]
    for kind in kinds:
        for method in maps[0].meshes:
            pictures = [
                draw_error_map(item.meshes[method], faces, item.errors[kind][method], maximum, cell, cell, view)
                for item, view in zip(maps, views, strict=True)
            ]
            means = [f"mean {item.errors[kind][method].mean():.2f} mm" for item in maps]
            rows.append(StripRow(f"{method}, {KINDS[kind]}", pictures, means, ColourScale(maximum)))
    known = {item.on_kit for item in maps}
    truth_is = " or ".join(name for on_kit, name in _TRUTHS.items() if on_kit in known)
    title = f"Synthetic faces: distance of each vertex from the truth ({truth_is})"
    return compose_strip(rows, [item.name for item in maps], title=title, cell=(cell, cell))


def _some_people(folders: list[Path], count: int) -> Iterator[tuple[str, TrackedSequence, bool]]:
    """Name, sequence and whether it was rendered, of people spread evenly over all sequences."""
    people = [
        (f"{name} {index}", source, index)
        for source, name in zip(map(StoredSequences, folders), folder_names(folders), strict=True)
        for index in range(len(source))
    ]
    next_one = 0
    for place in np.linspace(0, len(people), count, endpoint=False).astype(int):
        next_one = max(next_one, int(place))
        while next_one < len(people):
            name, source, index = people[next_one]
            next_one += 1
            sequence = read_sequence(source, index)
            if sequence.face.valid.any():
                yield name, sequence, is_rendered(source)
                break
