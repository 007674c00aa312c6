"""Interrupts that a library swallows are not lost; NAME=PATH options."""

import os
import signal
import time
from pathlib import Path

import pytest

from au_d3dface.command_line import Interrupts, ProgressBar, named_paths
from au_d3dface.errors import UsageError


def work(number):
    """A stage in which an interrupt arrives and is swallowed, as by an import that is tried; then the next one."""
    with Interrupts(), ProgressBar(quiet=True) as progress:
        progress("export", 0, None)
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
            raise AssertionError("no interrupt arrived")
        except KeyboardInterrupt:
            pass
        progress("export", 1, None)
        raise AssertionError("work went on")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_progress(number):
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(KeyboardInterrupt):
        work(number)
    assert {each: signal.getsignal(each) for each in before} == before
    with ProgressBar(quiet=True) as progress:  # the next command is not interrupted by the last one's signal
        progress("export", 0, None)


def test_named_paths():
    assert named_paths(["DECA=a/b", " E = c=d"], "--meshes") == {"DECA": Path("a/b"), "E": Path("c=d")}
    for pairs in (["DECA"], ["=a"], ["DECA="], ["A=b", "A=c"], ["coarse=a"]):
        with pytest.raises(UsageError, match="--meshes"):
            named_paths(pairs, "--meshes", taken=("coarse",))
