"""Results that travel: scores in the model-index of a model card, with data set, split, date, code and command.

Only `model-index` in the YAML at the head of README.md changes; every other character of the card stays as it is.
"""

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
from ..export.files import atomic_path

CARD = "README.md"
TASK = "video-classification"
COMMAND = "au-d3dface evaluate"


@dataclass(frozen=True)
class CardResult:
    """Scores of one split of one data set.

    Attributes:
        dataset: short name, such as `bp4d`. title: for people, such as `BP4D`.
        split: which people or clips, such as `P3`.
        metrics: name for people to type (`f1`, `roc_auc`) and value; those that are None or NaN are left out.
        task: what the network does, for people.
    """

    dataset: str
    title: str
    split: str
    metrics: Mapping[str, tuple[str, float | None]]
    task: str = "Detection of facial action units"


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


def update_card(place: str | Path, results: Sequence[CardResult], command: str) -> Path:
    """Writes results into a card, in place of those of the same command, data set and split that it has.

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
        name = index[0]["name"]
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"the YAML at the head of {path} cannot be read ({said}); correct it first") from error
    about = {"date": date.today().isoformat(), "commit": code_commit(), "command": command}
    new = eval_results_to_model_index(name, [one for result in results for one in _eval_results(result, about)])
    fresh = new[0]["results"]
    replaced = {_key(result) for result in fresh}
    index[0]["results"] = [one for one in index[0]["results"] if _key(one) not in replaced or not _is_ours(one)] + fresh
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


def _known(result: CardResult) -> dict[str, tuple[str, float]]:
    """The metrics that have a value."""
    return {
        name: (kind, value) for name, (kind, value) in result.metrics.items() if value is not None and value == value
    }


def _eval_results(result: CardResult, about: dict[str, str]) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=TASK,
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


def _key(result: Mapping[str, Any]) -> tuple[Any, Any]:
    return result["dataset"]["type"], result["dataset"].get("split")


def _is_ours(result: Mapping[str, Any]) -> bool:
    """Whether this module wrote the result; the rest is someone else's and stays."""
    given = result["dataset"].get("args")
    return isinstance(given, dict) and str(given.get("command", "")).startswith(COMMAND)


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
