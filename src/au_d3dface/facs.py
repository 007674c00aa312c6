"""The facial action units (AUs) of FACS that the project knows: number, name, muscle, region, benchmarks.

Names and muscles follow the Facial Action Coding System manual (Ekman, Friesen and Hager, 2002) as commonly tabulated.
An AU is written as its number everywhere in Python (`12`) and as `AU12`, two digits at least (`AU01`), in files.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ActionUnit:
    """One action unit.

    `region` names, in plain words, the part of the face that moves; `blendshapes` are the stems of the ICT-FaceKit /
    ARKit shapes nearest to it (left and right halves are told apart by the suffixes `_L` and `_R` where they exist).
    """

    number: int
    name: str
    muscle: str
    region: str
    blendshapes: tuple[str, ...]

    @property
    def label(self) -> str:
        """`AU01` for AU 1: the spelling used in files and in `id2label`."""
        return f"AU{self.number:02d}"


ACTION_UNITS: dict[int, ActionUnit] = {
    au.number: au
    for au in (
        ActionUnit(1, "inner brow raiser", "frontalis, medial part", "inner brows, central forehead", ("browInnerUp",)),
        ActionUnit(
            2, "outer brow raiser", "frontalis, lateral part", "outer brows, lateral forehead", ("browOuterUp",)
        ),
        ActionUnit(
            4,
            "brow lowerer",
            "corrugator supercilii, depressor supercilii, procerus",
            "brows, between the brows",
            ("browDown",),
        ),
        ActionUnit(5, "upper lid raiser", "levator palpebrae superioris", "upper lids", ("eyeWide",)),
        ActionUnit(
            6,
            "cheek raiser",
            "orbicularis oculi, orbital part",
            "cheeks below the eyes, crow's feet",
            ("cheekSquint", "cheekRaiser"),
        ),
        ActionUnit(7, "lid tightener", "orbicularis oculi, palpebral part", "lids", ("eyeSquint",)),
        ActionUnit(9, "nose wrinkler", "levator labii superioris alaeque nasi", "nose root and sides", ("noseSneer",)),
        ActionUnit(
            10, "upper lip raiser", "levator labii superioris", "upper lip, nasolabial folds", ("mouthUpperUp",)
        ),
        ActionUnit(12, "lip corner puller", "zygomaticus major", "lip corners, cheeks", ("mouthSmile",)),
        ActionUnit(14, "dimpler", "buccinator", "lip corners", ("mouthDimple",)),
        ActionUnit(
            15, "lip corner depressor", "depressor anguli oris", "lip corners, down to the jaw", ("mouthFrown",)
        ),
        ActionUnit(17, "chin raiser", "mentalis", "chin boss, lower lip", ("mouthShrugLower",)),
        ActionUnit(20, "lip stretcher", "risorius with platysma", "lip corners, lateral cheeks", ("mouthStretch",)),
        ActionUnit(23, "lip tightener", "orbicularis oris", "both lips", ("mouthPress", "mouthRoll")),
        ActionUnit(24, "lip pressor", "orbicularis oris", "both lips", ("mouthPress",)),
        ActionUnit(
            25,
            "lips part",
            "depressor labii inferioris, or mentalis and orbicularis oris relaxed",
            "lips, inner margin",
            ("mouthLowerDown", "mouthUpperUp"),
        ),
        ActionUnit(
            26,
            "jaw drop",
            "masseter, temporalis and internal pterygoid relaxed",
            "lower lip, chin, jaw",
            ("jawOpen",),
        ),
        ActionUnit(28, "lip suck", "orbicularis oris", "both lips", ("mouthRollLower", "mouthRollUpper")),
        ActionUnit(45, "blink", "orbicularis oculi, levator palpebrae relaxed", "lids", ("eyeBlink",)),
    )
}

BP4D = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""The 12 AUs that papers score on BP4D, in their usual order."""

DISFA = (1, 2, 4, 6, 9, 12, 25, 26)
"""The 8 AUs that papers score on DISFA, in their usual order."""

ALL = tuple(ACTION_UNITS)
"""Every AU above, in order: what the bundled checkpoint reads."""


def label(number: int) -> str:
    """`AU01` for 1. Unknown numbers are spelled the same way: a user's own data may hold other AUs."""
    return f"AU{int(number):02d}"


def parse(text: str) -> int:
    """The number of an AU spelled `12`, `AU12`, `AU01` or `au1`.

    Raises:
        ValueError: the text is none of these.
    """
    digits = text.strip().upper().removeprefix("AU")
    if not digits.isdigit():
        raise ValueError(f"{text!r} is not an action unit; write it as 12 or AU12")
    return int(digits)
