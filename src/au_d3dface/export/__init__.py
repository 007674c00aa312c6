"""Files made from FaceSequences: csv, npz, obj, animated glb, texture, overlay and rendered video, timeline,
summary."""

from .files import check_output_directory
from .formats import DEFAULT_FORMATS, FORMATS, NEED_APPEARANCE, parse_formats
from .outputs import save_sequence, write_outputs

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "NEED_APPEARANCE",
    "check_output_directory",
    "parse_formats",
    "save_sequence",
    "write_outputs",
]
