"""Results that travel: scores in the model-index of a model card, with data set, split, date, code and command.

Only `model-index` in the YAML at the head of README.md changes; every other character of the card stays as it is.
"""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from .. import __version__
from ..errors import InputError, OutputError
from ..export.files import atomic_path, check_output_directory

CARD = "README.md"
COMMAND = "au-d3dface evaluate"


@dataclass(frozen=True)
class CardResult:
    """Scores of one split of one data set.

    Attributes:
        dataset: short name, such as `bp4d`. title: for people, such as `BP4D`.
        split: which people or clips, such as `P3`.
        metrics: name for people to type (`f1`, `roc_auc`) and value; those that are None or NaN are left out.
        task: what the network does, for people. task_type: the same in the words of the Hub.
    """

    dataset: str
    title: str
    split: str
    metrics: Mapping[str, tuple[str, float | None]]
    task: str = "Detection of facial action units"
    task_type: str = "video-classification"


def card_path(place: str | Path) -> Path:
    """The card that a folder or a path names.

    Raises:
        InputError: there is none.
    """
    path = Path(place).expanduser()
    card = path / CARD if path.is_dir() else path
    if not card.is_file():
        what = f"{path} holds no model card ({CARD})" if path.is_dir() else f"there is no model card {path}"
        raise InputError(f"{what}; write one first, then give the same command again")
    return card


def check_card(place: str | Path) -> Path:
    """The card that results can be written into, before the long work that they take.

    Raises:
        InputError: there is none, or what is at its head cannot be read. OutputError: its folder cannot be written.
    """
    path = card_path(place)
    _read(path)
    check_output_directory(path.parent)
    return path


def update_card(place: str | Path, results: Sequence[CardResult], command: str) -> Path:
    """Writes results into a card, in place of those of the same evaluation, data set and split that it has.

    Args:
        place: a checkpoint's folder, or its README.md. command: that made them (`plain_command`).

    Returns:
        The card.

    Raises:
        InputError: there is no card, or what is at its head cannot be read.
        OutputError: it cannot be written, or there is no result to write; it is as before then.
    """
    path = card_path(place)
    if not any(_known(result) for result in results):
        raise OutputError(f"there is no score that could be written into {path}")
    content, head, index = _read(path)
    name = index[0]["name"]
    about = {"date": date.today().isoformat(), "commit": code_commit(), "command": command}
    new = eval_results_to_model_index(name, [one for result in results for one in _eval_results(result, about)])
    fresh = new[0]["results"]
    replaced = {_key(result) for result in fresh}
    # What this module did not write is someone else's and stays.
    index[0]["results"] = [
        one for one in index[0]["results"] if (key := _key(one)) is None or key not in replaced
    ] + fresh
    block = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True, width=10**6)
    line_break = "\r\n" if head and "\r\n" in head[0] else "\n"
    block = block.rstrip("\n").replace("\n", line_break)
    if head:
        written = content[: head.start(2)] + _replaced(head[2], block, line_break) + content[head.end(2) :]
    else:
        written = f"---{line_break}{block}{line_break}---{line_break}{line_break}{content}"
    ModelCard(written)  # the library that will read it reads it
    with atomic_path(path) as temporary:
        temporary.write_bytes(written.encode("utf-8"))
    return path


def plain_command(words: Sequence[str] | None = None) -> str:
    """The command line, without this machine's folders: of every path the last part.

    Args:
        words: after the program's name; None for those of this process.
    """
    return " ".join(["au-d3dface", *(_plain(word) for word in (sys.argv[1:] if words is None else words))])


def code_commit() -> str:
    """The commit of the code that runs, where it lies in its own git repository, else the version of the package."""
    folder = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", Path(__file__).name) is None:  # installed, perhaps inside someone else's
        return f"au-d3dface {__version__}"
    return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-modified") or f"au-d3dface {__version__}"


def _read(path: Path) -> tuple[str, re.Match[str] | None, list[dict[str, Any]]]:
    """A card's content, the YAML at its head, and its model-index, which is of one model without results if new."""
    try:
        content = path.read_bytes().decode("utf-8")  # not read_text, which would change the ends of lines
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the model card {path} cannot be read: {error}") from error
    head = REGEX_YAML_BLOCK.search(content)
    try:
        data = yaml.safe_load(head[2]) if head else {}
        data = {} if data is None else data
        if not isinstance(data, dict):
            raise ValueError("it is no list of names and values")
        index = data.get("model-index") or [{"name": _model_name(path), "results": []}]
        model_index_to_eval_results(index)  # says what is wrong with it
        index[0]["name"]
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"the YAML at the head of {path} cannot be read ({said}); correct it first") from error
    return content, head, index


def _known(result: CardResult) -> dict[str, tuple[str, float]]:
    """The metrics that have a value."""
    return {
        name: (kind, value) for name, (kind, value) in result.metrics.items() if value is not None and value == value
    }


def _eval_results(result: CardResult, about: dict[str, str]) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=result.task_type,
            task_name=result.task,
            dataset_type=result.dataset,
            dataset_name=result.title,
            dataset_split=result.split,
            dataset_args=about,
            metric_type=kind,
            metric_name=name,
            metric_value=round(float(value), 4),
        )
        for name, (kind, value) in _known(result).items()
    ]


def _key(result: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Data set, split and evaluation, such as `bp4d`; None where this module did not write the result."""
    given = result["dataset"].get("args")
    words = str(given.get("command", "")).split() if isinstance(given, dict) else []
    if words[:2] != COMMAND.split():
        return None
    return result["dataset"]["type"], result["dataset"].get("split"), *words[2:3]


def _replaced(head: str, block: str, line_break: str) -> str:
    """The YAML with its `model-index` replaced, or put at the end; all other lines as they are."""
    lines = head.splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith(("model-index:", '"model-index"'))), None)
    if start is None:
        return head.rstrip("\r\n") + line_break + block
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t-"):
        end += 1
    return line_break.join([*lines[:start], *block.splitlines(), *lines[end:]])


def _model_name(path: Path) -> str:
    folder = path.resolve().parent
    return folder.parent.name if folder.name in ("model", "best") and folder.parent.name else folder.name


def _plain(word: str) -> str:
    name, equals, value = word.rpartition("=")
    last = PureWindowsPath(value).name or value  # knows both kinds of slash
    if "/" in name or "\\" in name:
        return PureWindowsPath(word).name
    return name + equals + last
