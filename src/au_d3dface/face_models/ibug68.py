"""The iBUG 68 landmarks, and the inner lips, among the 468 points of MediaPipe's face mesh."""

_CONTOUR = (127, 234, 132, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 361, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 98, 97, 2, 326, 327)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91)
_INNER_LIPS = (78, 81, 13, 311, 308, 402, 14, 178)

IBUG_68_OF_468: tuple[int, ...] = _CONTOUR + _BROWS + _NOSE + _EYES + _OUTER_LIPS + _INNER_LIPS
"""For each of the 68 points, in the mark-up's order, the nearest of the 468 (the same as `tracking.topology` gives)."""

INNER_LIPS = {
    "upper": (191, 80, 81, 82, 13, 312, 311, 310, 415),
    "lower": (95, 88, 178, 87, 14, 317, 402, 318, 324),
}
"""Of the 468, those along the inner edges of the lips, without the corners of the mouth."""
