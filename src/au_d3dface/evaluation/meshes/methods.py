"""The methods of Table 1: what each says of a sequence, as meshes by frame number.

A coarse reconstructor, as `au-d3dface prepare` has run it; the same refined by a checkpoint; any folder of meshes; and,
for synthetic people, the landmark fit of their tracked faces. Each is small and can be sent to another process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...checkpoints import give_face_model, load_checkpoint
from ...coarse import CoarseSequence, LandmarkFitting
from ...data.benchmark_crops import face_corners
from ...data.benchmark_files import picture_number
from ...data.multiface.files import frame_times
from ...data.prepared import PreparedVideo, fitted_face_model, read_prepared
from ...data.sources import source_of
from ...errors import InputError, UsageError
from ...face_models import FaceMesh, FaceModel, load_face_model
from ...modeling_au_d3dface import AUD3DFaceForReconstruction
from ...video import spread_samples
from ...video.pictures import read_picture
from ...video_processing_au_d3dface import crop_face, normalise_crops
from ..synthetic_people.calibration import decode
from .face_parts import FacePart, check_regions, part_of_model, part_of_sequence, read_regions
from .folders import find_sequence
from .frame_meshes import mesh_files, read_mesh_folder
from .truths import MultifaceTruth, PersonTruth, Truth


@dataclass(frozen=True)
class MethodMeshes:
    """One sequence.

    Attributes:
        frames: (T,) int64 numbers, increasing, of the frames that have a mesh.
        unseen: the frames that were looked at and show no face to the method.
        vertices: (T, V, 3) float32 metres. neutral: (V, 3) the face at rest, or None.
        faces: (F, 3); F may be 0. unit: what files of meshes are in.
    """

    frames: np.ndarray
    unseen: frozenset[int]
    vertices: np.ndarray
    neutral: np.ndarray | None
    faces: np.ndarray
    unit: str = "m"

    def at(self, frames: Sequence[int]) -> "MethodMeshes":
        """The meshes of these frames alone, as far as there are any."""
        rows = np.isin(self.frames, frames)
        return replace(self, frames=self.frames[rows], vertices=self.vertices[rows])


class Method(Protocol):
    """One row of the table."""

    @property
    def name(self) -> str: ...
    @property
    def regions(self) -> Path | None:
        """The user's file of regions of its topology."""
        ...

    def files(self, truth: Truth) -> list[Path]:
        """What is read for a sequence, so that results can be tied to it. Raises InputError where it is missing."""
        ...

    def settings(self) -> dict[str, Any]:
        """What else results depend on, for JSON."""
        ...

    def meshes(self, truth: Truth) -> MethodMeshes:
        """Raises InputError where a file is missing, damaged, or made from other frames."""
        ...

    def part(self, meshes: MethodMeshes, of_face: bool) -> FacePart:
        """The face of these meshes; `of_face` says that one is looked for where nothing else tells it.

        Raises:
            InputError: none is found, or regions do not fit.
        """
        ...


@dataclass(frozen=True)
class CheckpointUse:
    """A checkpoint that refines coarse meshes.

    Attributes:
        name: in the table. source: a folder or Hub id, None for the bundled one. digest: of its weights and settings.
    """

    name: str
    source: str | None
    digest: str
    device: str | None = None


@dataclass(frozen=True)
class PreparedMethod:
    """Coarse meshes of Multiface that were prepared, as they are or refined.

    Attributes:
        folder: the output of `prepare`. face_model, model_path: that they were prepared on.
        checkpoint: None for the coarse meshes.
        per_frame: with the identity that the reconstructor gives to each frame alone, as the paper's rows of DECA and
            EMOCA are, rather than one for the person.
        regions: a file of regions of its topology, or None for the face model's own.
    """

    name: str
    folder: Path
    face_model: str
    model_path: str | None
    checkpoint: CheckpointUse | None = None
    per_frame: bool = False
    regions: Path | None = None

    def files(self, truth: Truth) -> list[Path]:
        return [self._file(truth)]

    def settings(self) -> dict[str, Any]:
        return {
            "checkpoint": None if self.checkpoint is None else self.checkpoint.digest,
            "per_frame": self.per_frame,
        }

    def meshes(self, truth: Truth) -> MethodMeshes:
        assert isinstance(truth, MultifaceTruth)
        path = self._file(truth)
        model = _face_model(self.face_model, self.model_path)
        video = _prepared(path, self.face_model, self.model_path, path.stat().st_mtime_ns)
        numbers, pictures = _picture_frames(path, video, truth)
        empty = np.zeros((0, model.num_vertices, 3), np.float32)
        faces = model.faces.cpu().numpy()
        if not video.faces:
            return MethodMeshes(np.zeros(0, np.int64), frozenset(numbers), empty, None, faces)
        coarse = next(iter(video.faces.values()))
        valid = coarse.valid.cpu().numpy()
        if self.checkpoint is not None and valid.any():
            network = _network(self.checkpoint, self.face_model, self.model_path)
            fitted = fitted_face_model(model, str(video.settings["coarse"]))
            times = np.array(frame_times(numbers)[1])
            vertices = refined_vertices(network, coarse, times, pictures, fitted)
        elif self.per_frame:
            vertices = _per_frame_identity(coarse, model)
        else:
            vertices = coarse.vertices.cpu().numpy()
        frames = np.array(numbers, np.int64)
        return MethodMeshes(
            frames[valid],
            frozenset(frames[~valid].tolist()),
            vertices[valid],
            coarse.neutral_vertices.cpu().numpy(),
            faces,
        )

    def part(self, meshes: MethodMeshes, of_face: bool) -> FacePart:
        return part_with_regions(part_of_named_model(self.face_model, self.model_path), self.regions, meshes, self.name)

    def _file(self, truth: Truth) -> Path:
        assert isinstance(truth, MultifaceTruth)
        clip = truth.clip
        wanted = (clip.expression, f"{clip.camera.name}.npz")
        found = [path for path in self.folder.rglob(wanted[1]) if path.parts[-2:] == wanted]
        below = [path for path in found if clip.folder.name in path.parts]
        # A copy that is one subject's folder is prepared without the subject's name.
        found = below or [path for path in found if not any(part.startswith("m--") for part in path.parts)]
        if len(found) != 1:
            many = "several files" if found else "no file"
            raise InputError(
                f"{self.folder} holds {many} of {clip.folder.name}, {clip.expression}, camera {clip.camera.name}; "
                "prepare the copy of Multiface into a folder of its own: au-d3dface prepare MULTIFACE --output DIR"
            )
        return found[0]


