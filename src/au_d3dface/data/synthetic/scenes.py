"""Pictures of the ICT-FaceKit head in random skin, hair, light and pose, which a tracker takes for a face.

The head is painted per pixel, as a function of the place on the rest head (`rest` below, ICT's own centimetres shifted
to the head frame), so brows, lips and irises stay sharp at any picture size and move with the mesh. Light is Lambertian
under a few directional lights, in second-order spherical harmonics (Ramamoorthi and Hanrahan, 2001).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate as resize

from ...face_models.ict import PARTS, ICTFaceKit
from ...geometry import axis_angle_to_matrix, vertex_normals
from ...rendering.rasterizer import interpolate, rasterize

# Human skin from the lightest to the darkest, as linear RGB albedo at five steps of melanin (our choice, by eye).
_SKIN = np.array([[0.83, 0.60, 0.50], [0.72, 0.47, 0.36], [0.54, 0.32, 0.21], [0.32, 0.175, 0.11], [0.13, 0.07, 0.05]])
_HAIR = np.array([[0.012, 0.01, 0.01], [0.05, 0.03, 0.02], [0.16, 0.09, 0.045], [0.42, 0.27, 0.12], [0.32, 0.1, 0.04],
                  [0.45, 0.45, 0.45]])  # fmt: skip
_IRIS = np.array([[0.03, 0.015, 0.01], [0.1, 0.05, 0.02], [0.12, 0.12, 0.04], [0.08, 0.14, 0.2], [0.14, 0.15, 0.15]])

# Metres by which eyeballs are drawn farther away than they are: the lids of some people cut into them when they close.
_EYEBALL_RECESS = 0.0015

# Brow line of the subject's left side on the rest head, from the nose outwards: x, y in metres in the head frame.
_BROW = torch.tensor([[0.0125, 0.0300], [0.0245, 0.0345], [0.0375, 0.0355], [0.0490, 0.0325], [0.0570, 0.0265]])
# Outer and inner border of the lips, the subject's left half from the middle outwards: x, upper y, lower y.
_LIPS = torch.tensor(
    [
        [0.0000, -0.0515, -0.0705],
        [0.0073, -0.0509, -0.0703],
        [0.0125, -0.0525, -0.0692],
        [0.0175, -0.0548, -0.0673],
        [0.0253, -0.0619, -0.0621],
    ]
)
# Hairline: the height (metres) above which the scalp has hair, by depth z.
_HAIRLINE_Z = torch.tensor([-0.080, -0.035, 0.008, 0.050, 0.100])
_HAIRLINE_Y = torch.tensor([-0.110, -0.080, 0.000, 0.032, 0.072])


@dataclass(frozen=True)
class Appearance:
    """What a person looks like apart from the shape; colours are linear RGB albedo.

    Attributes:
        skin, lips, hair, brow, iris, cloth: (3,) colours.
        brow_strength: opacity of the brows, 0-1. brow_width: half of their height, metres. brow_shift: metres upwards.
        stubble, lashes: opacity of the beard and of the eyelashes, 0-1.
        hairline: metres by which the hairline is moved up; 0.2 is bald. hair_volume: metres of hair above the scalp.
        blush: redness of cheeks and nose, 0-1. mottling: contrast of the skin's unevenness. gloss: of highlights.
        waves: (K, 3) wave vectors (radians per metre) and (K,) phases of the unevenness, as (K, 4).
    """

    skin: np.ndarray
    lips: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    cloth: np.ndarray
    brow_strength: float
    brow_width: float
    brow_shift: float
    stubble: float
    lashes: float
    hairline: float
    hair_volume: float
    blush: float
    mottling: float
    gloss: float
    waves: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """Directional lights over an ambient one.

    Attributes:
        ambient: (3,) RGB. directions: (L, 3) unit vectors to the lights, in the camera frame. colours: (L, 3) RGB.
    """

    ambient: np.ndarray
    directions: np.ndarray
    colours: np.ndarray

    def shade(self, normals: Tensor) -> Tensor:
        """(..., 3) unit normals to (..., 3) irradiance: a clamped cosine in spherical harmonics up to order 2."""
        cosine = normals @ torch.from_numpy(self.directions).to(normals).T  # (..., L)
        lobe = 0.25 + 0.5 * cosine + 0.15625 * (3 * cosine**2 - 1)
        light = lobe.clamp_min(0) @ torch.from_numpy(self.colours).to(normals)
        return light + torch.from_numpy(self.ambient).to(normals)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at the head.

    Attributes:
        rotation: (3, 3), head frame to camera frame (x right, y up, z towards the viewer).
        distance: metres from the camera to the head's origin.
        scale: pixels per metre at that distance (focal length over distance).
        centre: (2,) pixel at which the head's origin lands.
    """

    rotation: np.ndarray
    distance: float
    scale: float
    centre: np.ndarray

    def project(self, points: Tensor) -> Tensor:
        """(..., 3) metres in the head frame to (..., 3) pixels: x right, y down, z away from the camera."""
        seen = points @ torch.from_numpy(self.rotation).to(points).T
        nearness = self.distance / (self.distance - seen[..., 2:])
        image = seen[..., :2] * nearness * points.new_tensor([self.scale, -self.scale])
        return torch.cat([image + torch.from_numpy(self.centre).to(points), -self.scale * seen[..., 2:]], -1)


