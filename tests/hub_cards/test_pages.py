"""README and the pages and cards in hub_cards/: their links lead somewhere, and their commands and imports exist."""

import argparse
import ast
import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from au_d3dface.errors import AUD3DFaceError
from au_d3dface.hub import shipped

ROOT = Path(__file__).resolve().parents[2]
CARDS, PAGES = ROOT / "hub_cards", ROOT / "hub_cards" / "pages"
DOCUMENTS = {
    str(path.relative_to(ROOT)): path
    for path in (ROOT / "README.md", ROOT / "demo" / "README.md", *sorted(CARDS.rglob("*.md")))
    if path.stem != "model_card_template"  # model_card.md is made of it
}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_INLINE = re.compile(r"`((?:au-d3dface|accelerate|python|torchrun) [^`]+)`", re.DOTALL)
_OUR_PROGRAMS = ("au-d3dface", "accelerate", "torchrun", "python")
_OTHER_PROGRAMS = ("pip", "python3", "hf")


class Parsed(Exception):
    """A command line was understood, and what it asks for is not to be done."""


def prose(text: str) -> str:
    """Without fenced blocks."""
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings: lower case, no punctuation, hyphens for spaces; a second one is numbered."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(text)):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        slug = words.strip().replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def broken_links(text: str, folder: Path) -> list[str]:
    """The relative links of a document, lying in this folder, that lead to no file or no heading."""
    broken = []
    for link in _LINK.findall(prose(text)):
        if re.match(r"https?:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (folder / place).resolve()
        there = target.read_text(encoding="utf-8") if place and target.is_file() and anchor else text
        if not target.exists() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    return broken


def commands_in_blocks(text: str) -> list[list[str]]:
    """The words of every command in the shell blocks of a document, without comments."""
    blocks = "\n".join(block for language, block in _FENCE.findall(text) if language == "sh")
    lines = blocks.replace("\\\n", " ").splitlines()
    return [words for line in lines for part in line.split("&&") if (words := shlex.split(part, comments=True))]


def commands_in_prose(text: str) -> list[list[str]]:
    """The words of every command of ours that a sentence names; often without all that it needs."""
    return [shlex.split(" ".join(command.split())) for command in _INLINE.findall(prose(text))]


def complaint(words: list[str], monkeypatch, whole: bool = True) -> str | None:
    """What the parser of a command says against it; None where it is understood. Nothing of it is run.

    Args:
        whole: whether all that the command needs must be there; if not, only what is there must exist.
    """
    if not whole:
        with monkeypatch.context() as patch:
            _relax(patch)
            return complaint(words, monkeypatch)
    program, *arguments = words[0].removeprefix(".venv/bin/"), *words[1:]
    if program in _OTHER_PROGRAMS:
        return None
    if program not in _OUR_PROGRAMS:
        return f"{program} is no program of this project"
    if program == "accelerate":
        from accelerate.commands.launch import launch_command_parser

        return _launched(launch_command_parser(), arguments[1:], monkeypatch)
    if program == "torchrun":
        from torch.distributed.run import get_args_parser

        return _launched(get_args_parser(), arguments, monkeypatch)
    if program == "python" and arguments[0] != "-m":
        return None if (ROOT / arguments[0]).is_file() else f"there is no {arguments[0]}"
    name, given = ("au_d3dface.cli", arguments) if program == "au-d3dface" else (arguments[1], arguments[2:])
    return None if name in ("pytest", "venv") else _understood(name, given, monkeypatch)


def _relax(patch) -> None:
    """Lets argparse ask for nothing."""
    original = argparse.ArgumentParser.parse_known_args

    def parse_known_args(parser, args=None, namespace=None):
        for action in parser._actions:
            action.required = False
        return original(parser, args, namespace)

    patch.setattr(argparse.ArgumentParser, "parse_known_args", parse_known_args)


def _launched(parser: argparse.ArgumentParser, arguments: list[str], monkeypatch) -> str | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = parser.parse_args(arguments)
    except SystemExit:
        return said.getvalue()
    return _understood(options.training_script, options.training_script_args, monkeypatch)


def _understood(name: str, arguments: list[str], monkeypatch) -> str | None:
    module = importlib.import_module(name)
    if not hasattr(module, "main"):
        module = importlib.import_module(f"{name}.__main__")
    original = argparse.ArgumentParser.parse_args

    def parse_only(parser, args=None, namespace=None):
        original(parser, args, namespace)
        raise Parsed

    said = io.StringIO()
    with monkeypatch.context() as patch, contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        if name == "au_d3dface.training.feedback_gap":  # reads its checkpoint first: the options are the training's
            name, arguments = "au_d3dface.training", arguments[1:]
            module = importlib.import_module("au_d3dface.training.__main__")
        elif name == "au_d3dface.training.table4":  # makes its data first; what it does not know goes to the training
            patch.setattr(module, "run", _table4_run)
        try:
            status = module.main(arguments)
        except Parsed:
            return None
        except SystemExit as stop:
            return None if stop.code == 0 else said.getvalue().splitlines()[-1]  # 0 is --help
        except AUD3DFaceError as error:
            return str(error)
    return said.getvalue().splitlines()[-1] if status else f"{name} never parsed its options"


def _table4_run(rendered, held_out, output, seeds, model, more):
    from au_d3dface.training.arguments import read_arguments

    read_arguments(more)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    assert broken_links(DOCUMENTS[name].read_text(encoding="utf-8"), DOCUMENTS[name].parent) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# Two words, and `code`\n## Twice\n## Twice\n")
    good = "# Here\n[a](other.md#two-words-and-code) [b](other.md#twice-1) [c](#here) [d](https://x.org/y)\n"
    assert broken_links(good, tmp_path) == []
    bad = "[a](gone.png) [b](other.md#thrice) [c](#there) ![d](gone/e.jpg) [e](gone.md#f)\n```sh\n# there\n```\n"
    assert broken_links(bad, tmp_path) == ["gone.png", "other.md#thrice", "#there", "gone/e.jpg", "gone.md#f"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_are_understood(name, monkeypatch):
    pytest.importorskip("accelerate")
    text = DOCUMENTS[name].read_text(encoding="utf-8")
    said = {shlex.join(words): complaint(words, monkeypatch) for words in commands_in_blocks(text)}
    said |= {shlex.join(words): complaint(words, monkeypatch, False) for words in commands_in_prose(text)}
    assert {command: words for command, words in said.items() if words} == {}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("au-d3dface reconstruct sample", "arguments are required: -o"),
        ("au-d3dface reconstruct sample -o out --formats csv,npz --outlook out", "--outlook"),
        ("au-d3dface evaluate everything", "invalid choice"),
        ("python -m au_d3dface.training --config default --learning-pace 1", "--learning-pace"),
        ("accelerate launch --processes 4 -m au_d3dface.training", "--processes"),
        ("accelerate launch -m au_d3dface.training.folds --epoch-count 2", "--epoch-count"),
        ("torchrun --nproc-per-node 2 -m au_d3dface.cli prepare a -o b --outlook c", "--outlook"),
        ("python -m au_d3dface.training.table4 --rendered a --rendered-held-out b --output c --pace 1", "--pace"),
        ("python -m au_d3dface.training.feedback_gap model --pace 1", "--pace"),
        ("python tests/benchmarks/gone.py", "there is no"),
        ("au-d3d-face demo", "no program"),
    ],
)
def test_commands_that_do_not_exist_are_found(command, said, monkeypatch):
    pytest.importorskip("accelerate")
    assert said in complaint(shlex.split(command), monkeypatch)


