"""One person acts before one camera: what rendered sequences and rendered clips share.

A take is a person of ICT-FaceKit (identity, face at rest, colours), a camera and its picture quality, a performance of
trajectories.py and the expression weights that show it. Frames are rendered from it one by one.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from ... import facs
from ...errors import CheckpointError
from ...face_models.ict import ICTFaceKit
from ...geometry import axis_angle_to_matrix
from .scenes import (
    Appearance,
    Camera,
    HeadPainter,
    Lighting,
    random_appearance,
    random_background,
    random_lighting,
)
from .sequences import other_weights
from .tracked_renders import random_identity, random_rest
from .tracker_response import load_tracker_response
from .trajectories import Performance, sample_performance, smooth_noise

IDENTITIES = 100
"""Identity shapes of the kit."""


@dataclass(frozen=True)
class RenderSettings:
    """How rendered sequences vary. Ranges are (low, high) of a uniform draw.

    Attributes:
        seconds, frame_rate: length of a sequence, frames a second.
        size: pixels a side of the picture.
        width: metres across the picture at the head; a face is about 0.14 m wide.
        true_gain: factor on the geometry of each AU, per person.
        blur: standard deviation in pixels of the camera's blur. noise: standard deviation of its noise, of 255.
        quality: of JPEG compression.
        style: of `displays.STYLES`; None draws one a sequence.
    """

    seconds: float = 10.0
    frame_rate: float = 10.0
    size: int = 256
    width: tuple[float, float] = (0.21, 0.40)
    true_gain: tuple[float, float] = (0.85, 1.2)
    blur: tuple[float, float] = (0.0, 0.9)
    noise: tuple[float, float] = (0.0, 5.0)
    quality: tuple[int, int] = (50, 96)
    style: str | None = None

    @property
    def num_frames(self) -> int:
        return round(self.seconds * self.frame_rate)


@dataclass(frozen=True)
class FilmedFrame:
    """One frame as a camera delivered it, and what was before the camera.

    Attributes:
        jpeg: the file that the camera wrote. picture: (S, S, 3) uint8 RGB, that file decoded.
        vertices: (26719, 3) metres, the true head in the head frame. camera: the true camera.
    """

    jpeg: bytes
    picture: np.ndarray
    vertices: torch.Tensor
    camera: Camera


@dataclass(frozen=True)
class FilmedPerson:
    """One person before one camera.

    Attributes:
        head: the kit with `part="head"`.
        identity: (100,) and rest: (57,) float32, its weights of the person and of the face at rest.
        look, lighting, background: see scenes.py.
        distance: metres from the camera to the head's origin. scale: pixels per metre at that distance.
        blur, noise, quality: of the camera, as in `RenderSettings`.
    """

    head: ICTFaceKit
    identity: np.ndarray
    rest: np.ndarray
    look: Appearance
    lighting: Lighting
    background: np.ndarray
    distance: float
    scale: float
    blur: float
    noise: float
    quality: int

    def vertices(self, weights: np.ndarray) -> torch.Tensor:
        """(26719, 3) metres: the head with these (57,) expression weights."""
        return self.head(torch.from_numpy(self.identity), torch.from_numpy(weights))

    def film(
        self,
        rng: np.random.Generator,
        painter: HeadPainter,
        weights: np.ndarray,
        pose: np.ndarray,
        scale: float,
        shift: np.ndarray,
    ) -> FilmedFrame:
        """One frame as a camera would deliver it.

        Args:
            rng: of the camera's noise.
            weights: (57,) expression weights. pose: (3,) pitch, yaw, roll, radians.
            scale: pixels per metre. shift: (2,) metres by which the face is off the middle, right and up.

        Returns:
            (S, S, 3) uint8 RGB.
        """
        rotation = axis_angle_to_matrix(torch.from_numpy(np.asarray(pose, np.float64))).numpy()
        size = len(self.background)
        face = rotation @ np.array([0.0, -0.01, 0.09])  # the face lies in front of the head's origin
        centre = size / 2 + scale * (shift - face[:2]) * np.array([1, -1])
        camera = Camera(rotation, self.distance, scale, centre)
        vertices = self.vertices(weights)
        picture = painter.render(vertices, self.look, self.lighting, camera, self.background)
        seen = gaussian_filter(picture.astype(np.float32), (self.blur, self.blur, 0)) if self.blur > 0.2 else picture
        noise = self.noise * rng.standard_normal(picture.shape[:2], np.float32)
        seen = np.clip(seen + noise[..., None], 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(seen).save(file, "jpeg", quality=self.quality)
        return FilmedFrame(file.getvalue(), np.asarray(Image.open(file)), vertices, camera)


@dataclass(frozen=True)
class Take:
    """What one person does before the camera, T frames.

    Attributes:
        times: (T,) seconds.
        act: the performance.
        shapes: (T, 57) float32 expression weights in 0-1, those at rest included.
        scale: (T,) pixels per metre. shift: (T, 2) metres off the middle of the picture.
    """

    person: FilmedPerson
    times: np.ndarray
    act: Performance
    shapes: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    def frame(self, rng: np.random.Generator, painter: HeadPainter, index: int) -> FilmedFrame:
        """One frame. The camera's noise is drawn from `rng`, so frames are taken in order."""
        shapes, pose, shift = self.shapes[index], self.act.pose[index], self.shift[index]
        return self.person.film(rng, painter, shapes, pose, float(self.scale[index]), shift)


