"""`au-d3dface demo`: what is refused, and how."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from au_d3dface.cli import main


def test_without_gradio_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo"]) == 7
    assert "pip install 'au-d3dface[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--port", "70000"], 2, "between 1 and 65535"),
        (["--max-seconds", "0"], 2, "above 0"),
        (["--max-seconds", "nan"], 2, "above 0"),
        (["--model", "/nowhere/model"], 6, "/nowhere/model"),
        (["--device", "abacus"], 2, "abacus"),
    ],
)
def test_mistakes_are_told_before_the_page_is_served(arguments, status, words, capsys):
    pytest.importorskip("gradio")
    assert main(["demo", *arguments]) == status
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_port_that_is_taken(capsys):
    pytest.importorskip("gradio")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    assert str(port) in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupt_ends_it_and_deletes_every_file(tmp_path):
    pytest.importorskip("gradio")
    process = subprocess.Popen(
        [sys.executable, "-m", "au_d3dface.cli", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    try:
        assert "http://127.0.0.1:" in process.stdout.readline()
        assert list(tmp_path.glob("au-d3dface-demo-*"))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not list(tmp_path.glob("au-d3dface-demo-*"))
