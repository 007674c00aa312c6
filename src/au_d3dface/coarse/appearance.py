"""What a person looks like, from the frames of a clip: the albedo of the face, and the light of every frame.

    colour in the picture ≈ albedo · Σ_k lighting_k · Y_k(normal)

`rendering.shade`, with colours as they are in the picture (DECA's convention: no gamma) and normals after the head's
rotation. A few dozen frames spread over the clip define the albedo; the light is fitted to each frame. Pictures come as
a stream and are not kept: what is kept is some thousand bytes a frame, and the colours of those few frames.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import NoFaceError
from ..face_models import FaceModel
from ..geometry import vertex_normals
from ..rendering import spherical_harmonics
from .albedo_and_light import factorise, fit_albedo, fit_lighting
from .base import CoarseSequence
from .face_view import FaceView
from .filling import fill_map, fill_vertices, mirrored
from .surface_samples import SurfaceSamples

MAX_ALBEDO_FRAMES = 120
"""Frames that define the albedo, spread evenly over those with the person."""

LIGHT_POINTS = 800
LIGHT_WINDOW = 128
"""Points of the surface that the light is fitted to, and pixels of the face from which their colours are taken."""

FRAME_CHUNK, POINT_CHUNK = 128, 4096
MIRROR_TRUST = 0.05
"""What is seen of a point's mirror image counts as so many frames of the point itself, at most."""


@dataclass(frozen=True)
class Appearance:
    """The albedo of a person and the light of a clip.

    In the middle of the frames that are not dark a white surface that faces the viewer is white (each channel's median
    is 1), so that the albedo has the colours of the pictures.

    Attributes:
        albedo: (S, S, 3) map over the face model's uv, row 0 at v = 1, or (V, 3) at the vertices of a model without
            uv; in [0, 1], without holes.
        lighting: (T, 9, 3), for `rendering.shade`; 0 in frames without the person.
        confidence: (S, S) or (V,) in [0, 1): n / (n + 1), n the frames' worth of good views of a point; 0 where it was
            never seen, and its albedo is that of its mirror image or of its neighbours.
        deviation: (S, S) or (V,), robust standard deviation of colours about the model, over the clip.
    """

    albedo: Tensor
    lighting: Tensor
    confidence: Tensor
    deviation: Tensor

    @property
    def is_map(self) -> bool:
        """Whether the albedo is a map over uv."""
        return self.albedo.ndim == 3

    def put_into(self, coarse: CoarseSequence) -> CoarseSequence:
        """The sequence with `texture` and `lighting`."""
        return replace(coarse, texture=self.albedo, lighting=self.lighting)


