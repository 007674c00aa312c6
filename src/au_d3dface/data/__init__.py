"""Datasets: synthetic sequences here; BP4D, DISFA and Multiface are read from the user's own copies."""

from .collator import collate_clips
from .loading import benchmark_positive_rates, load_benchmark, load_synthetic, true_vertices

__all__ = ["benchmark_positive_rates", "collate_clips", "load_benchmark", "load_synthetic", "true_vertices"]
