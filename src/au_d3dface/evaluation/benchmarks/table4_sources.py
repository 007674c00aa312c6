"""Where Table 4 takes its scores from: folders of trainings, and the json of `evaluate bp4d | disfa`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import facs
from ...errors import InputError, UsageError
from ..paper_tables import ACTION_UNITS, PAPER_TABLE4
from .table import FLOOR, BenchmarkTable, MethodScores, recorded_scores
from .table4 import ROWS, Range, Table4, Table4Row, Tested, synthetic_table4

TITLES = {"bp4d": "BP4D", "disfa": "DISFA"}


def read_table4(places: Sequence[str]) -> Table4:
    """The table of everything that the places hold.

    Args:
        places: the folder that `training.table4` wrote, alone; or any number of folders that `training.folds` wrote and
            of json files that `au-d3dface evaluate bp4d` or `disfa` wrote.

    Raises:
        InputError: a place holds nothing of that, or is damaged.
        UsageError: synthetic people and benchmarks together, or two scores for one cell.
    """
    paths = [Path(place).expanduser() for place in places]
    folder = _synthetic(paths)
    if folder is not None:
        return _of_synthetic(folder, _rows_in(folder))
    found, notes = _cells(paths)
    measured = [title for name, title in TITLES.items() if any(name in cells for cells in found.values())]
    rows = [_together(key, found.get(key, {})) for key in {**dict.fromkeys(PAPER_TABLE4), **dict.fromkeys(found)}]
    if any(not row.f1.get(title) for row in rows for title in TITLES.values()):
        notes.append("–: not measured")
    return Table4(" and ".join(measured), {title: title for title in TITLES.values()}, "folds", rows, notes)


def own_table4(places: Sequence[str], card: Path) -> Table4:
    """The part of the table that a model card may have: the one row of the checkpoint whose card it is.

    Args:
        places: as for `read_table4`; of one checkpoint, or a folder that `training.table4` wrote and in which the
            checkpoint lies. card: its README.md.

    Raises:
        InputError: as `read_table4`. UsageError: the places are of several checkpoints, and do not say which it is.
    """
    paths = [Path(place).expanduser() for place in places]
    folder = _synthetic(paths)
    if folder is None:
        measured = [(*key, row.name) for key, cells in _cells(paths)[0].items() for row in cells.values()]
        several = list(dict.fromkeys(measured))
        if len(several) > 1:
            names = ", ".join(f"{name} ({inputs}, {modules})" for inputs, modules, name in several)
            raise UsageError(
                f"--update-card takes the scores of one checkpoint, and these are of {names}; give the places of one"
            )
        return read_table4(places)
    trainings = [(name, file) for name, files in _rows_in(folder).items() for file in files]
    own = [(name, file) for name, file in trainings if file.parent.parent.resolve() in card.resolve().parents]
    if len(trainings) > 1 and not own:
        raise UsageError(
            f"{folder} holds {len(trainings)} trainings, and {card} lies in none of them; give --update-card the model "
            f"whose card it is, such as {trainings[0][1].parent}"
        )
    name, file = (own or trainings)[0]
    return _of_synthetic(folder, {name: [file]})


def _cells(paths: Sequence[Path]) -> tuple[dict[tuple[str, str], dict[str, Table4Row]], list[str]]:
    """What the places hold by input and modules, and by benchmark; and notes.

    Raises:
        InputError: a place holds nothing, or is damaged. UsageError: two scores for one cell.
    """
    found: dict[tuple[str, str], dict[str, Table4Row]] = {}
    notes: list[str] = []
    for path in paths:
        for benchmark, row, said in _benchmark_rows(path):
            cells = found.setdefault((row.input, row.modules), {})
            if benchmark in cells:
                raise UsageError(
                    f"two scores of {row.input}, {row.modules} on {TITLES[benchmark]}: {cells[benchmark].name} and "
                    f"{row.name}; give one of them"
                )
            cells[benchmark] = row
            notes += [note for note in said if note not in notes]
    return found, notes


def _synthetic(paths: Sequence[Path]) -> Path | None:
    """The folder that `training.table4` wrote, if one of the places is one."""
    synthetic = [path for path in paths if path.is_dir() and _rows_in(path)]
    if synthetic and len(paths) > 1:
        raise UsageError(
            f"{synthetic[0]} was measured on synthetic people and stands alone; leave out the other places"
        )
    return synthetic[0] if synthetic else None


def _of_synthetic(folder: Path, files: Mapping[str, Sequence[Path]]) -> Table4:
    records = {name: [_json(file) for file in found] for name, found in files.items()}
    try:
        return synthetic_table4(records)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(_damaged(folder, error)) from error


def _rows_in(folder: Path) -> dict[str, list[Path]]:
    """The records of `training.table4`, by row, in order of the seeds."""
    found = {}
    for name in ROWS:
        files = sorted(folder.glob(f"{name}-seed*/model/training.json"))
        if files:
            found[name] = files
    return found


def _benchmark_rows(path: Path) -> list[tuple[str, Table4Row, list[str]]]:
    """Benchmark, row and notes of everything in one place."""
    try:
        if path.is_file():
            return _of_report(path, _json(path))
        records = sorted(path.glob("*/model/training.json"))
        if records:
            return [_of_folds(path, records)]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(_damaged(path, error)) from error
    raise InputError(
        f"{path} is neither what au_d3dface.training.table4 or au_d3dface.training.folds wrote, nor the json of "
        "'au-d3dface evaluate bp4d' or 'disfa'"
    )


def _of_folds(folder: Path, files: Sequence[Path]) -> tuple[str, Table4Row, list[str]]:
    records = {file.parent.parent.name: _json(file) for file in files}
    config = _json(files[0].parent / "config.json")
    pools = [record["pools"][0] for record in records.values()]
    benchmark, wrong = (
        pools[0]["benchmark"],
        [part for part, pool in zip(records, pools, strict=True) if pool["tested"] != part],
    )
    if benchmark not in TITLES or any(pool["benchmark"] != benchmark for pool in pools) or wrong:
        raise ValueError("its folds do not test the parts that they are named after")
    method = MethodScores(folder.resolve().name, {part: recorded_scores(record) for part, record in records.items()})
    published = pools[0]["parts"] == "published"
    table = BenchmarkTable(benchmark, list(records), published, "labelled", [method])
    folds = {part: table.average(method, part, "f1") for part in records}
    floor = table.mean(method, "average", FLOOR)
    inputs, modules = _kind_of(config)
    return _row(benchmark, inputs, modules, method.name, folds, floor, table.columns, published, [])


def _of_report(path: Path, report: Mapping[str, Any]) -> list[tuple[str, Table4Row, list[str]]]:
    if report["benchmark"] not in TITLES:
        raise ValueError("it is of no benchmark")
    rows = []
    for name, method in report["methods"].items():
        if "input" not in method:  # another tool's csv files have no modules
            continue
        folds, mean = method["folds"], method["mean"]
        unfair = ", ".join(part for part, fold in folds.items() if "unfair" in fold)
        notes = [f"† {name} was trained on people of {unfair} whom it is tested on: no fair test"] if unfair else []
        averages = {part: fold["f1"] for part, fold in folds.items()}
        kind = method["input"], method["modules"]
        published = bool(report["published_parts"])
        rows.append(
            _row(report["benchmark"], *kind, name, averages, mean[FLOOR], list(mean["by_au"]), published, notes)
        )
    if not rows:
        raise ValueError("it has no checkpoint's scores")
    return rows


def _row(
    benchmark: str,
    inputs: str,
    modules: str,
    name: str,
    folds: Mapping[str, float | None],
    floor: float | None,
    units: Sequence[str],
    published: bool,
    notes: list[str],
) -> tuple[str, Table4Row, list[str]]:
    title, count = TITLES[benchmark], len(folds)
    known = [float(value) for value in folds.values() if value is not None]
    if not known:
        raise ValueError(f"{name} has no average F1")
    where = f"{inputs}, {modules}, {title}"
    if count != 3:
        notes.append(f"{where}: {count} fold{'s' if count > 1 else ''}, not three")
    if {*units} != {facs.label(unit) for unit in ACTION_UNITS[benchmark]}:
        notes.append(f"{where}: mean over {', '.join(units)} alone, not comparable with the paper's")
    floors = {} if floor is None else {title: float(floor)}
    unfair = frozenset({title} if any(note.startswith("†") for note in notes) else ())
    parts = ", ".join(folds)
    tested = Tested(
        benchmark,
        title if published else f"{title}, parts of the tester's own",
        f"Table 4, mean of {parts}" if count > 1 else f"Table 4, {parts}",
        f"{len(units)} action units",
    )
    f1 = {title: Range.of(known)}
    return benchmark, Table4Row(inputs, modules, name, f1, floors, unfair=unfair, tested={title: tested}), notes


def _together(key: tuple[str, str], cells: Mapping[str, Table4Row]) -> Table4Row:
    """The row of both benchmarks; empty where nothing was measured."""
    f1, floors, tested = {}, {}, {}
    for row in cells.values():
        f1, floors = f1 | dict(row.f1), floors | dict(row.always_positive_f1)
        tested |= row.tested
    names = ", ".join(dict.fromkeys(row.name for row in cells.values()))
    unfair = frozenset().union(*(row.unfair for row in cells.values()))
    return Table4Row(*key, names, f1, floors, unfair=unfair, tested=tested)


def _kind_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Input and modules of a network, from its config.json, where what is not said is the default."""
    if config["model_type"] == "au_d3dface_mlp":
        return "coefficients", "MLP"
    defaults = {"use_mesh": True, "use_video": False, "use_temporal": True, "use_spatial": True}
    has = {name.removeprefix("use_"): bool(config.get(name, value)) for name, value in defaults.items()}
    inputs, modules = (
        " + ".join(name for name in names if has[name]) for names in (("mesh", "video"), ("temporal", "spatial"))
    )
    return inputs, modules


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no record of a training or an evaluation")
    return content


def _damaged(path: Path, error: Exception) -> str:
    reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
    return f"{path} cannot be read as scores of Table 4: {' '.join(reason.split())}"
