"""Where a person's skin is seen in a picture: A_j of Eq. 13.

The face that the mesh covers, less the eyes and the inside of the mouth, and less what is not skin (hands, hair,
glasses, microphones). What is not skin is told by colour, learned from the person's own frames, unless a segmentation
model is plugged in.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, normalize

from ..face_models import FaceModel
from ..rendering import interpolate, rasterize, sample_texture, shade
from ..tracking.topology import boundary_loops
from .appearance import Appearance
from .base import CoarseSequence
from .face_view import FaceView
from .surface_samples import GRAZING, SurfaceSamples

WINDOW = 192
"""Pixels of the face at which masks are made; those of larger faces are made of blocks."""

NEAR, WIDE = (5, 2.5), (17, 1.4)
"""Pixels of the window over which residuals from albedo · light are averaged, and how many deviations are too many: a
sharp speck of another colour, and a hand, whose colours are those of the face here and there."""

EXPRESSION, UNHEARD = 0.04, 6.0
"""Deviations are those of the place over the clip and, besides, this one of folds and highlights that come with an
expression. One pixel counts no more than so many."""

LARGEST_DISTANCE, LEAST_BRIGHTNESS, LEAST_TINT = 3.0, 0.2, 0.02
"""Skin differs from the person's middle skin by at most so many standard deviations, of the logarithm of brightness and
of chromaticity, which are at least these."""

FEATURES = {
    0.010: (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285),  # brows
    0.006: (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 13, 14),  # lips
    0.005: (
        *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),  # right eye
        *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),  # left eye
    ),
}
"""Landmarks, by the metres about them in which the face is of other colours than skin."""

FACE = 0.012
"""Metres about the landmarks from which the person's middle skin is taken."""

DROP, JOIN = 5, 15
"""Pixels of the window: specks of what is no skin are left out up to the one, holes in it closed up to the other."""


class SkinSegmenter(Protocol):
    """What may be plugged in, such as a segmentation network."""

    def __call__(self, image: np.ndarray, face_region: Tensor) -> Tensor:
        """Finds skin.

        Args:
            image: (H, W, 3) uint8 RGB.
            face_region: (H, W) bool, where the mesh is seen.

        Returns:
            (H, W) bool; what lies outside the region is left out by the caller.
        """
        ...


class SkinPlaces:
    """Where a face model has brows, eyes and lips, which masks of all people share.

    Args:
        face_model: whose vertices the meshes have.
        size: S of the maps of appearance, for a face model with uv.
    """

    def __init__(self, face_model: FaceModel, size: int) -> None:
        self.feature, self.face = _regions(face_model, size)
        self.openings = _Openings(face_model)


