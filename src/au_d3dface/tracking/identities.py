"""Who is who: assigns the faces found in each frame to persons.

The tracker's own order is never trusted. Each detection is compared with each known person by where it is (against the
person's predicted place), how large it is, the shape of the face whatever its pose, and how the skin looks at each
landmark; the assignment is the global optimum of the sum. All costs are squared deviations in units of their usual
size, measured on real video.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist

from . import topology
from .base import NUM_FACE_LANDMARKS

# Points that expressions hardly move: eye corners, nose, temples, cheeks, forehead, chin.
_RIGID_POINTS = np.array(
    [
        *(topology.RIGHT_EYE_OUTER, topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER, topology.LEFT_EYE_OUTER),
        *(topology.NASION, 6, 197, topology.NOSE_TIP, topology.SUBNASALE),
        *(topology.RIGHT_NOSE_WING, topology.LEFT_NOSE_WING, 98, 327),
        *(topology.FOREHEAD_TOP, 54, 284, 103, 332, 127, 356),
        *(topology.RIGHT_CHEEK_OUTLINE, topology.LEFT_CHEEK_OUTLINE, 132, 361),
    ]
)

# A detection that costs more than this against every known person is somebody new. Measured on the development clips:
# the same face from frame to frame costs 1 at the median and 10 at worst (a hand before the face), another person in
# the same place from 12 up.
_NEW_PERSON_COST = 12.0


@dataclass
class _Detection:
    """What is compared of one face in one frame: centre (2,) and size in pixels, box (4,), looks (468, 3) and shape."""

    landmarks: np.ndarray
    centre: np.ndarray
    size: float
    box: np.ndarray
    looks: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, landmarks: np.ndarray) -> "_Detection":
        points = landmarks[:NUM_FACE_LANDMARKS, :2]
        low, high = points.min(0), points.max(0)
        pixels = np.clip(points.astype(np.int32), 0, (image.shape[1] - 1, image.shape[0] - 1))
        colours = image[pixels[:, 1], pixels[:, 0]].astype(np.float32)
        # Divided by their mean, so that exposure does not matter; the floor keeps the noise of black frames small.
        looks = colours / max(float(colours.mean()), 12.0)
        logs = np.log(pdist(landmarks[_RIGID_POINTS]) + 1e-6)
        size = math.sqrt(max(float(np.prod(high - low)), 1.0))
        return cls(landmarks, (low + high) / 2, size, np.concatenate([low, high]), looks, logs - logs.mean())


@dataclass
class _Person:
    """What is remembered of a person, a few kilobytes however long the video is."""

    face_id: int
    centre: np.ndarray
    velocity: np.ndarray
    size: float
    time: float
    looks_mean: np.ndarray
    looks_recent: np.ndarray
    shape: np.ndarray
    looks_spread: float = 0.04
    count: int = 1

    def cost(self, found: _Detection, time: float) -> tuple[float, float]:
        """Of taking the detection for this person, in squared usual deviations; and the distance of the looks."""
        gap = max(time - self.time, 1e-3)
        # A face goes on as it went for a fifth of a second at most; where it may be widens by its size every second,
        # and after a few seconds its last place says little.
        predicted = self.centre + self.velocity * min(gap, 0.2)
        away = math.dist(predicted, found.centre) / max(self.size, found.size)
        place = min((away / (0.15 + gap)) ** 2, 3.0 + 6.0 * math.exp(-2.0 * gap))
        size = min((math.log(found.size / self.size) / (0.15 + 0.5 * gap)) ** 2, 4.0)
        shape = min(float(np.mean((found.shape - self.shape) ** 2)) / 0.02**2, 4.0)
        distance = min(_looks_distance(found.looks, self.looks_recent), _looks_distance(found.looks, self.looks_mean))
        # People differ in how much their own picture changes: turning, hair, shadows.
        looks = (distance / min(max(1.5 * self.looks_spread, 0.025), 0.1)) ** 2
        return place + size + shape + looks, distance

    def update(self, found: _Detection, time: float, distance: float, alone: bool) -> None:
        gap = max(time - self.time, 1e-3)
        moved = (found.centre - self.centre) / gap
        # After a gap the old velocity is worthless and the way across the gap says little about the next frame.
        self.velocity = 0.5 * self.velocity + 0.5 * moved if gap < 0.3 else np.zeros(2)
        self.centre, self.size, self.time = found.centre, found.size, time
        if not alone:  # another face is in the way: what is seen now may be a mixture of the two
            return
        self.count += 1
        keep = min(self.count, 300)
        self.looks_recent = self.looks_recent + 0.2 * (found.looks - self.looks_recent)
        self.shape = self.shape + (found.shape - self.shape) / keep
        self.looks_mean = self.looks_mean + (found.looks - self.looks_mean) / keep
        self.looks_spread += (distance - self.looks_spread) / min(self.count, 50)


class FaceIdentities:
    """Keeps each person's number through crossings, gaps and cuts. Causal: it looks at no later frame.

    Attributes:
        duplicates: detections left out so far because another detection of the same frame is on the same face.
        doubtful: detections left out so far because they are nobody known and lie largely over a known or larger face
            of the same frame (a tracker that loses a face behind another gives such mixtures); a real new face is
            taken up as soon as it is clear of the other.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self.doubtful = 0
        self._people: list[_Person] = []

    def assign(self, image: np.ndarray, faces: list[np.ndarray], timestamp: float) -> dict[int, np.ndarray]:
        """Names the faces of the next frame.

        Args:
            image: (H, W, 3) uint8 RGB, of which only the colours at the landmarks are read.
            faces: (478, 3) landmarks each, image frame, in any order.
            timestamp: seconds.

        Returns:
            Landmarks by person's number, the numbers counting up from 0 in order of first appearance.
        """
        found = self._without_duplicates([_Detection.of(image, landmarks) for landmarks in faces])
        if not found:
            return {}
        costs = [[person.cost(detection, timestamp) for person in self._people] for detection in found]
        table = np.full((len(found), len(self._people) + len(found)), _NEW_PERSON_COST)
        for row, line in enumerate(costs):
            table[row, : len(line)] = [cost for cost, _ in line]
        # One column for each known person, and for each detection one that makes it somebody new.
        rows, columns = linear_sum_assignment(table)
        known = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if c < len(self._people)}
        assigned: dict[int, np.ndarray] = {}
        for row, detection in enumerate(found):
            others = [other for k, other in enumerate(found) if k != row]
            if row in known:
                person = self._people[known[row]]
                alone = all(_overlap(detection.box, other.box) < 0.1 for other in others)
                person.update(detection, timestamp, costs[row][known[row]][1], alone)
                assigned[person.face_id] = detection.landmarks
        believed = [found[row].box for row in known]
        strangers = [detection for row, detection in enumerate(found) if row not in known]
        for detection in sorted(strangers, key=lambda stranger: -stranger.size):
            if any(_overlap(detection.box, box) > 0.3 for box in believed):
                self.doubtful += 1
                continue
            believed.append(detection.box)
            looks, person_id = detection.looks, len(self._people)
            self._people.append(
                _Person(
                    person_id,
                    detection.centre,
                    np.zeros(2),
                    detection.size,
                    timestamp,
                    looks,
                    looks,
                    detection.shape,
                )
            )
            assigned[person_id] = detection.landmarks
        return assigned

    def _without_duplicates(self, found: list[_Detection]) -> list[_Detection]:
        """Two detections whose landmarks lie on the same spots are one face; the first stays."""
        kept: list[_Detection] = []
        for detection in found:
            points = detection.landmarks[:NUM_FACE_LANDMARKS, :2]
            if any(
                np.linalg.norm(points - other.landmarks[:NUM_FACE_LANDMARKS, :2], axis=1).mean() < 0.2 * detection.size
                for other in kept
            ):
                self.duplicates += 1
            else:
                kept.append(detection)
        return kept


def _looks_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference over the seven tenths of the landmarks that differ least: the rest may be behind a hand."""
    difference = np.abs(a - b).sum(-1)
    count = int(0.7 * len(difference))
    return float(np.partition(difference, count)[:count].mean()) / 3


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over the smaller of two boxes (left, top, right, bottom)."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    return float(np.prod(sides) / max(min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])), 1.0))