@dataclass(frozen=True)
class FolderMethod:
    """Meshes that another program made; see `folders`.

    Attributes:
        reference: the sequence on which the face is found, so that it is of the same vertices in all.
        regions: a file of regions of its topology, or None to find the face by its shape.
        alone: whether `folder` is itself the one sequence there is, whatever its name.
    """

    name: str
    folder: Path
    reference: Path
    regions: Path | None = None
    alone: bool = False

    def files(self, truth: Truth) -> list[Path]:
        return [*mesh_files(self.path(truth)), self.reference]

    def path(self, truth: Truth) -> Path:
        """Of the sequence. Raises InputError where there is none of its name."""
        return self.folder if self.alone else find_sequence(self.folder, truth.names)

    def settings(self) -> dict[str, Any]:
        return {}

    def meshes(self, truth: Truth) -> MethodMeshes:
        found = read_mesh_folder(self.path(truth), frames=truth.frames, whole=False)
        return MethodMeshes(found.frames, frozenset(), found.vertices, found.neutral, found.faces, found.unit)

    def part(self, meshes: MethodMeshes, of_face: bool) -> FacePart:
        if self.regions is not None or not of_face:
            return part_with_regions(FacePart(), self.regions, meshes, self.name)
        reference, part = part_of_sequence(self.reference, f"the meshes of {self.name}")
        first = meshes.vertices[0]
        if len(first) != len(reference):
            raise InputError(
                f"{self.name}: meshes here have {len(first)} vertices, and those of {self.reference} {len(reference)}; "
                "give meshes of one topology"
            )
        # Where this sequence begins: the face at rest may lie elsewhere than the moving ones.
        return part.beside(reference, first)


@dataclass(frozen=True)
class TrackedMethod:
    """The landmark fit of a synthetic person's tracked face, as it is or refined."""

    name: str
    checkpoint: CheckpointUse | None = None
    regions: Path | None = None

    def files(self, truth: Truth) -> list[Path]:
        return []

    def settings(self) -> dict[str, Any]:
        return {"checkpoint": None if self.checkpoint is None else self.checkpoint.digest}

    def meshes(self, truth: Truth) -> MethodMeshes:
        assert isinstance(truth, PersonTruth)
        sequence = truth.sequence()
        coarse = _fitting()(sequence.face)
        valid = coarse.valid.numpy()
        vertices = coarse.vertices.numpy()
        if self.checkpoint is not None:
            network = _network(self.checkpoint, FaceMesh.name, None)
            vertices = refined_vertices(network, coarse, sequence.times)
        numbers = np.arange(len(valid))
        faces = _fitting().face_model.faces.numpy()
        neutral = coarse.neutral_vertices.numpy()
        return MethodMeshes(numbers[valid], frozenset(numbers[~valid].tolist()), vertices[valid], neutral, faces)

    def part(self, meshes: MethodMeshes, of_face: bool) -> FacePart:
        return part_with_regions(part_of_named_model(FaceMesh.name, None), self.regions, meshes, self.name)


