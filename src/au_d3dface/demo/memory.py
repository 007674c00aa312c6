"""Giving memory back to the system between videos, where the C library is glibc.

A job's large arrays come and go in many threads (MediaPipe's, torch's, its own), and glibc keeps what they free:
nothing is held, but a server's memory creeps up from video to video with holes that no later array fits into.
"""

import ctypes
import gc
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20
"""Bytes from which an array gets pages of its own, which go back to the system as it is freed."""


def keep_large_arrays_apart() -> None:
    """For the whole process; glibc would else raise the bound by itself to 32 MB, as large arrays are freed."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Collects what hangs together in circles (figures, trackers), and gives all free pages back."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