class SkinMasker:
    """The skin masks of one person.

    Args:
        face_model: whose vertices the person's meshes have.
        appearance: of the person, as `estimate_appearance` gives it.
        segmenter: tells skin from other things in place of the colour model.
        places: of the face model and the appearance's size, where they are known already.
    """

    def __init__(
        self,
        face_model: FaceModel,
        appearance: Appearance,
        segmenter: SkinSegmenter | None = None,
        places: SkinPlaces | None = None,
    ) -> None:
        self.faces, self.segmenter, self.lighting = face_model.faces.cpu(), segmenter, appearance.lighting
        self.uv = face_model.uv.cpu() if appearance.is_map else None  # type: ignore[union-attr]
        places = places or SkinPlaces(face_model, len(appearance.albedo))
        feature, face, self.openings = places.feature, places.face, places.openings
        # Albedo, deviation and whether it is a feature, wherever the albedo is given.
        self.paint = torch.cat([appearance.albedo, appearance.deviation[..., None], feature[..., None]], -1)
        plain = (appearance.confidence > 0.5) & (feature == 0) & (face > 0)
        tones = _tones(appearance.albedo[plain if plain.any() else appearance.confidence >= 0])
        self.middle = tones.median(0).values
        self.spread = (1.4826 * (tones - self.middle).abs().median(0).values).maximum(
            torch.tensor([LEAST_BRIGHTNESS, LEAST_TINT, LEAST_TINT])
        )

    def __call__(self, image: np.ndarray, coarse: CoarseSequence, row: int) -> Tensor:
        """The skin in one frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            coarse: the person's meshes and cameras.
            row: the frame.

        Returns:
            (H, W) bool; all False where the person is not in the frame, and where no skin of the face is seen.
        """
        if not coarse.valid[row]:
            return torch.zeros(image.shape[:2], dtype=torch.bool)
        camera = (v[row].cpu() for v in (coarse.vertices, coarse.rotation, coarse.scale, coarse.translation))
        return self.of_mesh(image, *camera, self.lighting[row])

    @torch.no_grad()
    def of_mesh(
        self,
        image: np.ndarray,
        vertices: Tensor,
        rotation: Tensor,
        scale: Tensor,
        translation: Tensor,
        lighting: Tensor,
    ) -> Tensor:
        """The skin of one mesh.

        Args:
            image: (H, W, 3) uint8 RGB.
            vertices: (V, 3) metres. rotation: (3, 3), scale: scalar, translation: (2,): see `CoarseSequence`.
            lighting: (9, 3), of the appearance.

        Returns:
            (H, W) bool, as of the call.
        """
        height, width = image.shape[:2]
        mask = torch.zeros(height, width, dtype=torch.bool)
        view = FaceView.of(vertices, rotation, scale, translation, self.faces, height, width, WINDOW)
        if view is None:
            return mask
        region = self.openings.cut_out(view, self.faces)
        if self.segmenter is not None:
            view.window.paste(mask, region)
            return mask & self.segmenter(image, mask.clone())
        view.window.paste(mask, region & ~self._foreign(view, view.window.cut(image), lighting))
        return mask

    def _foreign(self, view: FaceView, image: Tensor, lighting: Tensor) -> Tensor:
        """(h, w) bool of the window: what is not skin by its colour, or seen too much from the side to tell."""
        paint = self.paint if self.uv is None else self.uv
        pixels = interpolate(view.fragments, self.faces, torch.cat([view.normals, paint], 1))[0]
        normals, painted = normalize(pixels[..., :3], dim=-1), pixels[..., 3:]
        if self.uv is not None:
            painted = sample_texture(self.paint, painted)
        albedo, deviation, feature = painted.split([3, 1, 1], -1)
        light = shade(normals, lighting).clamp_min(0.05)
        seen = view.fragments.mask[0]
        scale = (deviation.square() + EXPRESSION**2).sqrt()
        residual = ((image - albedo * light).square().mean(-1, keepdim=True).sqrt() / scale).clamp_max(UNHEARD)
        # Averages, since a mesh that lies a pixel off is no foreign thing.
        near = _mean(torch.cat([residual, image / light], -1), seen, NEAR[0])
        distance = ((_tones(near[..., 1:]) - self.middle) / self.spread).abs().amax(-1)
        strange = (near[..., 0] > NEAR[1]) | ((distance > LARGEST_DISTANCE) & (feature[..., 0] < 0.5))
        strange = _grown(~_grown(~(strange & seen), DROP), DROP)
        strange |= (_mean(residual, seen, WIDE[0])[..., 0] > WIDE[1]) & seen
        return ~_grown(~_grown(strange, JOIN), JOIN) | (normals[..., 2] < GRAZING)