class AppearanceEstimator:
    """Estimates the appearance of one person from pictures that come one by one: `add` each, then ask for the `result`.

    Args:
        coarse: the person's meshes and cameras; only valid frames are looked at.
        face_model: whose vertices they are.
        size: S of the map, for a face model with uv.

    Raises:
        NoFaceError: the person is in no frame.
    """

    def __init__(self, coarse: CoarseSequence, face_model: FaceModel, size: int = 256) -> None:
        self.face_model, self.size = face_model, size
        self.faces, self.valid = face_model.faces.cpu(), coarse.valid.cpu()
        chosen = self.valid.nonzero().squeeze(1)
        if not len(chosen):
            raise NoFaceError("The person is in no frame, so there is nothing to take colours from.")
        if len(chosen) > MAX_ALBEDO_FRAMES:
            chosen = chosen[torch.linspace(0, len(chosen) - 1, MAX_ALBEDO_FRAMES).round().long()]
        self.chosen, self.slots = chosen, {int(row): slot for slot, row in enumerate(chosen)}
        self.samples = SurfaceSamples.of(face_model, size)
        self.lit = self.samples.spread(LIGHT_POINTS)
        self.light_samples = self.samples.part(self.lit)
        self.vertices, self.rotation = coarse.vertices.cpu(), coarse.rotation.cpu()
        self.scale, self.translation = coarse.scale.cpu(), coarse.translation.cpu()
        # Red, green, blue and weight as bytes: of a few points in every frame, of all points in the chosen ones.
        self.seen = torch.zeros(len(self.valid), len(self.lit), 4, dtype=torch.uint8)
        self.views = torch.zeros(len(chosen), len(self.samples), 4, dtype=torch.uint8)

    @torch.no_grad()
    def add(self, row: int, image: np.ndarray) -> None:
        """Looks at the (H, W, 3) uint8 RGB picture of a row of `coarse`; nothing is done if it is not valid.

        Raises:
            ValueError: a row that `coarse` does not have.
        """
        if not 0 <= row < len(self.valid):
            raise ValueError(f"frame {row} is none of the {len(self.valid)} frames of the sequence")
        if self.valid[row]:
            self._look(self.seen[row], self.light_samples, row, image, LIGHT_WINDOW)
            if row in self.slots:
                self._look(self.views[self.slots[row]], self.samples, row, image, round(1.5 * self.size))

    @torch.no_grad()
    def result(self, progress: Callable[[], object] = lambda: None) -> Appearance:
        """The appearance, from the pictures so far. Valid frames whose picture did not come get the clip's light.

        Args:
            progress: called again and again; what it raises ends the work.
        """
        turned = torch.cat([self._normals(rows) for rows in self.chosen.split(FRAME_CHUNK)])
        terms = _terms(self.light_samples, turned)
        albedo, lighting, clip = factorise(terms, *_values(self.seen[self.chosen]), progress=progress)
        parts = [slice(start, start + POINT_CHUNK) for start in range(0, len(self.samples), POINT_CHUNK)]
        fits = []
        for part in parts:
            progress()
            fits.append(fit_albedo(_terms(self.samples.part(part), turned), *_values(self.views[:, part]), lighting))
        albedo, amount, deviation = (torch.cat(values) for values in zip(*fits, strict=True))
        light = torch.zeros(len(self.valid), 9, 3)
        for rows in self.valid.nonzero().squeeze(1).split(FRAME_CHUNK):
            progress()
            terms = _terms(self.light_samples, self._normals(rows))
            seen = _values(self.seen[rows])
            light[rows] = fit_lighting(terms, *seen, albedo[self.lit], clip, deviation[self.lit])[0]
        shown = _laid_out(self.samples, self.face_model, torch.cat([albedo, deviation[:, None]], 1), amount)
        return Appearance(shown[..., :3], light, shown[..., 4], shown[..., 3])

    def _look(self, seen: Tensor, samples: SurfaceSamples, row: int, image: np.ndarray, largest: int) -> None:
        """Writes what a picture says of the points into (N, 4) bytes."""
        camera = (self.vertices[row], self.rotation[row], self.scale[row], self.translation[row])
        view = FaceView.of(*camera, self.faces, *image.shape[:2], largest)
        if view is not None:
            colors, weights = samples.observe(view, view.window.cut(image))
            seen.copy_(torch.cat([colors, weights[:, None]], 1).mul_(255).round_())

    def _normals(self, rows: Tensor) -> Tensor:
        """(F, V, 3) normals of the vertices, turned with the head."""
        return vertex_normals(self.vertices[rows], self.faces) @ self.rotation[rows].mT


def estimate_appearance(
    coarse: CoarseSequence,
    face_model: FaceModel,
    frames: Iterable[tuple[int, np.ndarray]],
    size: int = 256,
    progress: Callable[[int], object] | None = None,
) -> Appearance:
    """The appearance of one person, see `AppearanceEstimator`.

    Args:
        coarse, face_model, size: see there.
        frames: (row of `coarse`, (H, W, 3) uint8 RGB) of every frame, in any order.
        progress: called after every frame with the number of frames done.

    Raises:
        NoFaceError, ValueError: see there.
    """
    estimator = AppearanceEstimator(coarse, face_model, size)
    for done, (row, image) in enumerate(frames, start=1):
        estimator.add(row, image)
        if progress is not None:
            progress(done)
    return estimator.result()


def _values(seen: Tensor) -> tuple[Tensor, Tensor]:
    """(F, P, 4) bytes to (F, P, 3) colours and (F, P) weights."""
    values = seen.float() / 255
    return values[..., :3], values[..., 3]


def _terms(samples: SurfaceSamples, normals: Tensor) -> Tensor:
    """(F, V, 3) normals of the vertices, turned with the head, to (F, P, 9) spherical harmonics at the points."""
    return spherical_harmonics(samples.normals(normals))


def _laid_out(samples: SurfaceSamples, face_model: FaceModel, values: Tensor, amount: Tensor) -> Tensor:
    """(N, C) values at the points and (N,) what was seen of them to a map or vertices without holes, (..., C + 1).

    The last channel is the confidence.
    """
    values, known = mirrored(values, amount, samples.mirror(face_model.template), MIRROR_TRUST)
    confidence = (amount / (amount + 1))[:, None]
    if samples.texels is None or samples.size is None:
        return torch.cat([fill_vertices(values, known, face_model.faces.cpu()), confidence], 1)
    texels, count = samples.texels, samples.size**2
    layout = torch.zeros(count, values.shape[1] + 2)
    layout[texels] = torch.cat([values, confidence, known[:, None].float()], 1)
    layout = layout.unflatten(0, (samples.size, samples.size))
    return torch.cat([fill_map(layout[..., :-2], layout[..., -1] > 0), layout[..., -2:-1]], -1)
