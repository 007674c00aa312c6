"""The one way through the house: a video in, `FaceSequence`s out. Python, command line and demo all come through here.

    video ──frames──▶ tracking ──landmarks──▶ coarse ──meshes──▶ network ──meshes, AUs──▶ FaceSequence (──▶ dense face)

Frames are streamed; what is kept of a frame is its landmarks. Who needs pictures later (a coarse reconstructor such as
DECA, the video branch) gets them from another pass over the video. The video branch reads its crops in overlapping
clips as they come, and the network decodes what has been read: of crops about one and a half clips are kept, of their
features (150 kB a frame for Video Swin at 224 pixels) as many as are decoded at once, however long the video is.
"""

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import __version__
from .checkpoints import BUNDLED, give_face_model, load_checkpoint
from .coarse import (
    AppearanceEstimator,
    CoarseReconstructor,
    CoarseSequence,
    DenseFitting,
    load_coarse,
    own_precision,
)
from .dense_face import DenseFace
from .errors import CheckpointError, InputError, NoFaceError, UsageError
from .face_models import load_face_model
from .face_sequence import FaceSequence
from .label_files import AULabels, read_au_labels
from .modeling_au_d3dface import AUD3DFaceForReconstruction
from .tracking import LandmarkTracker, TrackedFace, TrackedVideo, load_tracker, track_faces
from .video import Frame, VideoReader, sample_frames, spread_samples
from .video_processing_au_d3dface import AUD3DFaceVideoProcessor, crop_face, normalise_crops

Progress = Callable[[str, int, int | None], None]
"""Called as progress(stage, done, total): stages are "tracking" (frames), "fitting" and "network" (people), "pictures"
(frames of one person) where the coarse reconstructor or the video branch looks at pictures, and "appearance" (frames)
where asked for."""


