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

# Every third landmark tells people apart as well as all of them.
_LOOKS_STEP = 3

# A detection that costs more than this against every known person is somebody new. Measured on the development clips:
# the same face from frame to frame costs 1 at the median and 10 at worst (a hand before the face), another person in
# the same place from 12 up.
_NEW_PERSON_COST = 12.0
# Seconds for which a newcomer may still turn out to be somebody known, and for which a face that no longer looks like
# itself is taken for one that something else begins to hide.
_PROBATION = 0.5
_HIDDEN = 0.3


@dataclass
class _Detection:
    """What is compared of one face in one frame: centre (2,) and size in pixels, box (4,), looks (156, 3) and shape."""

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
        rows = np.clip(points[::_LOOKS_STEP, 1].astype(np.intp), 0, image.shape[0] - 1)
        columns = np.clip(points[::_LOOKS_STEP, 0].astype(np.intp), 0, image.shape[1] - 1)
        colours = image[rows, columns].astype(np.float32)
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
    born: float
    time: float
    looks_mean: np.ndarray
    looks_recent: np.ndarray
    shape: np.ndarray
    looks_spread: float = 0.04
    count: int = 1

    @classmethod
    def seen_first(cls, face_id: int, found: _Detection, born: float, time: float) -> "_Person":
        return cls(face_id, found.centre, np.zeros(2), found.size, born, time, found.looks, found.looks, found.shape)

    def goes_on_as(self, found: _Detection, time: float) -> bool:
        """Whether the person was a moment ago where the detection is now."""
        gap = time - self.time
        away = math.dist(self.centre + self.velocity * gap, found.centre) / max(self.size, found.size)
        return gap < _HIDDEN and away < 0.25

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

    A face that comes out from behind another is first seen distorted and may start as somebody new; when it is
    recognised within half a second, it goes on under its old number, and `merged` tells that the two are one.

    Attributes:
        duplicates: detections left out so far because another detection of the same frame is on the same face.
        doubtful: detections left out so far because they resemble nobody known and yet lie largely over another face
            of the frame, or where somebody known was a moment ago: faces that are being hidden. Whoever stays for
            longer than 0.3 seconds is taken up.
        merged: number of a short appearance to the number of the person that it turned out to be.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self.doubtful = 0
        self.merged: dict[int, int] = {}
        self._people: list[_Person] = []
        self._next_id = 0
        self._thumbnail: np.ndarray | None = None

    def assign(self, image: np.ndarray, faces: list[np.ndarray], timestamp: float) -> dict[int, np.ndarray]:
        """Names the faces of the next frame.

        Args:
            image: (H, W, 3) uint8 RGB, of which only the colours at the landmarks and on a coarse grid are read.
            faces: (478, 3) landmarks each, image frame, in any order.
            timestamp: seconds.

        Returns:
            Landmarks by person's number, the numbers counting up from 0 in order of first appearance.
        """
        cut = self._is_cut(image)
        found = self._without_duplicates([_Detection.of(image, landmarks) for landmarks in faces])
        if not found:
            return {}
        costs = [[person.cost(detection, timestamp) for person in self._people] for detection in found]
        # One column for each known person, and for each detection one that makes it somebody new.
        table = np.full((len(found), len(self._people) + len(found)), _NEW_PERSON_COST)
        for row, line in enumerate(costs):
            table[row, : len(line)] = [cost for cost, _ in line]
        chosen = linear_sum_assignment(table)[1]
        known = {row: self._people[column] for row, column in enumerate(chosen) if column < len(self._people)}
        away = [person for person in self._people if not any(person is other for other in known.values())]
        distances = {row: costs[row][chosen[row]][1] for row in known}
        for row, person in known.items():
            known[row] = self._recognised(person, found[row], timestamp, away, cut)
            if known[row] is not person:
                distances[row] = known[row].cost(found[row], timestamp)[1]
        for row, person in known.items():
            alone = all(_overlap(found[row].box, other.box) < 0.1 for k, other in enumerate(found) if k != row)
            person.update(found[row], timestamp, distances[row], alone)
        assigned = {person.face_id: found[row].landmarks for row, person in known.items()}
        believed = [found[row].box for row in known]
        strangers = [detection for row, detection in enumerate(found) if row not in known]
        for detection in sorted(strangers, key=lambda stranger: -stranger.size):
            hides = any(_overlap(detection.box, box) > 0.3 for box in believed)
            if hides or (not cut and any(person.goes_on_as(detection, timestamp) for person in away)):
                self.doubtful += 1
                continue
            believed.append(detection.box)
            # After a cut a face is whole at once and is who it looks like; otherwise it may be coming out from hiding.
            born = -math.inf if cut else timestamp
            self._people.append(_Person.seen_first(self._next_id, detection, born, timestamp))
            assigned[self._next_id] = detection.landmarks
            self._next_id += 1
        return assigned

    def _recognised(self, person: _Person, found: _Detection, time: float, away: list[_Person], cut: bool) -> _Person:
        """Who the detection is when short appearances of the last half second are taken together with it."""
        if time - person.born < _PROBATION:
            for older in away:
                if older.time < person.born and older.cost(found, time)[0] < _NEW_PERSON_COST:
                    self._merge(person, older, away)
                    return older
        elif time - person.time > _HIDDEN and not cut:
            for younger in away:
                if younger.born > person.time and time - younger.born < _PROBATION and younger.goes_on_as(found, time):
                    self._merge(younger, person, away)
                    break
        return person

    def _merge(self, gone: _Person, person: _Person, away: list[_Person]) -> None:
        self.merged[gone.face_id] = person.face_id
        self._people = [other for other in self._people if other is not gone]
        away[:] = [other for other in away if other is not gone and other is not person]

    def _is_cut(self, image: np.ndarray) -> bool:
        """Whether much of the picture changed since the last frame: green, on a grid of about 32 x 32 pixels."""
        thumbnail = image[:: -(-image.shape[0] // 32), :: -(-image.shape[1] // 32), 1].astype(np.int16)
        before, self._thumbnail = self._thumbnail, thumbnail
        if before is None or before.shape != thumbnail.shape:
            return True
        return bool((np.abs(thumbnail - before) > 20).mean() > 0.4)

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
