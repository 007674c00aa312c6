"""Frozen per-frame coarse reconstructors behind one interface: landmark fitting (default), DECA, EMOCA."""

from .base import CoarseReconstructor, CoarseSequence

__all__ = ["CoarseReconstructor", "CoarseSequence"]
