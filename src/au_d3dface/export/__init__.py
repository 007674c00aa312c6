"""Files made from FaceSequences: csv, npz, obj, animated glb, ARKit curves, overlay video, timeline plot, summary."""

from .csv import write_csv
from .files import check_output_directory
from .npz import write_npz

__all__ = ["check_output_directory", "write_csv", "write_npz"]
