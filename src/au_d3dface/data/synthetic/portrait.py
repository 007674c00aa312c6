"""A person worth looking at: the ICT-FaceKit head with single hairs, soft shadows and light that scatters in the skin.

`scenes` paints thousands of different heads quickly, for a tracker; here one head is rendered with care, for people.
Light arrives from a handful of directions, each with its shadow map, at the vertices; there it is spread to neighbours,
red furthest, as skin scatters it; colours and highlights are worked out at the pixels.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...face_models.ict import PARTS, ICTFaceKit
from ...geometry import axis_angle_to_matrix, vertex_normals
from ...rendering.rasterizer import interpolate, rasterize
from . import portrait_paint as paint
from .portrait_hair import brow_strands, hair_strands, lash_strands
from .strands import ribbons

_PIVOT = torch.tensor([0.0, -0.10, -0.02])
"""Where the head turns on the neck, metres in the head frame."""

_SHADOW_SIZE, _SHADOW_EXTENT, _SHADOW_BIAS = 224, 0.19, 0.003
"""Of a shadow map: pixels a side, metres from the middle to a side, and metres by which a shadow starts late."""
_HAIR_DEPTH = 0.012
"""Metres of hair that cast shadows, above the scalp."""

_DISTANCE, _WIDTH = 1.35, 0.345
"""Metres from the camera to the head's origin, and across the picture at that distance."""

_STRANDS = 100
"""Faces of hairs are of kind 100, brows 101, lashes 102; those of the mesh are of the kind of their part."""


def _lights() -> tuple[Tensor, Tensor, Tensor]:
    """(L, 3) unit directions in the camera frame, (L, 3) colours, and (L,) whether they make highlights."""
    key = normalize(torch.tensor([-0.62, 0.55, 0.80]), dim=-1)
    across = normalize(torch.linalg.cross(key, torch.tensor([0.0, 1.0, 0.0])), dim=-1)
    up = torch.linalg.cross(across, key)
    directions, colours, sharp = [], [], []
    for turn in range(5):  # a soft box is several directions
        angle = turn * 2 * math.pi / 5
        directions.append(key + 0.22 * (math.cos(angle) * across + math.sin(angle) * up))
        colours.append(torch.tensor([1.0, 0.93, 0.85]) * 0.36)
        sharp.append(True)
    for direction in ([0.9, 0.15, 0.6], [0.8, -0.2, 0.8]):
        directions.append(torch.tensor(direction))
        colours.append(torch.tensor([0.85, 0.93, 1.0]) * 0.17)
        sharp.append(True)
    directions.append(torch.tensor([0.75, 0.55, -0.75]))  # from behind: an edge on hair, cheek and shoulder
    colours.append(torch.tensor([1.0, 0.95, 0.9]) * 0.55)
    sharp.append(False)
    for index in range(9):  # from all around, less from below
        y = 0.95 - 1.35 * index / 8
        angle = index * 2.399963
        radius = math.sqrt(1 - y * y)
        directions.append(torch.tensor([radius * math.cos(angle), y, radius * math.sin(angle) + 0.35]))
        colours.append(torch.tensor([0.95, 0.98, 1.0]) * 0.13)
        sharp.append(False)
    return normalize(torch.stack(directions), dim=-1), torch.stack(colours), torch.tensor(sharp)


