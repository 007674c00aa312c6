"""Reading video, pictures and folders of pictures; writing video; resampling between frame rates by time."""

from .reading import Frame, VideoReader
from .resampling import sample_frames, spread_samples
from .selection import SelectedFrames
from .writing import VideoWriter

__all__ = ["Frame", "SelectedFrames", "VideoReader", "VideoWriter", "sample_frames", "spread_samples"]