def euler_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """R = R_roll(z) · R_yaw(y) · R_pitch(x), radians: yaw turns the face to the subject's left (picture's right)."""
    turns = axis_angle_to_matrix(torch.tensor([[0, 0, roll], [0, yaw, 0], [pitch, 0, 0]], dtype=torch.float64))
    return (turns[0] @ turns[1] @ turns[2]).numpy()


def random_appearance(rng: np.random.Generator) -> Appearance:
    """A person of any skin colour."""
    melanin = rng.uniform(0, 4)
    skin = np.stack([np.interp(melanin, np.arange(5), _SKIN[:, c]) for c in range(3)])
    skin = skin * rng.uniform(0.92, 1.08, 3)
    dark = melanin > 1.7 or rng.uniform() < 0.35
    hair = _HAIR[rng.integers(0, 2) if dark else rng.integers(0, 6)] * rng.uniform(0.7, 1.3)
    pale = _HAIR[1] if hair.mean() > 0.15 and rng.uniform() < 0.6 else hair
    red = np.array([1.0, 0.62, 0.62]) if melanin < 2.5 else np.array([0.95, 0.7, 0.75])
    lips = skin * (1 - (depth := rng.uniform(0.3, 1.0))) + skin * red * depth
    if rng.uniform() < 0.2:  # lipstick
        lips = np.array([0.45, 0.05, 0.08]) * rng.uniform(0.6, 1.2) * rng.uniform(0.7, 1.3, 3)
    woman = rng.uniform() < 0.5
    return Appearance(
        skin=skin,
        lips=lips,
        hair=hair,
        brow=0.7 * np.minimum(pale, skin * 0.6),
        iris=_IRIS[rng.integers(0, 2) if dark else rng.integers(0, 5)] * rng.uniform(0.7, 1.4),
        cloth=rng.uniform(0.02, 0.8, 3),
        brow_strength=rng.uniform(0.45, 0.95),
        brow_width=rng.uniform(0.0028, 0.0048) - 0.0006 * woman,
        brow_shift=rng.normal(0, 0.0012),
        stubble=0.0 if woman or rng.uniform() < 0.4 else rng.uniform(0, 0.6),
        lashes=rng.uniform(0.35, 0.9) if woman else rng.uniform(0.2, 0.6),
        hairline=0.2 if not woman and rng.uniform() < 0.2 else rng.normal(0, 0.006),
        hair_volume=rng.uniform(0.004, 0.03) if woman else rng.uniform(0.002, 0.015),
        blush=rng.uniform(0, 0.8),
        mottling=rng.uniform(0.0, 0.07),
        gloss=rng.uniform(0.0, 0.12),
        waves=np.concatenate([rng.normal(0, 250, (12, 3)), rng.uniform(0, 2 * np.pi, (12, 1))], 1),
    )


def random_lighting(rng: np.random.Generator) -> Lighting:
    """One key light from the front or side, up to two weaker ones, an ambient one, of slightly different colours."""
    count = rng.integers(1, 4)
    azimuth, height = rng.uniform(-1.3, 1.3, count), rng.uniform(-0.3, 1.1, count)
    directions = np.stack([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)], -1)
    strength = rng.uniform(0.35, 1.0, count) * np.where(np.arange(count) == 0, 1.0, 0.5)
    tints = 1 + rng.normal(0, 0.06, (count + 1, 3))
    ambient = rng.uniform(0.25, 0.7)
    scale = rng.uniform(0.75, 1.3) / (ambient + 0.75 * strength.sum())
    return Lighting(tints[0] * ambient * scale, directions, tints[1:] * strength[:, None] * scale)


