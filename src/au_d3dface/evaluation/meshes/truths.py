"""The true surfaces that Table 1 measures against, a sequence at a time: Multiface, a folder of meshes, or ICT-FaceKit.

Each is small and can be sent to another process; what it stands for is read there, by `load`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ...data.multiface.selection import Clip
from ...data.multiface.truth import read_truth
from ...data.synthetic.rendered_sequences import PER_SHARD, StoredSequences
from ...data.synthetic.sequences import TrackedSequence
from ...errors import InputError
from ...face_models import ICTFaceKit
from ...geometry import Similarity
from ..synthetic_people.evaluation import read_sequence
from ..synthetic_people.true_meshes import KitTruth
from .face_parts import head_from_points, part_of_sequence
from .frame_meshes import mesh_files, mesh_frames, read_mesh_folder


@dataclass(frozen=True)
class TrueSurfaces:
    """Of T frames: `vertices` (T, W, 3) metres and `faces` (F, 3). `unit` is what files of meshes are in."""

    vertices: np.ndarray
    faces: np.ndarray
    unit: str = "m"


class Truth(Protocol):
    """One sequence whose surface is known.

    Attributes:
        name: of the sequence. names: all names by which folders of meshes may have it.
        frames: the frame numbers to measure, increasing.
    """

    @property
    def name(self) -> str: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def frames(self) -> tuple[int, ...]: ...

    def files(self) -> list[Path]:
        """What is read, so that results can be tied to it."""
        ...

    def at(self, frames: Sequence[int]) -> "Truth":
        """The same sequence with these of its frames alone."""
        ...

    def load(self, frames: Sequence[int]) -> TrueSurfaces:
        """The surfaces of some of the frames. Raises InputError where a file is missing or damaged."""
        ...

    def to_head(self, frame: int) -> Similarity:
        """From the surface of this frame to the head frame, about. Raises InputError where no face is found on it."""
        ...


@dataclass(frozen=True)
class MultifaceTruth:
    """A clip of Multiface; its meshes are in the head frame, in the size of the capture."""

    clip: Clip

    @property
    def name(self) -> str:
        return f"{self.clip.subject}_{self.clip.expression}_{self.clip.camera.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """The camera may be left out: it changes nothing about the truth."""
        return self.name, f"{self.clip.subject}_{self.clip.expression}"

    @property
    def frames(self) -> tuple[int, ...]:
        return self.clip.numbers

    def files(self) -> list[Path]:
        meshes = self.clip.files()[1]
        return [*(meshes[number] for number in self.frames), self.clip.neutral_mesh, self.clip.topology]

    def at(self, frames: Sequence[int]) -> "MultifaceTruth":
        return MultifaceTruth(self.clip.at(frames))

    def load(self, frames: Sequence[int]) -> TrueSurfaces:
        meshes = self.clip.files()[1]
        rest = {"neutral_mesh": str(self.clip.neutral_mesh), "topology": str(self.clip.topology)}
        read = [read_truth(rest | {"mesh": str(meshes[number])}) for number in frames]
        return TrueSurfaces(np.stack([vertices.numpy() for vertices, _ in read]), read[0][1].numpy())

    def to_head(self, frame: int) -> Similarity:
        return Similarity()


@dataclass(frozen=True)
class FolderTruth:
    """True meshes of the user's, as `folders` lays them out, where they lie."""

    name: str
    path: Path
    frames: tuple[int, ...]

    @classmethod
    def of(cls, name: str, path: Path, every: int = 1) -> "FolderTruth":
        """Raises InputError where the sequence is empty or cannot be read."""
        return cls(name, path, tuple(mesh_frames(path)[::every]))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def files(self) -> list[Path]:
        return mesh_files(self.path)

    def at(self, frames: Sequence[int]) -> "FolderTruth":
        return replace(self, frames=tuple(frames))

    def load(self, frames: Sequence[int]) -> TrueSurfaces:
        found = read_mesh_folder(self.path, frames=frames, whole=False)
        if not len(found.faces):
            raise InputError(f"{self.path} has no triangles, so that it is no surface to measure from; give its faces")
        return TrueSurfaces(found.vertices, found.faces, found.unit)

    def to_head(self, frame: int) -> Similarity:
        # Found once, on the face at rest; the head may lie and be turned otherwise in this frame.
        rest, part = part_of_sequence(self.path, str(self.path))
        placed = part.beside(rest, self.load([frame]).vertices[0]).to_head
        assert placed is not None  # of a mesh it is always known
        return placed


@dataclass(frozen=True)
class PersonTruth:
    """A synthetic person, rendered and tracked: ICT-FaceKit's surface, in its true size.

    It is turned and shifted, not scaled, to the head frame by its own 468 points at rest.
    """

    folder: Path
    index: int
    kit: Path
    frames: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"synthetic_{self.folder.name}_{self.index:05d}"

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def files(self) -> list[Path]:
        return [StoredSequences(self.folder).paths[self.index // PER_SHARD], self.kit]

    def at(self, frames: Sequence[int]) -> "PersonTruth":
        return replace(self, frames=tuple(frames))

    def sequence(self) -> TrackedSequence:
        """What the tracker said. Raises InputError where the shard is damaged."""
        return read_sequence(_stored(self.folder), self.index)

    def load(self, frames: Sequence[int]) -> TrueSurfaces:
        sequence, truth = self.sequence(), kit_truth(self.kit)
        placed = head_from_points(truth.own_rest_points(sequence))
        own = truth.own_surface(sequence, np.asarray(frames))
        return TrueSurfaces(placed(own.double().numpy()), truth.kit.faces.numpy())

    def to_head(self, frame: int) -> Similarity:
        return Similarity()


@lru_cache(maxsize=1)
def kit_truth(path: Path) -> KitTruth:
    """ICT-FaceKit's truth, once a process. Raises CheckpointError where it is missing or another."""
    return KitTruth(ICTFaceKit(path))


@lru_cache(maxsize=1)
def _stored(folder: Path) -> StoredSequences:
    return StoredSequences(folder)