class _Openings:
    """The eyes and the mouth, where a face model has them closed: cut out of what is seen of the mesh."""

    def __init__(self, face_model: FaceModel) -> None:
        self.corners, self.weights, self.strips = None, None, torch.zeros(0, 3, dtype=torch.int64)
        embedding = face_model.landmarks_468
        if embedding is None:
            return
        faces = face_model.faces.cpu()
        self.embedding = embedding
        ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
        edges, count = ends.unique(dim=0, return_counts=True)
        border = torch.zeros(face_model.num_vertices, dtype=torch.bool)
        border[edges[count == 1].flatten()] = True
        nearest = faces[embedding.triangles].gather(1, embedding.barycentric.argmax(1, keepdim=True))[:, 0]
        at_border = border[nearest] & (embedding.barycentric.amax(1) > 0.99)
        loops = boundary_loops()
        for name, start in (("right_eye", 0), ("left_eye", 0), ("mouth", 5)):  # from a corner
            loop = torch.from_numpy(loops[name]).roll(-start)
            if not at_border[loop].all():
                self.strips = torch.cat([self.strips, _strip(loop)])

    def cut_out(self, view: FaceView, faces: Tensor) -> Tensor:
        """(h, w) bool: what is seen of the mesh, less the openings."""
        seen = view.fragments.mask[0]
        if not len(self.strips):
            return seen
        landmarks = self.embedding(view.points, faces)
        return seen & ~rasterize(landmarks[None], self.strips, *seen.shape).mask[0]


def _strip(loop: Tensor) -> Tensor:
    """A closed loop whose first and middle points are its corners, as triangles between its two sides: (L - 2, 3)."""
    half = len(loop) // 2
    there, back = loop[: half + 1], torch.cat([loop[:1], loop[half:].flip(0)])
    quads = torch.stack([there[:-1], there[1:], back[1:], back[:-1]], 1)
    triangles = torch.cat([quads[:, :3], quads[:, [0, 2, 3]]])
    alike = (triangles[:, 0] == triangles[:, 1]) | (triangles[:, 1] == triangles[:, 2])
    return triangles[~alike & (triangles[:, 0] != triangles[:, 2])]


def _regions(face_model: FaceModel, size: int) -> tuple[Tensor, Tensor]:
    """(S, S) or (V,) each: 1 near brows, lips and eyes, and 1 where the landmarks are (no ears, neck or crown)."""
    samples = SurfaceSamples.of(face_model, size)
    template = face_model.template.cpu()
    near = torch.zeros(len(samples), 2)
    near[:, 1] = 1.0
    if face_model.landmarks_468 is not None:
        landmarks, points = face_model.landmarks_468(template, face_model.faces.cpu()), samples.at(template)
        distance = torch.cdist(points, landmarks)
        for radius, numbers in FEATURES.items():
            near[distance[:, list(numbers)].amin(1) < radius, 0] = 1.0
        near[:, 1] = (distance.amin(1) < FACE).float()
    if samples.texels is not None:
        laid_out = torch.zeros(size * size, 2)
        laid_out[samples.texels] = near
        near = laid_out.unflatten(0, (size, size))
    return near[..., 0], near[..., 1]


def _tones(colors: Tensor) -> Tensor:
    """(..., 3) colours to the logarithm of their brightness and the shares of red and green in it."""
    brightness = colors.sum(-1, keepdim=True).clamp_min(0.03)
    return torch.cat([brightness.log(), colors[..., :2] / brightness], -1)


def _mean(values: Tensor, where: Tensor, size: int) -> Tensor:
    """(h, w, C) averaged over squares of `size` pixels, of those that count."""
    weights = where[None, None].float()
    both = torch.cat([values.permute(2, 0, 1)[None] * weights, weights], 1)
    for kernel in ((1, size), (size, 1)):
        both = avg_pool2d(both, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    return (both[:, :-1] / both[:, -1:].clamp_min(1e-3))[0].permute(1, 2, 0)


def _grown(mask: Tensor, size: int) -> Tensor:
    """(h, w) bool: True within a square of `size` pixels (odd) about what is True."""
    grown = mask[None, None].float()
    for kernel in ((1, size), (size, 1)):
        grown = max_pool2d(grown, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    return grown[0, 0] > 0.5
