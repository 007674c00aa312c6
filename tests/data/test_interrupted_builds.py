"""Builds of benchmarks that were killed go on: the same rows, and no sequence read twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmark_layouts import make_bp4d, make_disfa
from multiface_layout import Layout
from opened_files import watch

from au_d3dface.data import load_benchmark
from au_d3dface.errors import InputError

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()

KILLED = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from opened_files import watch
from au_d3dface.data import load_benchmark

watch(*sys.argv[2:4], int(sys.argv[4]))
load_benchmark(**json.loads(sys.argv[5]))
"""
SIX = ("F001", "M007", "F007", "F002", "M001", "F006")
MULTIFACE = {"cameras": ["400002", "400015", "400037"], "image_size": [64, 42]}


def made(name: str, root: Path) -> tuple[dict, str, int]:
    """Settings, a pattern of the one file of each sequence that is counted, and how many sequences there are."""
    if name == "bp4d":
        make_bp4d(root, [(subject, "T1") for subject in SIX], 6, unknown=0.1, without_picture=(3,))
        return {"fold": "all", "missing": "skip", "clip_length": 5}, r"AU12/.*_T1\.csv$", 6
    if name == "disfa":
        make_disfa(root, [f"SN00{number}" for number in range(1, 7)], 8, unknown=0.1)
        return {"fold": "all", "missing": "skip"}, r"_au12\.txt$", 6
    Layout(root, ("6795937", "8870559"), height=64, width=42, pictures=False).write()
    return MULTIFACE, r"(000102|001002)\.png$", 12  # two subjects, two expressions, three cameras


def killed(arguments: dict, log: Path, pattern: str, last: int) -> list[str]:
    """Builds in a process of its own, killed when it opens the `last`-th file; the files that it opened."""
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1] / "helpers"), str(log), pattern, str(last)]
    run = subprocess.run([*command, json.dumps(arguments)], start_new_session=True, capture_output=True, timeout=120)
    assert run.returncode == -signal.SIGKILL, run.stderr
    return log.read_text().splitlines()


def built(arguments: dict, log: Path, pattern: str):
    """The rows, and the files that were opened."""
    watch(log, pattern)
    try:
        return load_benchmark(**arguments), log.read_text().splitlines()
    finally:
        watch(None)


def same(one, other) -> None:
    assert one.keys() == other.keys()
    for part in one:
        assert len(one[part]) == len(other[part]) > 0
        for a, b in zip(one[part], other[part], strict=True):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]), err_msg=name)


@pytest.mark.parametrize("num_proc", [None, 2])
@pytest.mark.parametrize("name", ["bp4d", "disfa", "multiface"])
def test_a_killed_build_goes_on(name, num_proc, tmp_path):
    root, cache = tmp_path / "copy", tmp_path / "cache"
    settings, pattern, sequences = made(name, root)
    arguments = {"name": name, "data_dir": str(root), "num_proc": num_proc, **settings}
    whole = load_benchmark(**arguments, split=None, cache_dir=str(tmp_path / "whole"))
    here = {**arguments, "split": None, "cache_dir": str(cache)}
    before = killed(here, tmp_path / "killed", pattern, 5)
    kept = list(cache.rglob("unfinished/[!.]*.npz"))
    assert 3 <= len(kept) <= 4
    rows, after = built(here, tmp_path / "again", pattern)
    assert len(after) == len(set(after)) == sequences - len(kept)
    assert len({*before, *after}) == sequences
    assert not list(cache.rglob("unfinished"))
    same(rows, whole)


def test_rows_that_processes_of_a_killed_build_still_write_are_left_to_them(tmp_path):
    root, cache = tmp_path / "copy", tmp_path / "cache"
    settings, pattern, _ = made("bp4d", root)
    here = {"name": "bp4d", "data_dir": str(root), "split": None, "cache_dir": str(cache), **settings}
    killed(here, tmp_path / "killed", pattern, 4)
    (rows,) = cache.rglob("*.incomplete/*.arrow")
    with rows.open("r+b") as held:
        again = load_benchmark(**here)
        held.seek(0)
        held.write(bytes(10_000))
    same(again, load_benchmark(**{**here, "cache_dir": str(tmp_path / "whole")}))


def test_what_was_read_before_a_damaged_file_outlasts_its_mending(tmp_path):
    root, cache = tmp_path / "copy", tmp_path / "cache"
    settings, pattern, _ = made("bp4d", root)
    here = {"name": "bp4d", "data_dir": str(root), "split": None, "cache_dir": str(cache), **settings}
    damaged = root / "AUCoding/AU_OCC/M001_T1.csv"
    text = damaged.read_text()
    damaged.write_text("")
    with pytest.raises(InputError, match=r"M001_T1\.csv"):
        load_benchmark(**here)
    before = len(list(cache.rglob("unfinished/[!.]*.npz")))
    assert before >= 3
    damaged.write_text(text)
    changed = next(path for path in (root / "AUCoding/AU_OCC").glob("F001*.csv"))  # read already
    changed.write_text("\n".join(changed.read_text().splitlines()[:-2]) + "\n")
    kept = sorted(cache.rglob("unfinished/[!.]*.npz"))
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # a damaged one is read again
    rows, opened = built(here, tmp_path / "again", pattern)
    reread = {Path(path).name for path in opened}
    assert {"M001_T1.csv", "F001_T1.csv"} <= reread
    assert len(reread) <= 6 - before + 2
    same(rows, load_benchmark(**{**here, "cache_dir": str(tmp_path / "whole")}))


def test_streaming_and_rates_keep_nothing(tmp_path):
    root, cache = tmp_path / "copy", tmp_path / "cache"
    settings, _, sequences = made("disfa", root)
    rows = load_benchmark("disfa", str(root), streaming=True, split="test", cache_dir=str(cache), **settings)
    assert len({row["sequence"] for row in rows}) == sequences
    assert not os.path.exists(cache) or not list(cache.rglob("*.npz"))
