"""Datasets: synthetic sequences here; BP4D, DISFA and Multiface are read from the user's own copies."""

from .collator import collate_clips
from .loading import load_synthetic, true_vertices

__all__ = ["collate_clips", "load_synthetic", "true_vertices"]
