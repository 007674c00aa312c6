"""`au-d3dface demo`: what is refused, and how."""

import socket
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
