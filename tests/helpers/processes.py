"""Trainings in processes of their own, one or several that work together, which can be killed like any others."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any


def learn(content: dict) -> None:
    """Trains by the content of a config."""
    from au_d3dface.training.arguments import parse
    from au_d3dface.training.loop import train

    train(parse(content))


def start(
    content: Any, processes: int = 1, work: Callable[[Any], None] = learn, **environment: str
) -> list[BaseProcess]:
    """Does some work, with its argument, in each. They are forked: importing takes longer than these trainings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    started = []
    for rank in range(processes):
        variables: dict[str, str] = {}
        if processes > 1:
            variables |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            variables |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        variables |= environment
        process = get_context("fork").Process(target=_work, args=(work, content, variables))
        process.start()
        started.append(process)
    return started


def run(content: dict, processes: int = 1, **environment: str) -> Path:
    """Trains to the end; returns the folder of the output."""
    wait(start(content, processes, **environment))
    return Path(content["training"]["output"])


def wait(started: list[BaseProcess], seconds: float = 120) -> None:
    for process in started:
        process.join(seconds)
        assert process.exitcode == 0


def kill_when(started: list[BaseProcess], ready: Callable[[], bool], seconds: float = 60) -> None:
    """SIGKILL to all of them as soon as something is so; fails where they end before."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        assert all(process.is_alive() for process in started)
        time.sleep(0.005)
    for process in started:
        os.kill(process.pid, signal.SIGKILL)
    for process in started:
        process.join()
        assert process.exitcode == -signal.SIGKILL


def _work(work: Callable[[Any], None], content: Any, variables: dict[str, str]) -> None:
    import torch
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # else all share one, which a process that is killed takes along for ever
    os.environ.update(variables)
    AcceleratorState._reset_state(reset_partial_state=True)  # what this process has inherited
    GradientState._reset_state()
    PartialState._reset_state()
    torch.set_num_threads(1)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - progress bars
    work(content)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
