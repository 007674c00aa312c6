"""The output formats by name. Nothing heavy is imported here: a mistyped name is refused at once."""

from collections.abc import Sequence

from ..errors import UsageError

FORMATS = {
    "csv": "action_units.csv: action units, head pose and confidence, one row a frame and face",
    "npz": "sequence.npz: all arrays for numpy; numbered parts for long videos",
    "obj": "meshes/000001.obj and so on: one mesh a frame",
    "glb": "face.glb: the animated face, for browsers and Blender",
    "texture": "texture.png: the person's skin colours without the light, over the face model's uv",
    "arkit": "arkit.csv: the 52 ARKit curves, where the face model carries those shapes",
    "strip": "strip.png: frames of the video side by side, with the meshes and their motion below",
    "timeline": "timeline.png: the action units over time",
    "overlay": "overlay.mp4: the video with meshes and active action units drawn on it",
    "render": "render.mp4: the video beside the rendered face, with the person's texture and the light of each frame",
    "summary": "summary.json: input, checkpoint, versions, settings, counts, warnings, seconds; always written",
}
"""Name of each format and what it writes, in the order in which they are written."""

DEFAULT_FORMATS = ("csv", "npz", "glb", "timeline", "overlay")
"""What is written where nothing else is asked for; the summary comes with any of them."""

NEED_APPEARANCE = ("texture", "render")
"""What can be written only where the appearance was estimated."""


def parse_formats(formats: str | Sequence[str] | None) -> tuple[str, ...]:
    """The formats named in `"csv,glb"` or `["csv", "glb"]`, each once, in the order of `FORMATS`; None: the default.

    Raises:
        UsageError: an unknown name, no name at all, or `arkit`: no face model of this version carries those shapes.
    """
    if formats is None:
        return DEFAULT_FORMATS
    names = [name.strip().lower() for name in (formats.split(",") if isinstance(formats, str) else formats)]
    names = [name for name in names if name]
    known = ", ".join(FORMATS)
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}; the formats are {known}")
    if not names:
        raise UsageError(f"no format is named; the formats are {known}")
    if "arkit" in names:
        raise UsageError(
            "arkit.csv needs a face model that carries the 52 ARKit shapes, and facemesh does not; leave out 'arkit'"
        )
    return tuple(name for name in FORMATS if name in names)
