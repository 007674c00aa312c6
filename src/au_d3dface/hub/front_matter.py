"""The YAML at the top of a card: read, merged with somebody's own, and its model-index read as results."""

import re
from typing import Any

import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

from ..errors import InputError

_BLOCK = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def split(card: str, where: str) -> tuple[dict[str, Any], str]:
    """Front matter and words of a card; no front matter is an empty one.

    Raises:
        InputError: the front matter is not YAML, or holds no names and values.
    """
    found = _BLOCK.match(card)
    if not found:
        return {}, card
    try:
        front = yaml.safe_load(found[1]) or {}
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the front matter of {where} is not YAML ({reason}); correct it or take it away") from error
    if not isinstance(front, dict):
        raise InputError(f"the front matter of {where} holds no names and values; correct it or take it away")
    return front, card[found.end() :]


def join(front: dict[str, Any], words: str) -> str:
    """A card."""
    block = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{block}---\n\n{words.strip()}\n"


def merge(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Ours, where theirs does not say otherwise; tags of both. A licence of theirs takes ours with its name away."""
    merged = ours | theirs
    if "license" in theirs:
        for name in ("license_name", "license_link"):
            if name not in theirs:
                merged.pop(name, None)
    if isinstance(theirs.get("tags"), list):
        merged["tags"] = list(dict.fromkeys([*ours.get("tags", []), *theirs["tags"]]))
    return merged


def results(front: dict[str, Any], where: str) -> list[list[str]]:
    """Data set, measure, value and command of every result in the model-index; none where there is no index.

    Raises:
        InputError: the model-index is not one that huggingface_hub reads.
    """
    if "model-index" not in front:
        return []
    try:
        _, found = model_index_to_eval_results(front["model-index"])
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise InputError(
            f"the model-index in the front matter of {where} cannot be read ({error!r}); make it again with "
            "au-d3dface evaluate"
        ) from error
    rows = []
    for one in found:
        parts = [str(part) for part in (one.dataset_config, one.dataset_split) if part]
        data = one.dataset_name + (f" ({', '.join(parts)})" if parts else "")
        about = one.dataset_args if isinstance(one.dataset_args, dict) else {}
        command = f"`{_plain(about['command'])}`" if "command" in about else "–"
        rows.append([*map(_plain, (data, one.metric_name or one.metric_type, one.metric_value)), command])
    return rows


def _plain(value: Any) -> str:
    """A value for a cell of a table, whatever is in it."""
    return " ".join(str(value).replace("|", "/").replace("`", "'").split())