class Portrait:
    """One person, ready to be rendered in any expression and pose.

    Args:
        head: the kit with `part="head"`.
        shape: (S,) identity coefficients.
        look: colours of the person.
        seed: of freckles, locks and every single hair.
    """

    def __init__(self, head: ICTFaceKit, shape: Tensor, look: paint.Look, seed: int = 0) -> None:
        if head.part != "head":
            raise ValueError("a Portrait needs the whole head: ICTFaceKit(path, part='head')")
        self.head, self.look, self.rest = head, look, head.template
        self.neutral = head(shape, torch.zeros(head.expression_basis.shape[0]))
        self.shape = shape
        part = torch.zeros(len(self.rest), dtype=torch.int64)
        for index, span in enumerate(PARTS.values()):
            part[span] = index
        self.part = {name: index for index, name in enumerate(PARTS)}
        self._part_of_vertex = part
        of_face = part[head.faces].amax(1)
        self.faces = head.faces[(of_face != self.part["occlusion"]) & (of_face != self.part["lashes"])]
        # The kit cuts the head into parts whose borders coincide: normals and light pass over the cuts.
        _, self._weld = (self.rest * 1e5).round().long().unique(dim=0, return_inverse=True)
        first = torch.full((int(self._weld.max()) + 1,), len(self.rest)).scatter_reduce(
            0, self._weld, torch.arange(len(self.rest)), "amin"
        )
        self._weld = first[self._weld]
        self._spread = self._neighbour_mean()
        self.noise = paint.Noise(seed)
        generator = torch.Generator().manual_seed(seed)
        self._scalp = paint.scalp_weight(self.rest) * (part <= self.part["neck"])
        skin_faces = self.faces[(part[self.faces] <= self.part["neck"]).all(1)]
        normals = self._normals(self.neutral)
        self._strands = (
            hair_strands(self.neutral, self.rest, normals, skin_faces, self._scalp, self.noise, generator),
            brow_strands(self.neutral, self.rest, skin_faces[(skin_faces < PARTS["face"].stop).all(1)], generator),
            lash_strands(self.rest, generator),
        )
        balls = torch.arange(PARTS["eyeballs"].start, PARTS["eyeballs"].stop)
        self._eyes = (balls[self.rest[balls, 0] > 0], balls[self.rest[balls, 0] < 0])
        height = self.neutral[:, 1] + 0.6 * self.neutral[:, 2]
        follow = ((height + 0.20) / 0.11).clamp(0, 1)
        follow = torch.where(part <= self.part["neck"], follow, 1.0)
        self._follow = follow * follow * (3 - 2 * follow)
        self._cloth = paint.cloth_weight(self.rest) * (part <= self.part["neck"])

    def _normals(self, vertices: Tensor) -> Tensor:
        return vertex_normals(vertices, self._weld[self.faces])[self._weld]

    def _neighbour_mean(self) -> Tensor:
        """Sparse (V, V): half a vertex, half the mean of its neighbours, across the welded cuts; skin only."""
        skin = self._weld[self.faces[(self._part_of_vertex[self.faces] <= self.part["neck"]).all(1)]]
        pairs = torch.cat([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]])
        pairs = torch.cat([pairs, pairs.flip(1)]).unique(dim=0)
        size = len(self.rest)
        degree = torch.zeros(size).index_add(0, pairs[:, 0], torch.ones(len(pairs)))
        own = torch.arange(size)
        values = torch.cat([0.5 / degree[pairs[:, 0]], torch.where(degree > 0, 0.5, 1.0)])
        index = torch.cat([pairs.T, torch.stack([own, own])], 1)
        return torch.sparse_coo_tensor(index, values, (size, size), check_invariants=True).coalesce()

    def _turn(self, vertices: Tensor, rotation: Tensor) -> Tensor:
        """Turns the head on the neck by an axis-angle (3,), the neck following by degrees, the shoulders not at all."""
        matrices = axis_angle_to_matrix(self._follow[:, None] * rotation)
        turned = (matrices @ (vertices - _PIVOT)[..., None]).squeeze(-1) + _PIVOT
        # The kit ends at narrow shoulders: they are widened.
        low = ((-0.125 - self.rest[:, 1]) / 0.09).clamp(0, 1) * (self._part_of_vertex <= self.part["neck"])
        return turned * torch.stack([1 + 0.75 * low * low, torch.ones_like(low), torch.ones_like(low)], -1)

    def _visibility(self, vertices: Tensor, directions: Tensor) -> Tensor:
        """(L, V) share of the light of each direction that reaches each vertex, by shadow maps."""
        helper = torch.where(directions[:, 1:2].abs() > 0.9, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
        across = normalize(torch.linalg.cross(helper.expand_as(directions), directions), dim=-1)
        up = torch.linalg.cross(directions, across)
        frames = torch.stack([across, -up, -directions], 1)  # (L, 3 rows, 3): x right, y down, z away from the light
        seen = (vertices - torch.tensor([0.0, -0.02, 0.02])) @ frames.transpose(1, 2)
        scale = _SHADOW_SIZE / (2 * _SHADOW_EXTENT)
        points = torch.cat([seen[..., :2] * scale + _SHADOW_SIZE / 2, seen[..., 2:]], -1)
        depth = rasterize(points, self.faces, _SHADOW_SIZE, _SHADOW_SIZE).depth
        # Bilinear mean of the four comparisons around each vertex.
        place = points[..., :2] - 0.5
        corner = place.floor()
        share = place - corner
        result = torch.zeros(points.shape[:2])
        rows = depth.reshape(len(directions), -1)
        for dx in (0, 1):
            for dy in (0, 1):
                x = (corner[..., 0].long() + dx).clamp(0, _SHADOW_SIZE - 1)
                y = (corner[..., 1].long() + dy).clamp(0, _SHADOW_SIZE - 1)
                nearest = rows.gather(1, y * _SHADOW_SIZE + x)
                weight = (share[..., 0] if dx else 1 - share[..., 0]) * (share[..., 1] if dy else 1 - share[..., 1])
                result += weight * (seen[..., 2] < nearest + _SHADOW_BIAS)
        return result

    def render(
        self,
        expression: Tensor,
        rotation: Tensor,
        gaze: Tensor,
        size: int,
        supersample: int = 2,
        raised_brows: float = 0.0,
    ) -> np.ndarray:
        """A picture.

        Args:
            expression: (57,) weights of the kit's shapes.
            rotation: (3,) axis-angle of the head against the shoulders, camera frame.
            gaze: (3,) axis-angle of the eyes against the head; the kit's own looks move only the lids.
            size: pixels a side.
            supersample: samples a side in each pixel.
            raised_brows: 0-1, how deep the lines on the forehead are.

        Returns:
            (size, size, 3) uint8 sRGB.
        """
        directions, colours, sharp = _lights()
        vertices = self.head(self.shape, expression)
        for eye in self._eyes:
            centre = vertices[eye].mean(0)
            vertices[eye] = (vertices[eye] - centre) @ axis_angle_to_matrix(gaze).T + centre
        vertices = self._turn(vertices, rotation)
        vertices = vertices + self._normals(vertices) * (0.004 * self._cloth)[:, None]
        normals = self._normals(vertices)
        visible = self._visibility(vertices + normals * (_HAIR_DEPTH * self._scalp)[:, None], directions)
        cosine = (normals @ directions.T).clamp_min(0).T  # (L, V)
        light = self._scatter((visible * cosine).T @ colours)
        points, faces, kind, attributes = self._stage(vertices, normals, light, visible[sharp].T)

        pixels = size * supersample
        nearness = _DISTANCE / (_DISTANCE - points[:, 2:])
        image = points[:, :2] * nearness * torch.tensor([1.0, -1.0]) * (pixels / _WIDTH)
        image = image + torch.tensor([0.5, 0.47]) * pixels
        fragments = rasterize(torch.cat([image, -points[:, 2:]], -1)[None], faces, pixels, pixels)
        seen = fragments.mask[0]
        values = interpolate(fragments, faces, attributes)[0][seen]
        kind = kind[fragments.pixel_to_face[0][seen]]
        strand = kind >= _STRANDS
        colour = torch.zeros(len(values), 3)
        lamps = directions[sharp], colours[sharp]
        colour[~strand] = self._surface(values[~strand], kind[~strand], *lamps, raised_brows)
        colour[strand] = self._hair(values[strand], kind[strand] - _STRANDS, *lamps)
        picture = paint.background(pixels)
        picture[seen] = colour
        return paint.develop(picture.reshape(size, supersample, size, supersample, 3).mean((1, 3)))

    def _stage(
        self, vertices: Tensor, normals: Tensor, light: Tensor, visible: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The mesh and all hairs as one mesh: points, faces, what each face is of, and what the pixels need to know.

        The attributes are place on the rest head, normal, light, and visibility of the lamps; hairs have progress from
        root to tip and tone where the mesh has its place, their direction where it has its normal.
        """
        points, faces = [vertices], [self.faces]
        kind = [self._part_of_vertex[self.faces].amax(1)]
        attributes = [torch.cat([self.rest, normals, light, visible], -1)]
        for index, strands in enumerate(self._strands):
            ribbon, ribbon_faces, along = ribbons(
                strands.place(vertices), strands.width, torch.tensor([0.0, 0.0, _DISTANCE])
            )
            copies = 2 * strands.offsets.shape[1]  # vertices of a ribbon
            progress = torch.linspace(0, 1, copies // 2).repeat_interleave(2).repeat(len(strands.width))
            tone = strands.tone.repeat_interleave(copies)
            at_root = (torch.cat([light, visible], -1)[strands.roots] * strands.weights[..., None]).sum(1)
            info = torch.stack([progress, tone, torch.zeros_like(tone)], -1)
            attributes.append(torch.cat([info, along, at_root.repeat_interleave(copies, 0)], -1))
            faces.append(ribbon_faces + sum(len(earlier) for earlier in points))
            points.append(ribbon)
            kind.append(torch.full((len(ribbon_faces),), _STRANDS + index))
        return torch.cat(points), torch.cat(faces), torch.cat(kind), torch.cat(attributes)

    def _scatter(self, light: Tensor) -> Tensor:
        """Spreads (V, 3) light over the skin around each vertex, red furthest, as blood and fat below scatter it."""
        result = light
        spread = []
        for step in range(14):
            result = torch.sparse.mm(self._spread, result)[self._weld]
            if step + 1 in (2, 3, 14):
                spread.append(result)
        return torch.stack([0.5 * spread[2][:, 0] + 0.5 * spread[0][:, 0], spread[1][:, 1], spread[0][:, 2]], -1)

    def _surface(self, values: Tensor, part: Tensor, directions: Tensor, colours: Tensor, raised: float) -> Tensor:
        place, normal, light, visible = values.split([3, 3, 3, len(directions)], -1)
        normal = normalize(normal, dim=-1)
        albedo, gloss, sharpness, normal = paint.surface(place, normal, part, self.part, self.look, self.noise, raised)
        inside = (part != self.part["face"]) & (part != self.part["neck"]) & (place[:, 1] < -0.02)
        light = light + 0.05 * inside[:, None]  # light that flesh and teeth pass to and fro in the mouth
        colour = albedo * light
        viewer = torch.tensor([0.0, 0.0, 1.0])
        half = normalize(directions + viewer, dim=-1)
        lobe = (normal @ half.T).clamp_min(1e-4) ** sharpness[:, None]
        fresnel = 0.6 + 2.5 * (1 - normal[:, 2:].clamp(0, 1)) ** 3
        return colour + gloss[:, None] * fresnel * ((lobe * visible) @ colours)

    def _hair(self, values: Tensor, kind: Tensor, directions: Tensor, colours: Tensor) -> Tensor:
        """Kajiya and Kay, "Rendering fur with three dimensional textures" (1989), over the light at the root."""
        info, along, light, visible = values.split([3, 3, 3, len(directions)], -1)
        along = normalize(along, dim=-1)
        progress, tone = info[:, 0], info[:, 1]
        base = torch.stack([torch.tensor(c) for c in (self.look.hair, self.look.brow, self.look.lash)])[kind]
        depth = torch.where(kind == 0, 0.35 + 0.75 * progress, 0.85)
        colour = base * light * (tone * depth)[:, None]
        half = normalize(directions + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
        sine = (1 - (along @ half.T) ** 2).clamp_min(1e-4).sqrt()
        shine = ((sine**40 * 0.035 + sine**9 * 0.9 * base.mean(1, keepdim=True)) * visible) @ colours
        return colour + shine * (tone * depth * (kind == 0))[:, None]
