"""A person's FaceSequence with another, denser face: the action units stay, the meshes are fitted anew.

The network refines facemesh; where the user has ICT-FaceKit, its 9,409 vertices are fitted to what the network gave.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from .coarse import DenseFitting, DenseNeutral
from .face_sequence import FaceSequence
from .video import spread_samples

FRAMES_A_LOOK = 128
"""Frames fitted at a time, about a tenth of a second of work: nobody could cancel meanwhile."""


class DenseFace:
    """Replaces the meshes of a sequence by fitted ones of `fitting.face_model`.

    Refined meshes are fitted at the network's samples and linear in time between them, as they were; coarse meshes are
    fitted in every frame.
    """

    def __init__(self, fitting: DenseFitting) -> None:
        self.fitting = fitting

    def __call__(self, sequence: FaceSequence, look: Callable[[], object] = lambda: None) -> FaceSequence:
        """The same person, action units and camera, with `expression_weights` besides the dense meshes.

        Args:
            look: called again and again; what it raises ends the work.
        """
        model = self.fitting.face_model
        neutral = self.fitting.neutral(torch.from_numpy(sequence.neutral_vertices))
        sampled = np.flatnonzero(sequence.valid & ~sequence.interpolated)
        vertices, weights = (
            spread_samples(samples, sampled, sequence.timestamps, sequence.valid)[0]
            for samples in self._fit(sequence.vertices[sampled], neutral, look)
        )
        coarse_vertices = np.full_like(vertices, np.nan)
        coarse_vertices[sequence.valid] = self._fit(sequence.coarse_vertices[sequence.valid], neutral, look)[0]
        return replace(
            sequence,
            vertices=vertices,
            coarse_vertices=coarse_vertices,
            neutral_vertices=neutral.vertices.numpy(),
            faces=model.faces.numpy(),
            uv=None if model.uv is None else model.uv.numpy(),
            au_masks=model.au_masks(sequence.action_units).numpy(),
            expression_weights=weights,
            expression_names=model.expression_names,
            provenance=sequence.provenance | {"face_model": model.name, "network_face_model": self.fitting.sparse.name},
        )

    def _fit(
        self, sparse: np.ndarray, neutral: DenseNeutral, look: Callable[[], object]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(T, V', 3) vertices of the sparse model to (T, V, 3) of the dense one and its (T, E) expression weights."""
        vertices = np.empty((len(sparse), *neutral.vertices.shape), np.float32)
        weights = np.empty((len(sparse), len(neutral.rest)), np.float32)
        for start in range(0, len(sparse), FRAMES_A_LOOK):
            look()
            rows = slice(start, start + FRAMES_A_LOOK)
            vertices[rows], weights[rows] = self.fitting(torch.from_numpy(sparse[rows]), neutral)
        return vertices, weights
