"""Pictures of rendered sequences and the true points in them, read back: `StoredPictures`."""

import io
import math
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import InputError
from ...tracking import NUM_FACE_LANDMARKS
from .rendered_sequences import PER_SHARD, PROVENANCE, StoredSequences, pictures_path

_LARGEST = 4096
"""Pixels a side and frames a sequence at most: what claims more is no folder of ours, and would fill the memory."""

_UNREADABLE = (OSError, ValueError, TypeError, EOFError, NotImplementedError, MemoryError)
"""What a damaged npz may raise; the last where an array claims to be larger than any memory."""


class StoredPictures:
    """The pictures of a folder that `rendered_sequences --pictures` wrote. Indices are those of `StoredSequences`.

    Pictures are decoded when they are asked for. The arrays of one shard are kept in memory.

    Attributes:
        provenance: what the sequences are made from.
        size: S, pixels a side of a picture. num_frames: T of a sequence.

    Raises:
        InputError: here and when a sequence is taken: the folder holds no sequences, or none with pictures, or a shard
            is missing or damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        sequences = StoredSequences(folder)
        self.provenance = sequences.provenance
        try:
            kept = self.provenance.get("pictures")
            settings = self.provenance["settings"]
            size, frames = settings["size"], settings["seconds"] * settings["frame_rate"]
            known = isinstance(size, int) and 1 <= size <= _LARGEST and math.isfinite(frames)
            known = known and 1 <= round(frames) <= _LARGEST
        except (KeyError, TypeError, AttributeError, OverflowError):
            kept, known = True, False
        if not kept:
            raise InputError(
                f"{folder} holds sequences without their pictures; make them in another folder with python -m "
                "au_d3dface.data.synthetic.rendered_sequences --pictures"
            )
        if not known:
            raise InputError(
                f"{Path(folder) / PROVENANCE} does not say what pictures there are; render them again in another folder"
            )
        self.size, self.num_frames = size, round(frames)
        self.paths = [pictures_path(path) for path in sequences.paths]
        self._shard: tuple[Path, dict[str, np.ndarray]] | None = None

    def __len__(self) -> int:
        return PER_SHARD * len(self.paths)

    def landmarks(self, index: int) -> np.ndarray:
        """(T, 468, 2) float32 pixels: the 468 points on the true head, x right, y down from the picture's corner."""
        return self._arrays(index)["landmarks_468"][index % PER_SHARD]

    def visible(self, index: int) -> np.ndarray:
        """(T, 468) bool: which of the points are in the picture and hidden by no part of the face."""
        return self._arrays(index)["visible"][index % PER_SHARD]

    def rotation(self, index: int) -> np.ndarray:
        """(T, 3, 3) float32, head frame to camera frame (x right, y up, z towards the viewer)."""
        return self._arrays(index)["rotation"][index % PER_SHARD]

    def pictures(self, index: int, frames: slice = slice(None)) -> np.ndarray:
        """(T, S, S, 3) uint8 RGB, the pictures as the tracker saw them; of some frames alone where they are named."""
        arrays, path = self._arrays(index), self.paths[index // PER_SHARD]
        numbers = range(self.num_frames)[frames]
        pictures = np.empty((len(numbers), self.size, self.size, 3), np.uint8)
        for row, number in enumerate(numbers):
            place = index % PER_SHARD * self.num_frames + number
            start, end = arrays["offsets"][place : place + 2]
            pictures[row] = self._decoded(arrays["jpeg"][start:end].tobytes(), path, number)
        return pictures

    def _decoded(self, jpeg: bytes, path: Path, number: int) -> np.ndarray:
        """(S, S, 3) uint8."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is looked at here
                picture = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
            if picture.size != (self.size, self.size) or picture.mode != "RGB":  # the head of the file says so
                raise ValueError(
                    f"{picture.width} x {picture.height} pixels of {picture.mode} for {self.size} x {self.size} of RGB"
                )
            return np.asarray(picture)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{path} has a damaged picture, frame {number} of a sequence ({error}); delete it and render it again"
            ) from error

    def _arrays(self, index: int) -> dict[str, np.ndarray]:
        """Those of the shard with this sequence."""
        path = self.paths[index // PER_SHARD]
        if self._shard is None or self._shard[0] != path:
            self._shard = path, self._read(path)
        return self._shard[1]

    def _read(self, path: Path) -> dict[str, np.ndarray]:
        each = (PER_SHARD, self.num_frames)
        expected = {
            "landmarks_468": (np.float32, (*each, NUM_FACE_LANDMARKS, 2)),
            "visible": (np.bool_, (*each, NUM_FACE_LANDMARKS)),
            "rotation": (np.float32, (*each, 3, 3)),
            "offsets": (np.int64, (PER_SHARD * self.num_frames + 1,)),
        }
        try:
            with zipfile.ZipFile(path) as archive:  # what is not packed cannot unpack to more than the file
                packed = [item.filename for item in archive.infolist() if item.compress_type != zipfile.ZIP_STORED]
            with np.load(path, allow_pickle=False) as npz:
                arrays = {} if packed else {name: npz[name] for name in (*expected, "jpeg") if name in npz}
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing; render the same sequences again, which makes it anew") from error
        except (*_UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path} is damaged ({error}); delete it and render it again") from error
        expected["jpeg"] = (np.uint8, (arrays["jpeg"].size if "jpeg" in arrays else 0,))
        wrong = [
            name
            for name, (dtype, shape) in expected.items()
            if name not in arrays or arrays[name].dtype != dtype or arrays[name].shape != shape
        ]
        if not wrong:
            offsets = arrays["offsets"]
            if offsets[0] != 0 or offsets[-1] != len(arrays["jpeg"]) or (np.diff(offsets) < 0).any():
                wrong = ["offsets"]
            wrong += [name for name in ("landmarks_468", "rotation") if not np.isfinite(arrays[name]).all()]
        if wrong:
            raise InputError(
                f"{path} is not a shard of pictures ({wrong[0]!r} is missing or another); delete it and render it again"
            )
        return arrays
