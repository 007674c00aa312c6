"""What people show: displays (AUs that act together), exclusions, and three ways in which people behave.

Which AUs go together or exclude each other follows the FACS manual (Ekman, Friesen and Hager, 2002) and the
co-occurrence that spontaneous data sets are known for. The styles "conversation" and "watching" are made so that the
share of frames in which an AU is present is near that of BP4D and of DISFA (`POSITIVE_RATES`).
"""

from dataclasses import dataclass

Members = dict[int, tuple[float, float]]
"""AU -> (probability of taking part in the display, intensity relative to the display's)."""

DISPLAYS: dict[str, Members] = {
    "smile": {12: (1, 1), 6: (0.8, 0.8), 7: (0.4, 0.6), 10: (0.3, 0.6), 25: (0.55, 0.7), 14: (0.15, 0.5)},
    "talking smile": {12: (1, 1), 6: (0.8, 0.9), 7: (0.85, 0.8), 10: (0.9, 0.9), 14: (0.5, 0.7), 25: (0.5, 0.7)},
    "laughter": {12: (1, 1), 6: (0.95, 0.9), 7: (0.6, 0.7), 10: (0.6, 0.7), 25: (1, 0.9), 26: (0.7, 0.6),
                 9: (0.1, 0.4)},
    "brow raise": {1: (0.95, 1), 2: (0.9, 1), 5: (0.2, 0.6)},
    "frown": {4: (1, 1), 7: (0.5, 0.6), 9: (0.1, 0.4), 17: (0.15, 0.5)},
    "concern": {1: (1, 1), 4: (0.9, 0.8), 2: (0.15, 0.4), 15: (0.3, 0.5)},
    "sadness": {1: (0.7, 0.8), 4: (0.6, 0.7), 15: (0.95, 1), 17: (0.8, 0.9), 24: (0.1, 0.4)},
    "surprise": {1: (1, 1), 2: (1, 1), 5: (0.8, 0.9), 25: (0.9, 0.8), 26: (0.85, 0.9)},
    "fear": {1: (1, 1), 2: (0.7, 0.8), 4: (0.8, 0.8), 5: (0.8, 0.9), 20: (0.8, 0.8), 25: (0.8, 0.7)},
    "disgust": {9: (0.9, 1), 4: (0.6, 0.7), 7: (0.6, 0.7), 10: (0.6, 0.8), 17: (0.3, 0.6), 25: (0.2, 0.5)},
    "sneer": {10: (1, 1), 9: (0.2, 0.5), 25: (0.5, 0.5), 4: (0.2, 0.5)},
    "anger": {4: (1, 1), 5: (0.3, 0.7), 7: (0.6, 0.7), 23: (0.7, 0.9), 24: (0.4, 0.8), 17: (0.3, 0.6)},
    "pain": {4: (0.9, 0.9), 6: (0.8, 0.8), 7: (0.8, 0.9), 9: (0.4, 0.7), 10: (0.6, 0.8), 25: (0.5, 0.7)},
    "pressed lips": {24: (1, 1), 17: (0.5, 0.7), 14: (0.25, 0.6), 23: (0.2, 0.6)},
    "tight lips": {23: (1, 1), 17: (0.35, 0.6), 14: (0.2, 0.5)},
    "pout": {17: (1, 1), 15: (0.4, 0.7), 24: (0.15, 0.5)},
    "dimples": {14: (1, 1), 12: (0.25, 0.5), 17: (0.25, 0.5), 24: (0.15, 0.5)},
    "stretched mouth": {20: (1, 1), 25: (0.6, 0.7), 26: (0.2, 0.5)},
    "sucked lips": {28: (1, 1), 26: (0.2, 0.3)},
    "open mouth": {25: (1, 1), 26: (0.6, 0.9)},
    "squint": {7: (1, 1), 6: (0.4, 0.6), 4: (0.3, 0.5)},
    "wide eyes": {5: (1, 1), 1: (0.2, 0.5), 2: (0.2, 0.5)},
}  # fmt: skip

