"""Files made from FaceSequences: csv, npz, obj, animated glb, overlay video, timeline plot, summary."""

from .files import check_output_directory
from .formats import DEFAULT_FORMATS, FORMATS, parse_formats
from .outputs import save_sequence, write_outputs

__all__ = ["DEFAULT_FORMATS", "FORMATS", "check_output_directory", "parse_formats", "save_sequence", "write_outputs"]