def random_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) linear RGB in [0, 1]: smooth blobs of a few sizes."""
    picture = torch.zeros(1, 3, height, width)
    colour = torch.from_numpy(rng.uniform(0, 0.7) * rng.uniform(0.7, 1.3, 3)).float()
    for cells, amount in ((2, 0.25), (5, 0.2), (14, 0.1), (40, 0.04)):
        grey = rng.normal(0, amount * rng.uniform(0, 1), (1, 1, cells, cells))
        noise = torch.from_numpy(grey + rng.normal(0, 0.25, (1, 3, cells, cells)) * np.abs(grey)).float()
        picture += resize(noise, (height, width), mode="bicubic", align_corners=True)
    return (picture[0].permute(1, 2, 0) + colour).clamp(0.003, 1).numpy()


def random_camera(
    rng: np.random.Generator, size: int = 256, yaw: float = 0.6, pitch: float = 0.35, roll: float = 0.3
) -> Camera:
    """A head turned within these bounds (radians), filling about half of a square picture of `size` pixels.

    Small turns are likelier than large ones, as in videos of people; distances are 0.45 to 2.5 metres.
    """
    turn = np.clip(rng.normal(0, 0.5, 3), -1, 1) if rng.uniform() < 0.6 else rng.uniform(-1, 1, 3)
    rotation = euler_rotation(*(turn * np.array([yaw, pitch, roll])))
    distance = float(np.exp(rng.uniform(np.log(0.45), np.log(2.5))))
    scale = size / rng.uniform(0.25, 0.34)
    # The face lies in front of the origin, so the origin is moved to keep the face in the middle.
    face = rotation @ np.array([0.0, -0.01, 0.09])
    middle = size / 2 + rng.uniform(-0.04, 0.04, 2) * size
    return Camera(rotation, distance, scale, middle - scale * face[:2] * np.array([1, -1]))


class HeadPainter:
    """Renders one ICT-FaceKit head with any vertices, appearance, light and camera.

    Args:
        head: the kit with `part="head"`.
    """

    def __init__(self, head: ICTFaceKit) -> None:
        if head.part != "head":
            raise ValueError("a HeadPainter needs the whole head: ICTFaceKit(path, part='head')")
        self.rest = head.template
        order = list(PARTS)
        bounds = torch.tensor([PARTS[name].stop for name in order])
        part = torch.searchsorted(bounds, head.faces.amax(1), right=True)
        kept = part != order.index("occlusion")
        self.faces, part = head.faces[kept], part[kept]
        self.parts = {name: order.index(name) for name in order}
        self._part_of_face = part
        self._is_skin = part <= order.index("neck")
        self._corners = self.faces.T.contiguous()
        # Hair stands off the scalp gradually: over three centimetres from the hairline, and not around the ears.
        height = self._hair_weight(self.rest, 0.0, softness=0.03)
        from_ear = (self.rest * torch.tensor([1.0, 1.0, 0.8]) - torch.tensor([0.085, 0.0, 0.0])).norm(dim=-1)
        from_other = (self.rest * torch.tensor([1.0, 1.0, 0.8]) + torch.tensor([0.085, 0.0, 0.0])).norm(dim=-1)
        height = height * ((torch.minimum(from_ear, from_other) - 0.04) / 0.05).clamp(0, 1)
        self._hair = height * height * (3 - 2 * height)
        self._hair[PARTS["neck"].stop :] = 0

    def render(
        self,
        vertices: Tensor,
        appearance: Appearance,
        lighting: Lighting,
        camera: Camera,
        background: np.ndarray,
        supersample: int = 1,
    ) -> np.ndarray:
        """A picture of the head.

        Args:
            vertices: (26719, 3) metres in the head frame.
            appearance, lighting, camera: see there.
            background: (H, W, 3) linear RGB; sets the size of the picture.
            supersample: renders at this multiple of the size and averages, which smooths the edges.

        Returns:
            (H, W, 3) uint8 sRGB.
        """
        height, width = background.shape[0] * supersample, background.shape[1] * supersample
        normals = vertex_normals(vertices, self.faces)
        if appearance.hairline < 0.1:  # (the hair takes the light as the scalp below it does)
            vertices = vertices + normals * (self._hair * appearance.hair_volume)[:, None]
        points = camera.project(vertices)
        points[:, :2] *= supersample
        points[PARTS["eyeballs"], 2] += camera.scale * _EYEBALL_RECESS
        normals = normals @ torch.from_numpy(camera.rotation).to(vertices).T
        faces, part = self._facing(points)
        fragments = rasterize(points[None], faces, height, width, cull_backfaces=False)
        seen = fragments.mask[0]
        attributes = interpolate(fragments, faces, torch.cat([self.rest, normals], -1))[0][seen]
        place, normal = attributes[:, :3], torch.nn.functional.normalize(attributes[:, 3:], dim=-1)
        normal = torch.where(normal[:, 2:] < 0, -normal, normal)  # sockets and lashes are seen from behind
        part = part[fragments.pixel_to_face[0][seen]]
        albedo, gloss = self._paint(place, part, appearance)
        colour = albedo * lighting.shade(normal)
        half = torch.nn.functional.normalize(
            torch.from_numpy(lighting.directions).float() + torch.tensor([0, 0, 1.0]), dim=-1
        )
        highlight = (normal @ half.T).clamp_min(0) ** 30 @ torch.from_numpy(lighting.colours).float()
        colour = colour + gloss[:, None] * highlight
        picture = (
            torch.from_numpy(background).float().repeat_interleave(supersample, 0).repeat_interleave(supersample, 1)
        )
        picture[seen] = colour
        if supersample > 1:
            picture = picture.reshape(height // supersample, supersample, width // supersample, supersample, 3).mean(
                (1, 3)
            )
        srgb = picture.clamp(0, 1) ** (1 / 2.2)
        return (srgb * 255).round().to(torch.uint8).numpy()

    def _facing(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Faces and their parts without the skin that is turned away, which other skin hides; lids are thin."""
        x, y = points[:, 0].contiguous(), points[:, 1].contiguous()
        a, b, c = self._corners
        ax, ay = x.index_select(0, a), y.index_select(0, a)
        bx, by, cx, cy = (v.index_select(0, i) - w for i in (b, c) for v, w in ((x, ax), (y, ay)))
        kept = (~self._is_skin | (bx * cy - by * cx < 0)).nonzero()[:, 0]
        return self.faces.index_select(0, kept), self._part_of_face.index_select(0, kept)

    def _hair_weight(self, place: Tensor, shift: float, softness: float = 0.008) -> Tensor:
        """(P,) in 0-1: how far above the hairline a place of the rest head is, soft over so many metres."""
        z = place[:, 2].clamp(float(_HAIRLINE_Z[0]), float(_HAIRLINE_Z[-1]))
        cell = torch.searchsorted(_HAIRLINE_Z, z).clamp(1, len(_HAIRLINE_Z) - 1)
        z0, z1 = _HAIRLINE_Z[cell - 1], _HAIRLINE_Z[cell]
        line = _HAIRLINE_Y[cell - 1] + (z - z0) / (z1 - z0) * (_HAIRLINE_Y[cell] - _HAIRLINE_Y[cell - 1])
        ear = (place[:, 1] / 0.036) ** 2 + ((place[:, 2] - 0.002) / 0.028) ** 2
        bare = ((1.25 - ear) / 0.25).clamp(0, 1) * (place[:, 0].abs() > 0.06)
        return ((place[:, 1] - line - shift) / softness).clamp(0, 1) * (1 - bare)

    def _paint(self, place: Tensor, part: Tensor, look: Appearance) -> tuple[Tensor, Tensor]:
        """(P, 3) places on the rest head and (P,) parts to (P, 3) albedo and (P,) gloss."""

        def colour(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.asarray(values)).float()

        def blend(base: Tensor, over: Tensor, opacity: Tensor) -> Tensor:
            return base + (over - base) * opacity[:, None]

        x, y, z = place.abs()[:, 0], place[:, 1], place[:, 2]
        skin = (part == self.parts["face"]) | (part == self.parts["neck"])
        albedo = colour(look.skin).expand(len(place), 3)
        waves = colour(look.waves)
        uneven = (place @ waves[:, :3].T + waves[:, 3]).sin().mean(-1) * 3
        albedo = albedo * (1 + look.mottling * uneven)[:, None]
        cheek = torch.exp(-(((x - 0.042) / 0.02) ** 2 + ((y + 0.022) / 0.018) ** 2))
        nose = torch.exp(-((x / 0.014) ** 2 + ((y + 0.022) / 0.012) ** 2)) * (z > 0.11)
        blush = look.blush * (cheek + nose).clamp(0, 1) * 0.5
        albedo = albedo * (1 - blush[:, None] * torch.tensor([0.0, 0.35, 0.3]))
        if look.stubble:
            beard = ((-y - 0.048 + 0.4 * (x - 0.03).clamp_min(0)) / 0.012).clamp(0, 1) * (y > -0.115) * (z > -0.01)
            albedo = blend(albedo, colour(look.hair), look.stubble * 0.7 * beard)
        shadow = torch.exp(-(((x - 0.033) / 0.014) ** 2 + ((y - 0.012) / 0.006) ** 2))  # the orbit is darker
        albedo = albedo * (1 - 0.15 * shadow[:, None])

        front = skin & (z > 0.06)
        brow = front & (y > 0.01)
        if brow.any():
            distance, along = _distance_to_line(torch.stack([x, y - look.brow_shift], -1)[brow], _BROW)
            width = look.brow_width * (1.1 - 0.6 * along)
            opacity = torch.zeros_like(x)
            opacity[brow] = look.brow_strength * ((width - distance) / 0.0012 + 0.5).clamp(0, 1)
            albedo = blend(albedo, colour(look.brow), opacity)
        lip_x = x.clamp_max(float(_LIPS[-1, 0]))
        upper = _interpolate(lip_x, _LIPS[:, 0], _LIPS[:, 1])
        lower = _interpolate(lip_x, _LIPS[:, 0], _LIPS[:, 2])
        inside = torch.minimum((upper - y) / 0.001, (y - lower) / 0.001).clamp(0, 1) * (x < 0.0258) * front
        albedo = blend(albedo, colour(look.lips), inside)
        gloss = look.gloss * (1 + inside)

        hair = self._hair_weight(place, look.hairline) * skin
        albedo = blend(albedo, colour(look.hair), hair)
        albedo = blend(albedo, colour(look.cloth), ((-y - 0.165) / 0.002).clamp(0, 1) * skin)
        gloss = gloss * (1 - hair)

        for name, value in (
            ("sockets", (0.16, 0.03, 0.03)),
            ("gums", (0.3, 0.08, 0.08)),
            ("teeth", (0.55, 0.52, 0.46)),
        ):
            of_part = part == self.parts[name]
            # The mouth is a cave: darker with depth.
            albedo = torch.where(
                of_part[:, None], torch.tensor(value) * ((z - 0.06) / 0.06).clamp(0.05, 1)[:, None], albedo
            )
        lids = (part == self.parts["sockets"]) & (y > 0.0)
        albedo = torch.where(lids[:, None], colour(look.skin) * torch.tensor([0.7, 0.5, 0.48]), albedo)

        eye = part == self.parts["eyeballs"]
        radius = torch.hypot(x - 0.03095, y - 0.00945)
        white = blend(torch.tensor([0.62, 0.6, 0.58]).expand_as(albedo), torch.tensor([0.55, 0.35, 0.33]),
                      ((radius - 0.008) / 0.006).clamp(0, 0.6))  # fmt: skip
        iris = blend(white, colour(look.iris) * 0.4, ((0.0060 - radius) / 0.0005).clamp(0, 1))
        iris = blend(iris, colour(look.iris) * 1.6, ((0.0052 - radius) / 0.001).clamp(0, 1))
        iris = blend(iris, torch.tensor([0.004, 0.004, 0.004]), ((0.0022 - radius) / 0.0003).clamp(0, 1))
        albedo = torch.where((eye & (z > 0.08))[:, None], iris, torch.where(eye[:, None], white, albedo))
        gloss = torch.where(eye, 0.5, gloss)

        lash = part == self.parts["lashes"]
        thin = torch.where(y > 0.0095, look.lashes, 0.3 * look.lashes)
        under = colour(look.skin) * 0.75
        albedo = torch.where(
            lash[:, None], blend(under.expand_as(albedo), torch.tensor([0.01, 0.01, 0.01]), thin), albedo
        )
        return albedo.clamp(0.002, 1), torch.where(lash, 0.0, gloss)


def _interpolate(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear interpolation; x within the knots."""
    cell = torch.searchsorted(knots.contiguous(), x.contiguous()).clamp(1, len(knots) - 1)
    share = (x - knots[cell - 1]) / (knots[cell] - knots[cell - 1])
    return values[cell - 1] + share * (values[cell] - values[cell - 1])


def _distance_to_line(points: Tensor, line: Tensor) -> tuple[Tensor, Tensor]:
    """(P, 2) points and a (K, 2) polyline to (P,) distances and (P,) places along the line, 0-1."""
    start, step = line[:-1], line[1:] - line[:-1]
    offset = points[:, None] - start
    share = ((offset * step).sum(-1) / (step**2).sum(-1)).clamp(0, 1)
    distance = (offset - share[..., None] * step).norm(dim=-1)
    nearest = distance.argmin(1)
    rows = torch.arange(len(points))
    return distance[rows, nearest], (nearest + share[rows, nearest]) / len(step)