EXCLUSIONS = ((23, 25), (24, 25), (28, 25), (23, 26), (24, 26), (28, 23), (28, 24), (12, 15), (28, 12), (28, 10))
EXCLUSIONS += ((5, 7), (5, 45), (5, 6), (20, 23), (20, 24), (28, 17), (9, 2))
"""The stronger of the two lets little of the weaker through."""


@dataclass(frozen=True)
class Stream:
    """One succession of displays; a person may show two at once, one with the mouth and one with the brows.

    Attributes:
        displays: name -> how often relative to the others.
        calm: median seconds between displays. apex: median seconds that one lasts at its height.
    """

    displays: dict[str, float]
    calm: float
    apex: float


@dataclass(frozen=True)
class Style:
    """How people behave in one kind of video.

    Attributes:
        streams: what runs at the same time.
        single: share of displays made of one or two AUs drawn at random, so that no AU is only seen in company.
        speech: share of people who speak.
    """

    streams: tuple[Stream, ...]
    single: float
    speech: float


_EVERYTHING = {
    "smile": 3.0, "laughter": 1.2, "brow raise": 1.4, "frown": 1.8, "concern": 0.7, "sadness": 1.4, "surprise": 0.9,
    "fear": 0.5, "disgust": 1.5, "sneer": 1.0, "anger": 1.0, "pain": 0.5, "pressed lips": 1.0, "tight lips": 1.3,
    "pout": 1.2, "dimples": 1.5, "stretched mouth": 1.3, "sucked lips": 1.5, "open mouth": 1.0, "squint": 0.9,
    "wide eyes": 1.0,
}  # fmt: skip

STYLES: dict[str, Style] = {
    # Tasks with an interviewer, as BP4D has them: people talk and smile nearly all the time.
    "conversation": Style(
        (
            Stream(
                {
                    "talking smile": 8.0, "laughter": 1.5, "sneer": 1.0, "disgust": 0.6, "pain": 0.8, "surprise": 0.3,
                    "fear": 0.15,
                },
                calm=0.5,
                apex=4.0,
            ),
            Stream(
                {
                    "dimples": 4.5, "pout": 2.6, "pressed lips": 1.6, "tight lips": 2.6, "sadness": 2.2,
                    "stretched mouth": 0.3, "sucked lips": 0.3,
                },
                calm=0.5,
                apex=2.4,
            ),
            Stream({"brow raise": 2.2, "frown": 0.9, "concern": 0.4, "squint": 3.0, "wide eyes": 0.3}, 1.8, 1.6),
        ),
        single=0.12,
        speech=0.4,
    ),
    # Someone who watches films alone, as in DISFA: long calm, few AUs at a time.
    "watching": Style(
        (
            Stream(
                {
                    "smile": 4.0, "laughter": 2.2, "frown": 3.6, "brow raise": 0.5, "concern": 0.4, "sadness": 0.8,
                    "surprise": 0.4, "fear": 0.4, "disgust": 1.3, "pout": 0.8, "dimples": 0.6, "open mouth": 4.5,
                    "pressed lips": 0.4, "tight lips": 0.4, "stretched mouth": 0.3, "sucked lips": 0.3, "squint": 0.2,
                    "wide eyes": 0.2,
                },
                calm=0.9,
                apex=2.4,
            ),
        ),
        single=0.12,
        speech=0.2,
    ),
    # Someone who shows one face after the other.
    "posing": Style((Stream(_EVERYTHING, calm=0.6, apex=1.4),), single=0.3, speech=0.3),
}  # fmt: skip

POSITIVE_RATES: dict[str, dict[int, float]] = {
    "conversation": dict(
        zip((1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24),
            (0.21, 0.17, 0.20, 0.46, 0.55, 0.59, 0.56, 0.47, 0.17, 0.34, 0.17, 0.15), strict=True)
    ),
    "watching": dict(
        zip((1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26),
            (0.067, 0.056, 0.188, 0.021, 0.149, 0.054, 0.236, 0.060, 0.099, 0.035, 0.352, 0.191), strict=True)
    ),
}  # fmt: skip
"""Share of frames in which an AU is present (from intensity 1 on), as reported for BP4D and for DISFA."""