@dataclass
class Reconstruction:
    """Everything that one run found.

    Attributes:
        sequences: the people asked for, the largest first.
        timestamps: (T,) seconds of every frame of the input.
        num_people: how many were found, asked for or not.
        warnings: sentences for people.
        seconds: wall time of each stage: decoding, tracking, fitting, network, and dense where there is a dense face,
            appearance where it was estimated.
    """

    sequences: list[FaceSequence]
    timestamps: np.ndarray
    num_people: int
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class AUD3DFacePipeline:
    """From a video to moving 3D faces with action units.

    ```python
    pipe = AUD3DFacePipeline.from_pretrained()      # the bundled checkpoint; or a folder, or a Hub id
    sequence = pipe("interview.mp4")[0]             # the largest face; or every person with faces="all"
    sequence.save("out/")
    ```

    Args:
        model: the network, in evaluation mode.
        coarse: the frozen per-frame reconstructor, over the model's own face model.
        tracker: makes a landmark tracker; each video gets a new one.
        checkpoint: what the model is called in the provenance.
        reader: opens a video.
        dense: fits a denser face to what the network refines; None to keep the network's own.

    Raises:
        CheckpointError: model and coarse reconstructor disagree about the mesh.
    """

    def __init__(
        self,
        model: AUD3DFaceForReconstruction,
        coarse: CoarseReconstructor,
        tracker: Callable[[], LandmarkTracker] = load_tracker,
        checkpoint: str = "unnamed",
        reader: Callable[[str | PathLike[str]], VideoReader] = VideoReader,
        dense: DenseFace | None = None,
    ):
        config, face_model = model.config, coarse.face_model
        if (config.face_model, config.num_vertices) != (face_model.name, face_model.num_vertices):
            raise CheckpointError(
                f"the checkpoint {checkpoint} was trained on the face model {config.face_model!r} with "
                f"{config.num_vertices} vertices; it cannot read {face_model.name!r} with {face_model.num_vertices}"
            )
        self.model = model
        self.coarse = coarse
        self.tracker = tracker
        self.checkpoint = checkpoint
        self.reader = reader
        self.dense = dense

    @classmethod
    def from_pretrained(
        cls,
        model: str | PathLike[str] | None = None,
        *,
        coarse: str = "landmarks",
        face_model: str | None = None,
        device: str | torch.device | None = None,
        face_landmarker: str | PathLike[str] | None = None,
        ict_facekit: str | PathLike[str] | None = None,
        flame: str | PathLike[str] | None = None,
        deca: str | PathLike[str] | None = None,
        emoca: str | PathLike[str] | None = None,
    ) -> "AUD3DFacePipeline":
        """Loads everything once.

        Args:
            model: None for the bundled checkpoint, a folder, or a Hub id.
            coarse: name of the coarse reconstructor: "landmarks", or "deca" or "emoca" for a checkpoint on FLAME.
            face_model: name of the face model; None for the checkpoint's own. With "ict", a checkpoint on facemesh
                gives the 9,409 vertices of ICT-FaceKit, fitted to those that it refines.
            device: "cpu", "cuda", ..., or None for CUDA where there is one.
            face_landmarker: a `face_landmarker.task` file, for versions of MediaPipe that carry no models.
            ict_facekit: ICT-FaceKit's folder or npz, for "ict"; None for where `face_models.find_ict_facekit` finds it.
            flame, deca, emoca: files that `au-d3dface assets convert` wrote, or their folders, for the face model
                "flame" and the coarse reconstructors "deca" and "emoca"; None for where
                `assets.converted.find_converted` finds them.

        Raises:
            UsageError: an unknown name or device, or a path of something that is not used.
            CheckpointError: the checkpoint is missing, of another type, damaged, or for another face model.
        """
        _check_paths(coarse, deca, emoca)
        return cls.from_model(
            load_checkpoint(model, device),
            f"bundled {__version__}" if model is None or Path(model) == BUNDLED else str(model),
            coarse=coarse,
            face_model=face_model,
            face_landmarker=face_landmarker,
            ict_facekit=ict_facekit,
            flame=flame,
            deca=deca,
            emoca=emoca,
        )

    @classmethod
    def from_model(
        cls,
        network: AUD3DFaceForReconstruction,
        checkpoint: str | None = None,
        *,
        coarse: str = "landmarks",
        face_model: str | None = None,
        face_landmarker: str | PathLike[str] | None = None,
        ict_facekit: str | PathLike[str] | None = None,
        flame: str | PathLike[str] | None = None,
        deca: str | PathLike[str] | None = None,
        emoca: str | PathLike[str] | None = None,
    ) -> "AUD3DFacePipeline":
        """The rest around a network that is loaded already, on its device.

        Args:
            network: in evaluation mode.
            checkpoint: what it is called in the provenance; None for where it was loaded from.
            coarse, face_model, face_landmarker, ict_facekit, flame, deca, emoca: as `from_pretrained`, and its errors.
        """
        _check_paths(coarse, deca, emoca)
        checkpoint = checkpoint or network.name_or_path or "unnamed"
        own = network.config.face_model
        if coarse in ("deca", "emoca") and own != "flame":
            raise CheckpointError(
                f"the coarse reconstructor {coarse!r} gives the face model 'flame' with 5023 vertices, and the "
                f"checkpoint {checkpoint} was trained on {own!r} with {network.config.num_vertices}: give a checkpoint "
                f"that was trained on 'flame' (--model), or leave --coarse {coarse} out"
            )
        wanted = face_model or own
        for kind, name, path in (("ICT-FaceKit", "ict", ict_facekit), ("FLAME", "flame", flame)):
            if path is not None and wanted != name:
                raise UsageError(f"a path of {kind} goes with the face model {name!r}, not {wanted!r}")
        paths = {"ict": ict_facekit, "flame": flame, "deca": deca, "emoca": emoca}
        shape = load_face_model(wanted, _path(paths.get(wanted)))
        dense = None
        if (wanted, own) == ("ict", "facemesh"):
            sparse = load_face_model(own)
            dense, shape = DenseFace(DenseFitting(shape, sparse)), sparse
        shape = shape.to(network.device)
        if network.config.face_model_checksum and shape.name == own:  # another mesh is refused by the class itself
            give_face_model(network, shape)
        return cls(
            network,
            load_coarse(coarse, shape, _path(paths.get(coarse))),
            lambda: load_tracker(task_file=None if face_landmarker is None else str(face_landmarker)),
            checkpoint=checkpoint,
            dense=dense,
        )

    def __call__(self, video: str | PathLike[str], **options: Any) -> list[FaceSequence]:
        """`reconstruct` without the particulars: a list of one `FaceSequence`, or one per person with faces="all"."""
        return self.reconstruct(video, **options).sequences

    def reconstruct(
        self,
        video: str | PathLike[str],
        *,
        faces: str = "largest",
        neutral: str | PathLike[str] | None = None,
        au_labels: str | PathLike[str] | AULabels | None = None,
        appearance: bool = False,
        progress: Progress | None = None,
        **generation: Any,
    ) -> Reconstruction:
        """Reconstructs the faces of a video.

        Args:
            video: a video file, a folder of frames, or an image (a clip of one frame).
            faces: "largest", or "all" for every person.
            neutral: a picture of the (largest) person at rest; without it the neutral face is estimated from the clip.
            au_labels: known labels, a file (see `label_files`) or read already; they replace predictions.
            appearance: whether to estimate `texture` and `lighting` too, from another pass over the video.
            progress: called as work proceeds.
            generation: settings of `generate` that differ from the checkpoint's (`feedback="soft"`, `threshold`, ...).

        Raises:
            UsageError: a wrong value of `faces`; labels of frames that do not exist; a neutral picture for a coarse
                reconstructor that takes none.
            InputError: the video, picture or label file cannot be read.
            NoFaceError: no face in any frame, or in the neutral picture; `timestamps` tells the frames looked at.
        """
        if faces not in ("largest", "all"):
            raise UsageError(f"faces must be 'largest' or 'all', not {faces!r}")
        if neutral is not None and not self.coarse.takes_neutral:
            raise UsageError(
                f"the coarse reconstructor {self.coarse.name!r} takes no neutral picture: its neutral face is the "
                "person's without expression; leave it out"
            )
        report = progress or (lambda stage, done, total: None)
        if au_labels is not None and not isinstance(au_labels, AULabels):
            au_labels = read_au_labels(au_labels, self.model.config.action_units)
        rest = None if neutral is None else self._neutral_landmarks(neutral)

        clock = _Clock()
        tracked = self._track(video, clock, report)
        if not tracked.faces:
            raise NoFaceError(
                f"no face was found in any of the {len(tracked.timestamps)} frames of {video}",
                tracked.timestamps,
                tracked.warnings,
            )
        people = sorted(tracked.faces, key=lambda face: -face.prominence)
        if faces == "largest":
            people = people[:1]

        sequences, coarses = [], []
        for position, face in enumerate(people):
            report("fitting", position, len(people))
            with clock("fitting"), own_precision(), closing(self._frames(video, report)) as frames:
                coarse = self.coarse(face, rest if position == 0 else None, frames)
            report("network", position, len(people))
            with clock("network"), closing(self._frames(video, report)) as pictures:
                labels = None if au_labels is None else au_labels.for_face(face.face_id, len(tracked.timestamps))
                sequences.append(self._decode(tracked, face, coarse, labels, pictures, str(video), generation))
            if self.dense is not None:
                with clock("dense"), own_precision():
                    sequences[-1] = self.dense(sequences[-1], partial(report, "network", position, len(people)))
            if appearance:  # of the meshes that the sequence has, which may be denser ones
                meshes = (sequences[-1].coarse_vertices, sequences[-1].neutral_vertices)
                shown, rest_shown = map(torch.from_numpy, meshes)
                coarses.append(replace(coarse, vertices=shown, neutral_vertices=rest_shown))
            report("network", position + 1, len(people))
        if appearance:
            with clock("appearance"), own_precision():
                sequences = self._with_appearance(video, sequences, coarses, report)
        return Reconstruction(sequences, tracked.timestamps, len(tracked.faces), tracked.warnings, {**clock.seconds})

    def save_pretrained(self, folder: str | PathLike[str], **options: Any) -> None:
        """Writes the network, its decoding settings and the video processor's into a folder; see also `push_to_hub`.

        Args:
            options: as transformers' `PreTrainedModel.save_pretrained`.
        """
        self.model.save_pretrained(folder, **options)
        side = self.model.config.image_size
        AUD3DFaceVideoProcessor(size={"height": side, "width": side}).save_pretrained(folder)

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Uploads network, decoding settings, video processor and card to the Hugging Face Hub, from where
        `from_pretrained` loads them. Tracker, coarse reconstructor and dense face are chosen when it is loaded.

        Args, returns and errors: as `hub.mixin.PushToHub.push_to_hub` of a model.
        """
        return self.model.push_to_hub(repo_id, **options)

    # ------------------------------------------------------------------------------------------------ video, tracking

    def _track(self, video: str | PathLike[str], clock: "_Clock", report: Progress) -> TrackedVideo:
        with self.reader(video) as reader:
            with closing(self.tracker()) as tracker, clock("tracking"):
                tracked = track_faces(_timed(_reported(reader, report), clock), tracker)
            clock.seconds["tracking"] -= clock.seconds["decoding"]  # the frames were decoded inside
            tracked.warnings[:0] = reader.warnings
        return tracked

    def _frames(self, video: str | PathLike[str], report: Progress) -> Iterator[tuple[int, np.ndarray]]:
        """Row and picture of every frame, from another pass over the video, which begins when the first is taken."""
        with self.reader(video) as reader:
            for frame in reader:
                yield frame.index, frame.image
                report("pictures", frame.index + 1, reader.num_frames)

    def _neutral_landmarks(self, picture: str | PathLike[str]) -> Tensor:
        """(478, 3) landmarks of the largest face of a picture."""
        with VideoReader(picture) as reader, closing(self.tracker()) as tracker:
            frame = next(iter(reader), None)
            if frame is None:
                raise InputError(f"the neutral picture {picture} holds no picture")
            largest = track_faces([frame], tracker).largest
        if largest is None:
            raise NoFaceError(f"no face was found in the neutral picture {picture}; give one that shows the face")
        return torch.from_numpy(largest.landmarks[0])

    def _with_appearance(
        self,
        video: str | PathLike[str],
        sequences: list[FaceSequence],
        coarses: list[CoarseSequence],
        report: Progress,
    ) -> list[FaceSequence]:
        """The sequences with `texture` and `lighting`, from one pass over the video for everyone."""
        face_model = self.coarse.face_model if self.dense is None else self.dense.fitting.face_model
        estimators = [AppearanceEstimator(coarse, face_model) for coarse in coarses]
        with self.reader(video) as reader:
            for frame in reader:
                if frame.index < len(coarses[0].valid):
                    for estimator in estimators:
                        estimator.add(frame.index, frame.image)
                report("appearance", frame.index + 1, reader.num_frames)
        frames = len(coarses[0].valid)
        found = [estimator.result(lambda: report("appearance", frames, frames)) for estimator in estimators]
        return [
            replace(sequence, texture=one.albedo.numpy(), lighting=one.lighting.numpy())
            for sequence, one in zip(sequences, found, strict=True)
        ]

    # -------------------------------------------------------------------------------------------------------- network

    def _video_features(
        self, pictures: Iterator[tuple[int, np.ndarray]], face: TrackedFace, frames: np.ndarray, source: str
    ) -> Iterator[Tensor]:
        """The video branch's features of the samples, (1, n, h · w · C) at a time; crops are cut as they are read.

        Args:
            pictures: of the video, from its beginning, as `_frames` gives them.
            frames: (K,) input frame of each sample, -1 where there is none.
            source: what the video is called.
        """
        backbone, device = self.model.model.video_backbone, self.model.device
        size = self.model.config.image_size

        def crops() -> Iterator[tuple[Tensor, Tensor]]:
            for wanted in frames.tolist():
                crop = torch.zeros(3, size, size, dtype=torch.uint8)
                if wanted >= 0:
                    image = next((image for frame, image in pictures if frame == wanted), None)
                    if image is None:
                        raise InputError(
                            f"{source} ended before frame {wanted} when it was read again; is it changing?"
                        )
                    crop = crop_face(image, face.landmarks[wanted], size)
                yield normalise_crops(crop[None, None].to(device)), torch.tensor([[wanted >= 0]], device=device)

        return backbone.read(crops())

    def _decode(
        self,
        tracked: TrackedVideo,
        face: TrackedFace,
        coarse: CoarseSequence,
        labels: np.ndarray | None,
        pictures: Iterator[tuple[int, np.ndarray]] | None,
        source: str,
        generation: dict[str, Any],
    ) -> FaceSequence:
        """The network at its own rate over one person, spread back over every input frame."""
        config, device = self.model.config, self.model.device
        valid = coarse.valid.cpu().numpy()
        frames = sample_frames(tracked.timestamps, valid, config.frame_rate)  # (K,), -1 where a sample has no frame
        first = int(np.argmax(frames >= 0))  # nothing is decoded before the person is first seen
        index = torch.from_numpy(np.maximum(frames[first:], 0))
        inputs: dict[str, Any] = {
            "vertices": coarse.vertices[index][None].to(device),
            "neutral_vertices": coarse.neutral_vertices[None].to(device),
            "frame_mask": torch.from_numpy(frames[first:] >= 0)[None].to(device),
        }
        if labels is not None:
            inputs["au_labels"] = torch.from_numpy(labels)[index][None].to(device)
        if config.use_video:
            inputs["video_features"] = self._video_features(pictures, face, frames[first:], source)
        settings = copy.deepcopy(self.model.generation_config)
        if unknown := settings.update(**generation):
            raise UsageError(f"{next(iter(unknown))!r} is not a setting of the decoding")
        output = self.model.generate(**inputs, generation_config=settings)

        def spread(values: Tensor) -> np.ndarray:
            samples = np.full((len(frames), *values.shape[2:]), np.nan, np.float32)
            samples[first:] = values[0].float().cpu().numpy()
            return spread_samples(samples, frames, tracked.timestamps, valid)

        vertices, interpolated = spread(output.vertices)
        probabilities, _ = spread(output.au_probabilities)
        intensities = None if output.au_intensities is None else spread(output.au_intensities)[0]
        if labels is not None:  # what the user knows holds in the very frame that it was given for
            known = (labels >= 0) & valid[:, None]
            probabilities[known] = labels[known]
        return FaceSequence(
            face_id=face.face_id,
            timestamps=tracked.timestamps,
            valid=valid,
            vertices=vertices,
            coarse_vertices=np.where(valid[:, None, None], coarse.vertices.cpu().numpy(), np.float32(np.nan)),
            neutral_vertices=coarse.neutral_vertices.cpu().numpy(),
            faces=self.coarse.face_model.faces.cpu().numpy(),
            uv=None if self.coarse.face_model.uv is None else self.coarse.face_model.uv.cpu().numpy(),
            action_units=config.action_units,
            au_probabilities=probabilities,
            au_intensities=intensities,
            au_masks=self.coarse.face_model.au_masks(config.action_units).cpu().numpy(),
            thresholds=np.array(settings.thresholds(config.num_action_units), np.float32),
            rotation=coarse.rotation.cpu().numpy(),
            scale=coarse.scale.cpu().numpy(),
            translation=coarse.translation.cpu().numpy(),
            confidence=coarse.confidence.cpu().numpy(),
            interpolated=interpolated,
            height=tracked.height,
            width=tracked.width,
            source=source,
            provenance={
                "checkpoint": self.checkpoint,
                "face_model": config.face_model,
                "coarse": self.coarse.name,
                "frame_rate": config.frame_rate,
                "version": __version__,
            },
        )


def _check_paths(coarse: str, deca: str | PathLike[str] | None, emoca: str | PathLike[str] | None) -> None:
    """Raises UsageError for files of a coarse reconstructor that is not used."""
    for kind, path in {"deca": deca, "emoca": emoca}.items():
        if path is not None and coarse != kind:
            raise UsageError(f"a path of {kind.upper()} goes with the coarse reconstructor {kind!r}, not {coarse!r}")


def _path(path: str | PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


class _Clock:
    """Wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("decoding", "tracking", "fitting", "network"), 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def _timed(frames: Iterable[Frame], clock: _Clock) -> Iterator[Frame]:
    """The frames, the time that they take to come counted as decoding."""
    iterator = iter(frames)
    while True:
        with clock("decoding"):
            frame = next(iterator, None)
        if frame is None:
            return
        yield frame


def _reported(reader: VideoReader, report: Progress) -> Iterator[Frame]:
    """The frames, each reported as it is handed on."""
    for frame in reader:
        yield frame
        report("tracking", frame.index + 1, reader.num_frames)