def test_commands_in_prose_may_lack_what_they_need(monkeypatch):
    assert complaint(["au-d3dface", "reconstruct"], monkeypatch, False) is None
    assert "--outlook" in complaint(["au-d3dface", "reconstruct", "--outlook", "x"], monkeypatch, False)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_python_compiles_and_its_imports_exist(name):
    text = DOCUMENTS[name].read_text(encoding="utf-8")
    for language, block in _FENCE.findall(text):
        for node in ast.walk(ast.parse(block)) if language == "python" else ():
            if isinstance(node, ast.ImportFrom) and node.module.startswith("au_d3dface"):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_readme_leads_to_every_page_and_card():
    links = set(_LINK.findall(DOCUMENTS["README.md"].read_text(encoding="utf-8")))
    pages = {str(path.relative_to(ROOT)) for path in PAGES.glob("*.md")}
    cards = {f"hub_cards/{name}.md" for name in (*shipped.CARDS, "model_card")}
    assert pages | cards <= links
    for page in PAGES.glob("*.md"):  # and every page back
        assert page.read_text(encoding="utf-8").startswith("[au-d3dface](../../README.md) / ")


def test_only_cards_lie_beside_the_cards():
    """What `push cards` and the wheel take is named card by card; pages have a folder of their own."""
    assert {path.stem for path in CARDS.glob("*.md")} == {*shipped.CARDS, "model_card", "model_card_template"}


def test_cards_travel_alone():
    """On the Hub nothing lies beside them but the model card's picture."""
    for name in (*shipped.CARDS, "model_card"):
        links = _LINK.findall(prose((CARDS / f"{name}.md").read_text(encoding="utf-8")))
        assert {link for link in links if not link.startswith("https://")} <= {"pictures/failures.jpg"}