def random_person(rng: np.random.Generator, head: ICTFaceKit, settings: RenderSettings) -> FilmedPerson:
    """A person, a light and a camera."""
    s = settings
    return FilmedPerson(
        head=head,
        identity=random_identity(rng).astype(np.float32),
        rest=random_rest(rng, head.expression_names),
        look=random_appearance(rng),
        lighting=random_lighting(rng),
        background=random_background(rng, s.size, s.size),
        distance=float(np.exp(rng.uniform(np.log(0.45), np.log(2.5)))),
        scale=s.size / rng.uniform(*s.width),
        blur=rng.uniform(*s.blur),
        noise=rng.uniform(*s.noise),
        quality=int(rng.integers(*s.quality)),
    )


def random_take(rng: np.random.Generator, head: ICTFaceKit, settings: RenderSettings) -> Take:
    """A person who acts; what is drawn depends on the duration but not on the frame rate."""
    s = settings
    times = np.arange(s.num_frames) / s.frame_rate
    person = random_person(rng, head, s)
    act = sample_performance(rng, times, s.style)
    true_gain = rng.uniform(*s.true_gain, len(facs.ALL))[:, None] * np.exp(0.05 * rng.standard_normal((19, 2)))
    units = np.tensordot(act.action_units / 5 * true_gain, head.au_to_expression(facs.ALL).numpy(), axes=2)
    shapes = person.rest + units + other_weights(act, head.expression_names)
    return Take(
        person=person,
        times=times,
        act=act,
        shapes=np.clip(shapes, 0, 1).astype(np.float32),
        scale=person.scale * np.exp(0.04 * smooth_noise(rng, times, 1, 2.5)[:, 0]),
        shift=0.015 * smooth_noise(rng, times, 2, 2.0),
    )


@lru_cache(maxsize=1)
def load_head(kit: Path) -> tuple[ICTFaceKit, HeadPainter]:
    """The whole head of the kit and its painter, read once a process.

    Raises:
        CheckpointError: the kit is missing, damaged, or lacks identities or shapes.
    """
    head = ICTFaceKit(kit, part="head")
    known = load_tracker_response().expression_names
    missing = [name for name in known if name not in head.expression_names]
    if missing or len(head.shape_basis) != IDENTITIES:
        lack = f"the shape {missing[0]!r}" if missing else f"{IDENTITIES} identities"
        raise CheckpointError(f"{kit} lacks {lack} of ICT-FaceKit, which people are made of; take all of the kit.")
    return head, HeadPainter(head)
