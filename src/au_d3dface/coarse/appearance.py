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


@torch.no_grad()
def estimate_appearance(
    coarse: CoarseSequence,
    face_model: FaceModel,
    frames: Iterable[tuple[int, np.ndarray]],
    size: int = 256,
    progress: Callable[[int], object] | None = None,
) -> Appearance:
    """The appearance of one person.

    Args:
        coarse: the person's meshes and cameras.
        face_model: whose vertices they are.
        frames: (row of `coarse`, (H, W, 3) uint8 RGB) of every frame, in any order; rows without the person are passed
            over, and rows that do not come have the light of the clip.
        size: S of the map, for a face model with uv.
        progress: called after every frame with the number of frames done.

    Raises:
        NoFaceError: the person is in no frame.
        ValueError: a row that `coarse` does not have.
    """
    samples = SurfaceSamples.of(face_model, size)
    lit = samples.spread(LIGHT_POINTS)
    light_samples, faces = samples.part(lit), face_model.faces.cpu()
    valid = coarse.valid.cpu()
    chosen = valid.nonzero().squeeze(1)
    if not len(chosen):
        raise NoFaceError("The person is in no frame, so there is nothing to take colours from.")
    if len(chosen) > MAX_ALBEDO_FRAMES:
        chosen = chosen[torch.linspace(0, len(chosen) - 1, MAX_ALBEDO_FRAMES).round().long()]
    slots = {int(row): slot for slot, row in enumerate(chosen)}
    # Colours and weights as bytes, in the last axis.
    seen = torch.zeros(len(valid), len(lit), 4, dtype=torch.uint8)
    views = torch.zeros(len(chosen), len(samples), 4, dtype=torch.uint8)
    camera = [v.cpu().float() for v in (coarse.vertices, coarse.rotation, coarse.scale, coarse.translation)]
    for done, (row, image) in enumerate(frames, start=1):
        if not 0 <= row < len(valid):
            raise ValueError(f"frame {row} is none of the {len(valid)} frames of the sequence")
        if valid[row]:
            one = [v[row] for v in camera]
            _look(seen[row], light_samples, one, faces, image, LIGHT_WINDOW)
            if row in slots:
                _look(views[slots[row]], samples, one, faces, image, round(1.5 * size))
        if progress is not None:
            progress(done)

    vertices, rotation = camera[:2]
    turned = torch.cat(
        [vertex_normals(vertices[chunk], faces) @ rotation[chunk].mT for chunk in chosen.split(FRAME_CHUNK)]
    )
    albedo, lighting, clip = factorise(_terms(light_samples, turned), *_values(seen[chosen]))
    points = [
        fit_albedo(_terms(samples.part(part), turned), *_values(views[:, part]), lighting)
        for part in _slices(len(samples), POINT_CHUNK)
    ]
    albedo, amount, deviation = (torch.cat(parts) for parts in zip(*points, strict=True))
    shown = _laid_out(samples, face_model, torch.cat([albedo, deviation[:, None]], 1), amount)

    light = torch.zeros(len(valid), 9, 3)
    for rows in valid.nonzero().squeeze(1).split(FRAME_CHUNK):
        normals = vertex_normals(vertices[rows], faces) @ rotation[rows].mT
        light[rows] = fit_lighting(
            _terms(light_samples, normals), *_values(seen[rows]), albedo[lit], clip, deviation[lit]
        )[0]
    return Appearance(shown[..., :3], light, shown[..., 4], shown[..., 3])


def _look(
    seen: Tensor, samples: SurfaceSamples, camera: list[Tensor], faces: Tensor, image: np.ndarray, largest: int
) -> None:
    """Writes what a picture says of the points into (N, 4) bytes: red, green, blue, weight."""
    view = FaceView.of(*camera, faces, *image.shape[:2], largest)
    if view is not None:
        colors, weights = samples.observe(view, view.window.cut(image))
        seen.copy_(torch.cat([colors, weights[:, None]], 1).mul_(255).round_())


def _values(seen: Tensor) -> tuple[Tensor, Tensor]:
    """(F, P, 4) bytes to (F, P, 3) colours and (F, P) weights."""
    values = seen.float() / 255
    return values[..., :3], values[..., 3]


def _terms(samples: SurfaceSamples, normals: Tensor) -> Tensor:
    """(F, V, 3) normals of the vertices, turned with the head, to (F, P, 9) spherical harmonics at the points."""
    return spherical_harmonics(samples.normals(normals))


def _slices(length: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, length, step)]


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
