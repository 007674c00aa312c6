"""Datasets: synthetic sequences here; BP4D, DISFA and Multiface are read from the user's own copies."""

from .collator import collate_clips

__all__ = ["collate_clips"]
