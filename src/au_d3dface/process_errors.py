"""Errors of processes that a launcher has started together: one sentence for what all of them have alike.

Every process says what ends it where the others see it, in the store that torchrun and `accelerate launch` keep for
their processes and that outlives each of them. No process waits for all others, as a collective call would: of an error
that one alone has, the others know nothing, and would never come.

With another launcher, which keeps no such store, every process prints its sentence.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

PATIENCE = 10.0
"""Seconds that another process waits for the main one to say the same; then it says it itself."""

_CONNECT = timedelta(seconds=10)
_SAID, _ENDED = "said", "ended"  # keys: the main process's sentence, the exit status of the first that ended
_TORN = ("gloo", "peer", "socket", "nccl")


def tell(sentence: str, status: int) -> None:
    """Prints the sentence of an error that ends this process, unless the main process has the same one.

    Args:
        status: with which this process will exit.
    """
    store = _store()
    if store is not None and _rank() != 0 and _by_main(store, sentence, status):
        return
    print(sentence, file=sys.stderr, flush=True)
    if store is not None and _rank() == 0:
        _ignoring_its_end(lambda: (store.set(_SAID, sentence), store.compare_set(_ENDED, "", str(status))))


def ended_by_another(error: RuntimeError) -> int | None:
    """The exit status with which another process has ended for its own reason, where this one failed for that alone.

    Args:
        error: of this one. Only what torch says of lost connections counts.
    """
    store = _store()
    if store is None or not any(word in str(error).lower() for word in _TORN):
        return None
    return _ignoring_its_end(lambda: int(store.get(_ENDED)) if store.check([_ENDED]) else None)


def _by_main(store: Any, sentence: str, status: int) -> bool:
    """Whether the main process says the same, in time."""

    def said() -> bool:
        until = time.monotonic() + PATIENCE
        with _terminations() as asked:
            store.compare_set(_ENDED, "", str(status))
            while not store.check([_SAID]):
                if asked or time.monotonic() > until:
                    return False
                time.sleep(0.05)
        return store.get(_SAID) == sentence.encode()

    return bool(_ignoring_its_end(said))


@contextmanager
def _terminations() -> Iterator[list[int]]:
    """Signals that ask this process to end, while it is ending: the launcher ends the others as soon as one has."""
    asked: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)


def _ignoring_its_end(work: Callable[[], Any]) -> Any:
    """What the work gives; None where the store has gone, with the launcher."""
    try:
        return work()
    except RuntimeError:
        return None


def _rank() -> int:
    return int(os.environ["RANK"])


def _store() -> Any:
    """The launcher's store, a torch.distributed.Store; None for a process alone, or of a launcher without one."""
    said = os.environ
    if said.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or said.get("WORLD_SIZE", "1") == "1":
        return None
    from torch.distributed import PrefixStore, TCPStore

    try:
        _rank()
        port = int(said["MASTER_PORT"])
        store = TCPStore(said["MASTER_ADDR"], port, is_master=False, wait_for_workers=False, timeout=_CONNECT)
    except (KeyError, ValueError, RuntimeError):  # no launcher after all, or it has gone
        return None
    # A launcher that starts its processes again keeps the store.
    return PrefixStore(f"au_d3dface/{said.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
