"""Live use: one picture a call, everyone's face and action units at once, and no look into the future.

    stream = AUD3DFaceStream(AUD3DFacePipeline.from_pretrained())
    for timestamp, image in camera:
        for face in stream(image, timestamp):
            ...

What differs from the pipeline over a whole clip: the neutral face is estimated from the past and may be replaced
(`LiveFace.restarted`), the sample of a grid cell is its first frame, and between samples values are held.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .coarse import CoarseFrame, LandmarkFitting, LandmarkStream, own_precision
from .errors import UsageError
from .generation_au_d3dface import AUD3DFaceDecodingState
from .modeling_au_d3dface import AUD3DFaceForReconstruction
from .pipeline_au_d3dface import AUD3DFacePipeline
from .tracking import FaceIdentities


@dataclass
class LiveFace:
    """One person in one picture; units and frames as in `FaceSequence`.

    Attributes:
        face_id: the person.
        vertices: (V, 3) metres, refined, of the newest sample.
        coarse_vertices: (V, 3) metres, of this very picture.
        neutral_vertices: (V, 3) metres, this person at rest, as far as is known.
        rotation, scale, translation: (3, 3), pixels per metre and (2,) pixels: the camera of this picture.
        confidence: in [0, 1].
        au_probabilities, au_intensities: (N,), of the newest sample; intensities None where there are none.
        held: whether this picture lies between samples, so that vertices and action units are those of the last one.
        restarted: whether another neutral face is known now and decoding has started anew.
    """

    face_id: int
    vertices: np.ndarray
    coarse_vertices: np.ndarray
    neutral_vertices: np.ndarray
    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    confidence: float
    au_probabilities: np.ndarray
    au_intensities: np.ndarray | None
    held: bool
    restarted: bool


class PersonStream:
    """One person live, from landmarks that were tracked elsewhere; what is kept is bounded, however long it lasts.

    Args:
        face_id: the person.
        model: the network, which reads no video crops.
        coarse: the reconstructor.
        generation: settings of the decoding that differ from the checkpoint's.
    """

    def __init__(self, face_id: int, model: AUD3DFaceForReconstruction, coarse: LandmarkFitting, **generation) -> None:
        self.face_id, self.model = face_id, model
        self._landmarks = LandmarkStream(coarse)
        self._generation = generation
        self._state: AUD3DFaceDecodingState | None = None
        self._cell = -1
        self._output: dict[str, np.ndarray | None] = {}

    def __call__(self, landmarks: np.ndarray, timestamp: float) -> LiveFace:
        """The person in the next picture that shows them.

        Args:
            landmarks: (478, 3) float32, image frame.
            timestamp: seconds; increases from call to call.
        """
        with own_precision():
            coarse = self._landmarks(torch.from_numpy(landmarks), timestamp)
        cell = math.floor(timestamp * self.model.config.frame_rate + 0.5)
        sampled = coarse.restarted or cell > self._cell
        if sampled:
            self._decode(coarse, cell)
        return LiveFace(
            face_id=self.face_id,
            coarse_vertices=coarse.vertices.numpy(),
            neutral_vertices=coarse.neutral_vertices.numpy(),
            rotation=coarse.rotation.numpy(),
            scale=float(coarse.scale),
            translation=coarse.translation.numpy(),
            confidence=float(coarse.confidence),
            held=not sampled,
            restarted=coarse.restarted,
            **self._output,
        )

    def _decode(self, coarse: CoarseFrame, cell: int) -> None:
        """One step of the network; cells in which the person was not seen are stepped over as masked frames."""
        device = self.model.device
        skipped = cell - self._cell - 1
        # Beyond the attention window nothing of the past is seen anyway.
        if coarse.restarted or skipped >= self.model.config.attention_window:
            self._state = self.model.start_decoding(coarse.neutral_vertices[None].to(device), **self._generation)
            skipped = 0
        vertices = coarse.vertices[None].to(device)
        for _ in range(skipped):
            self.model.decode_step(self._state, vertices, frame_mask=torch.zeros(1, dtype=torch.bool, device=device))
        output = self.model.decode_step(self._state, vertices)
        self._cell = cell
        intensities = output.au_intensities
        self._output = {
            "vertices": output.vertices[0, 0].float().cpu().numpy(),
            "au_probabilities": output.au_probabilities[0, 0].float().cpu().numpy(),
            "au_intensities": None if intensities is None else intensities[0, 0].float().cpu().numpy(),
        }


class AUD3DFaceStream:
    """Reconstructs faces live.

    Args:
        pipeline: whose model, coarse reconstructor and tracker are used.
        generation: settings of the decoding that differ from the checkpoint's.

    Raises:
        UsageError: the checkpoint reads video crops, the coarse reconstructor is none that works picture by picture, or
            the pipeline has a dense face.
    """

    def __init__(self, pipeline: AUD3DFacePipeline, **generation) -> None:
        if pipeline.model.config.use_video:
            raise UsageError("live use works with checkpoints of the mesh branch; this one reads video too")
        if not isinstance(pipeline.coarse, LandmarkFitting):
            raise UsageError(f"live use needs the coarse reconstructor 'landmarks', not {pipeline.coarse.name!r}")
        if pipeline.dense is not None:
            raise UsageError("live use gives the network's own mesh; leave out the face model 'ict'")
        self.model, self.coarse = pipeline.model, pipeline.coarse
        self._generation = generation
        self._tracker, self._identities = pipeline.tracker(), FaceIdentities()
        self._people: dict[int, PersonStream] = {}

    def __call__(self, image: np.ndarray, timestamp: float) -> list[LiveFace]:
        """The faces of the next picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            timestamp: seconds; increases from call to call.
        """
        found = self._identities.assign(image, self._tracker(image, timestamp), timestamp)
        for gone in self._identities.merged:
            self._people.pop(gone, None)
        return [self._face(face_id, points, timestamp) for face_id, points in sorted(found.items())]

    def close(self) -> None:
        """Releases the tracker."""
        self._tracker.close()

    def _face(self, face_id: int, landmarks: np.ndarray, timestamp: float) -> LiveFace:
        if face_id not in self._people:
            self._people[face_id] = PersonStream(face_id, self.model, self.coarse, **self._generation)
        return self._people[face_id](landmarks, timestamp)