def refined_vertices(
    network: AUD3DFaceForReconstruction,
    coarse: CoarseSequence,
    times: np.ndarray,
    pictures: list[Path] | None = None,
    face_model: FaceModel | None = None,
) -> np.ndarray:
    """What users get of a coarse face: the network at its own rate, linear in time between its samples.

    Args:
        coarse: of T frames, valid in one at least. times: (T,) seconds.
        pictures: T of them, for a network that reads video. face_model: of the coarse face, to cut them by.

    Returns:
        (T, V, 3) float32 metres, NaN where not valid.

    Raises:
        UsageError: the network reads video, and there are no pictures. InputError: a picture cannot be read.
    """

    def video(frames: np.ndarray) -> dict[str, Any]:
        if not network.config.use_video:
            return {}
        if pictures is None or face_model is None:
            raise UsageError("this checkpoint reads video, and there are no pictures here; give one of meshes alone")
        return {"video_features": _video_features(network, coarse, frames, pictures, face_model)}

    decoded = decode(network, coarse, times, video)
    return spread_samples(decoded.vertices.numpy(), decoded.frames, times, coarse.valid.cpu().numpy())[0]


def _video_features(
    network: AUD3DFaceForReconstruction,
    coarse: CoarseSequence,
    frames: np.ndarray,
    pictures: list[Path],
    face_model: FaceModel,
) -> Iterator[Tensor]:
    """As the pipeline has them, but cut around the landmarks of the coarse mesh: the tracker's are not kept."""
    size, device = network.config.image_size, network.device

    def crops() -> Iterator[tuple[Tensor, Tensor]]:
        for frame in frames.tolist():
            crop = torch.zeros(3, size, size, dtype=torch.uint8)
            if frame >= 0:
                corners = face_corners(coarse, torch.tensor([frame]), face_model)[0].numpy()
                crop = crop_face(read_picture(pictures[frame]), corners, size)
            yield normalise_crops(crop[None, None].to(device)), torch.tensor([[frame >= 0]], device=device)

    return network.model.video_backbone.read(crops())


def _per_frame_identity(coarse: CoarseSequence, model: FaceModel) -> np.ndarray:
    """(T, V, 3) metres."""
    if coarse.frame_shape is None:
        raise InputError("these prepared faces hold no identity for each frame; prepare them again with deca or emoca")
    parts = []
    for rows in torch.arange(len(coarse.valid)).split(64):
        given = [
            coarse.frame_shape[rows],
            coarse.expression[rows],
            *([] if coarse.pose is None else [coarse.pose[rows]]),
        ]
        parts.append(model(*(values.to(model.template.device) for values in given)))
    return torch.cat(parts).float().cpu().numpy()


def _picture_frames(path: Path, video: PreparedVideo, truth: MultifaceTruth) -> tuple[list[int], list[Path]]:
    """The frame numbers of a prepared file's rows, and their pictures.

    Raises:
        InputError: it was made from a video, or from other pictures than lie in the copy now.
    """
    source, folder = video.source, truth.clip.picture_folder
    if source is None or source.pictures is None or len(source.pictures) != len(video.timestamps):
        raise InputError(f"{path} does not say which pictures it was made from; remove it and prepare {folder} again")
    if source_of(folder).checksum != source.checksum:
        now = source_of(folder).pictures or ()
        pairs = zip(source.pictures, now, strict=False)
        other = next((f"{before}, where {after} lies now" for before, after in pairs if before != after), None)
        first = f"the first that differs is {other}" if other else "the pictures or their number have changed"
        raise InputError(
            f"{path} was made from other frames than those in {folder}: {first}; remove it and prepare them again"
        )
    numbers = [picture_number(path, name) for name in source.pictures]
    if (np.diff(numbers) <= 0).any():
        raise InputError(f"{path} names frames out of order; remove it and prepare {folder} again")
    return numbers, [folder / name for name in source.pictures]


def part_with_regions(part: FacePart, regions: Path | None, meshes: MethodMeshes, name: str) -> FacePart:
    """The part, with the regions of a file where there is one. Raises InputError where they do not fit the meshes."""
    if regions is None:
        return part
    found = read_regions(regions)
    check_regions(found, meshes.vertices.shape[1], name)
    return FacePart(found, part.to_head)


@lru_cache(maxsize=4)
def _face_model(name: str, path: str | None) -> FaceModel:
    return load_face_model(name, path)


@lru_cache(maxsize=4)
def part_of_named_model(name: str, path: str | None) -> FacePart:
    """The face of a face model by name, with the user's files of it. Raises CheckpointError where they are missing."""
    return part_of_model(_face_model(name, path))


@lru_cache(maxsize=2)
def _prepared(path: Path, name: str, model_path: str | None, changed: int) -> PreparedVideo:
    """`changed` only so that a file that was written again is read again."""
    return read_prepared(path, _face_model(name, model_path))


@lru_cache(maxsize=1)
def _fitting() -> LandmarkFitting:
    return LandmarkFitting(FaceMesh())


@lru_cache(maxsize=4)
def _network(use: CheckpointUse, face_model: str, model_path: str | None) -> AUD3DFaceForReconstruction:
    network = load_checkpoint(use.source, use.device)
    if network.config.face_model_checksum:
        give_face_model(network, _face_model(face_model, model_path).to(network.device))
    return network
