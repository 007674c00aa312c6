"""Two real processes that fail: alike, one alone, one because the other has, and each in its own way."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest
import torch
import yaml
from processes import start
from small_trainings import settings
from torch.distributed import TCPStore

from au_d3dface import cli, process_errors
from au_d3dface.command_line import exit_status
from au_d3dface.errors import InputError, OutputError
from au_d3dface.training.__main__ import main

pytest.importorskip("accelerate")


@pytest.fixture
def launcher():
    """The environment that torchrun gives, and the store that it keeps, which the processes use for their group too."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))
    yield {
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "MASTER_PORT": str(store.port),
    }
    del store


def failing(launcher, folder, work, content=None, then=lambda started: None) -> tuple[list[int], list[str]]:
    """Exit statuses of two processes that do this, and the lines that each has said."""

    def loud(given) -> None:
        rank = int(os.environ["RANK"])
        sys.stderr = (folder / f"said{rank}.txt").open("w")
        sys.exit(work(rank, given))

    started = start(content, 2, loud, **launcher)
    then(started)
    for process in started:
        process.join(60)
        assert process.exitcode is not None, "it hangs"
    said = [(folder / f"said{rank}.txt").read_text().splitlines() for rank in range(2)]
    return [process.exitcode for process in started], said


def command(rank: int, work) -> int:
    return exit_status(lambda: work(rank), "")


def grouped() -> None:
    torch.distributed.init_process_group("gloo")
    torch.distributed.barrier()


@pytest.mark.parametrize(
    ("content", "options", "status", "sentence"),
    [
        ({"training": {"epochs": -3}}, [], 2, "training.epochs must be at least 1, not -3"),
        ({"training": {"epoch": 3}}, [], 2, "epoch"),
        (
            {},
            ["--epoch-number", "3"],
            2,
            "arguments: --epoch-number 3; python -m au_d3dface.training --help",
        ),
        ({}, ["--config", "nowhere.yaml"], 4, "nowhere.yaml"),
        ({"data": {"dataset": "bp4d", "data_dir": "nowhere", "prepared": "nowhere", "tested": "P3"}}, [], 4, "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_of_two_processes(launcher, tmp_path, content, options, status, sentence):
    config = tmp_path / "config.yaml"
    content.setdefault("training", {})["output"] = str(tmp_path / "out")
    config.write_text(yaml.safe_dump(content))
    statuses, said = failing(launcher, tmp_path, lambda rank, given: main(["--config", str(config), *options]))
    assert statuses == [status, status]
    assert len(said[0]) == 1
    assert sentence in said[0][0]
    assert said[1] == []


def test_commands_that_share_their_work_say_it_once_too(launcher, tmp_path):
    words = ["prepare", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out"), "--quiet"]
    statuses, said = failing(launcher, tmp_path, lambda rank, given: cli.main(words))
    assert statuses == [4, 4]
    assert [len(lines) for lines in said] == [1, 0]
    assert "nowhere" in said[0][0]


def test_what_the_main_process_alone_finds_ends_the_other_quietly(launcher, tmp_path):
    """It makes the data first, while the other waits for it in the group, which then is torn."""
    content = settings(tmp_path / "run", tmp_path / "pool", data={"rendered": str(tmp_path / "nowhere")})
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content))
    statuses, said = failing(launcher, tmp_path, lambda rank, given: main(["--config", str(config)]))
    assert statuses == [4, 4]
    assert [len(lines) for lines in said] == [1, 0]
    assert "nowhere" in said[0][0]


def test_what_another_process_alone_finds_is_said(launcher, tmp_path, monkeypatch):
    """The main one waits for it in the group, has nothing to say, and does not hang."""
    monkeypatch.setattr(process_errors, "PATIENCE", 0.5)

    def work(rank: int) -> None:
        grouped()
        if rank == 1:
            raise InputError("the file on this machine is damaged")
        torch.distributed.barrier()

    statuses, said = failing(launcher, tmp_path, command, work)
    assert statuses == [4, 4]
    assert said == [[], ["au-d3dface: the file on this machine is damaged"]]


def test_unlike_errors_are_both_said(launcher, tmp_path):
    def work(rank: int) -> None:
        raise (InputError, OutputError)[rank](f"file {rank}")

    statuses, said = failing(launcher, tmp_path, command, work)
    assert statuses == [4, 5]
    assert said == [["au-d3dface: file 0"], ["au-d3dface: file 1"]]


def test_no_error_is_lost_when_the_launcher_ends_the_process(launcher, tmp_path):
    """SIGTERM comes while it waits for the main process, which has no error."""

    def work(rank: int) -> None:
        if rank == 1:
            raise InputError("mine alone")

    def end(started) -> None:
        started[0].join(60)
        TCPStore("127.0.0.1", int(launcher["MASTER_PORT"])).wait(["au_d3dface/0/ended"])
        os.kill(started[1].pid, signal.SIGTERM)

    began = time.monotonic()
    statuses, said = failing(launcher, tmp_path, command, work, end)
    assert time.monotonic() - began < process_errors.PATIENCE
    assert statuses == [0, 4]
    assert said == [[], ["au-d3dface: mine alone"]]


def test_without_the_launchers_store_everyone_says_it(tmp_path):
    def work(rank: int) -> None:
        raise InputError("the same")

    statuses, said = failing({}, tmp_path, command, work)
    assert statuses == [4, 4]
    assert said == 2 * [["au-d3dface: the same"]]


def test_other_errors_are_no_ones_fault(launcher, tmp_path):
    """A defect keeps its traceback, though another process has ended with a sentence."""

    def work(rank: int) -> None:
        if rank == 0:
            raise InputError("a file")
        time.sleep(1)
        raise RuntimeError("a defect")

    statuses, said = failing(launcher, tmp_path, command, work)
    assert statuses == [4, 1]
    assert said[0] == ["au-d3dface: a file"]
    assert said[1][-1] == "RuntimeError: a defect"


@pytest.mark.slow
def test_torchrun_shows_one_sentence(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"training": {"output": str(tmp_path / "run"), "epochs": -3}}))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "au_d3dface.training", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count("training.epochs must be at least 1, not -3") == 1
