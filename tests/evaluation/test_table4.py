"""Table 4 put together from records of trainings and from the json of the benchmarks' tables."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from latex_tables import check_compiles, table_rows

from au_d3dface import cli, facs
from au_d3dface.evaluation.benchmarks.table4 import ROWS
from au_d3dface.evaluation.paper_tables import ACTION_UNITS


def by_au(units, f1: float) -> dict:
    return {facs.label(unit): {"f1": f1, "always_positive_f1": 0.25, "roc_area": 0.5} for unit in units}


def write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def folds(folder: Path, benchmark: str, scores: dict[str, float], units=None, **config) -> Path:
    """What training.folds leaves of networks with these average scores by part."""
    units = ACTION_UNITS[benchmark] if units is None else units
    for part, f1 in scores.items():
        held_out = {"frames": 10, "by_au": by_au(units, f1)}
        pool = {"benchmark": benchmark, "tested": part, "parts": "published"}
        pool["held_out"] = {"subjects": 1, "frames_without_face": 0}
        record = {"pools": [pool], "held_out": held_out, "steps": 1}
        write(folder / part / "model" / "training.json", record)
        write(folder / part / "model" / "config.json", {"model_type": "au_d3dface"} | config)
    return folder


def synthetic(folder: Path, seeds=(0, 1)) -> Path:
    for number, name in enumerate(ROWS):
        for seed in seeds:
            scores = {"frames": 7, "roc_area_mean": 0.75, "by_au": by_au(facs.ALL, 0.3 + 0.05 * number + 0.02 * seed)}
            scores |= {"refined_error_mm": 1.5 - 0.1 * number} if "mlp" not in name else {}
            write(folder / f"{name}-seed{seed}" / "model" / "training.json", {"held_out": scores})
    return folder


def table(tmp_path: Path, *places, status: int = 0) -> dict:
    assert cli.main(["evaluate", "table4", *map(str, places), "-o", str(tmp_path / "out"), "--quiet"]) == status
    return json.loads((tmp_path / "out" / "table4.json").read_text())


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_the_synthetic_twin_with_its_seeds(tmp_path, capsys):
    numbers = table(tmp_path, synthetic(tmp_path / "runs"))
    assert [row["row"] for row in numbers["rows"]] == list(ROWS)
    assert numbers["rows"][0]["f1"]["BP4D"] == [pytest.approx(0.31), pytest.approx(0.3), pytest.approx(0.32)]
    assert numbers["rows"][6]["paper"] == {"BP4D": 66.0, "DISFA": 61.0}
    assert numbers["rows"][-1]["mesh_mm"] is None
    text = capsys.readouterr().out
    assert (tmp_path / "out/table4.md").read_text() == text
    rows = rows_of(text)
    assert rows[2][:3] == ["video", "temporal", "31.0 (30.0-32.0)"]
    assert rows[2][-2:] == ["59.8", "56.2"]
    assert rows[-2][:2] == ["coefficients", "MLP"]
    assert rows[-1][:3] == ["always positive", "", "25.0"]
    assert "synthetic people" in text
    check_compiles(tmp_path / "out/table4.tex")
    latex = table_rows((tmp_path / "out/table4.tex").read_text())
    assert r"\begin{tabular}{llrrrrr}" in (tmp_path / "out/table4.tex").read_text()
    assert latex[-1] == ["mesh + video", "temporal + spatial", "66.0", "61.0", "--", "--", "--"]
    bold = [[k for k, cell in enumerate(row) if "textbf" in cell] for row in latex]
    assert bold[8] == [2, 3, 4, 5]  # the MLP's scores are the highest here, and all ROC areas are equal
    assert bold[7] == [5, 6]  # and of the lowest mesh error
    assert not any(bold[9:])
    assert (tmp_path / "out/table4.png").read_bytes().startswith(b"\x89PNG")


def test_benchmarks_from_folds_and_from_reports(tmp_path, capsys):
    full = folds(tmp_path / "full", "bp4d", {"P1": 0.6, "P2": 0.66, "P3": 0.63})
    still = folds(tmp_path / "still", "bp4d", {"P1": 0.5}, use_temporal=False, use_video=True)
    few = folds(tmp_path / "few", "disfa", {"P1": 0.4, "P2": 0.5, "P3": 0.6}, units=(1, 12))
    fold = {"f1": 0.7, "unfair": "it was trained on them"}
    method = {"input": "video", "modules": "temporal", "folds": {"P1": fold}}
    method["mean"] = {"always_positive_f1": 0.2, "by_au": by_au(ACTION_UNITS["disfa"], 0.7)}
    report = {
        "benchmark": "disfa",
        "published_parts": True,
        "methods": {"seen": method, "OpenFace": {"kind": "csv", "folds": {}}},
    }
    write(tmp_path / "disfa.json", report)
    numbers = table(tmp_path, full, still, few, tmp_path / "disfa.json")
    rows = {(row["input"], row["modules"]): row for row in numbers["rows"]}
    assert len(rows) == 7
    assert rows["mesh", "temporal + spatial"]["f1"] == {"BP4D": [0.63, 0.6, 0.66], "DISFA": [0.5, 0.4, 0.6]}
    assert rows["mesh + video", "spatial"]["f1"] == {"BP4D": [0.5, 0.5, 0.5]}
    assert rows["mesh", "spatial"]["f1"] == {}
    text = capsys.readouterr().out
    lines = {tuple(row[:2]): row[2:] for row in rows_of(text)}
    assert lines["mesh", "temporal + spatial"] == ["63.0 (60.0-66.0)", "50.0 (40.0-60.0)", "63.1", "58.8"]
    assert lines["mesh + video", "spatial"] == ["50.0", "–", "63.4", "60.0"]
    assert "mesh + video, spatial, BP4D: 1 fold, not three" in text
    assert "mesh, temporal + spatial, DISFA: mean over AU01, AU12 alone, not comparable" in text
    assert lines["video", "temporal"][1] == "† 70.0"
    assert "† seen was trained on people of P1 whom it is tested on: no fair test" in text
    assert "–: not measured" in text
    check_compiles(tmp_path / "out/table4.tex")
    latex = table_rows((tmp_path / "out/table4.tex").read_text())
    assert latex[4][2] == r"\textbf{63.0 (60.0-66.0)}"
    assert latex[1][3] == r"$\dagger$ 70.0"  # higher than all others, and not compared


def test_bad_places_are_one_sentence(tmp_path, capsys):
    good = folds(tmp_path / "good", "bp4d", {"P1": 0.6})
    twin = synthetic(tmp_path / "twin", (0,))

    def refused(status: int, sentence: str, *places) -> None:
        assert cli.main(["evaluate", "table4", *map(str, places)]) == status
        said = capsys.readouterr()
        assert sentence in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""

    refused(2, "stands alone", twin, good)
    refused(2, "two scores of mesh, temporal + spatial on BP4D", good, good)
    refused(4, "is neither what", tmp_path / "nothing")
    refused(4, "is neither what", tmp_path)
    other = folds(tmp_path / "other", "bp4d", {"P1": 0.6})
    (other / "P1").rename(other / "P2")
    refused(4, "do not test the parts that they are named after", other)
    for number, content in enumerate(({}, {"benchmark": "bp4d", "methods": {}}, {"benchmark": 3}, [], {"methods": 1})):
        write(tmp_path / f"{number}.json", content)
        refused(4, f"{number}.json", tmp_path / f"{number}.json")
    (tmp_path / "bad.json").write_text("[" * 10**5)
    refused(4, "cannot be read", tmp_path / "bad.json")
    write(twin / "mesh_spatial-seed0/model/training.json", {"held_out": {"by_au": {}}})
    refused(4, "cannot be read as scores of Table 4: there is no 'AU01'", twin)
    write(good / "P1/model/training.json", {"pools": []})
    refused(4, "cannot be read as scores of Table 4", good)


def report(path: Path, benchmark: str, scores: dict[str, float], **more) -> Path:
    """The json of `evaluate bp4d | disfa` on one checkpoint, `mine`, with these average scores by part."""
    method = {"input": "mesh", "modules": "spatial", "folds": {part: {"f1": f1} for part, f1 in scores.items()}}
    method["mean"] = {"always_positive_f1": 0.2, "by_au": by_au(ACTION_UNITS[benchmark], 0.7)}
    tool = {"kind": "csv", "folds": {}}
    write(path, {"benchmark": benchmark, "published_parts": True, "methods": {"mine": method, "OpenFace": tool}} | more)
    return path


def card(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\ntext\n")
    return folder


def results_of(folder: Path) -> dict[tuple, float]:
    """Value by data set, split and metric, as the library reads them."""
    found = ModelCard.load(folder / "README.md").data.eval_results
    assert {tuple(one.dataset_args) for one in found} == {("date", "commit", "command")}
    return {(one.dataset_name, one.dataset_split, one.metric_type, one.metric_name): one.metric_value for one in found}


def update(places, folder: Path) -> int:
    return cli.main(["evaluate", "table4", *map(str, places), "--update-card", str(folder), "--quiet"])


def test_the_card_of_the_one_checkpoint_that_was_measured(tmp_path, capsys):
    """From the json of both benchmarks, and from the folder of the folds, whose scores stand beside those."""
    mine = card(tmp_path / "mine")
    places = [report(tmp_path / "bp4d.json", "bp4d", {"P1": 0.6, "P2": 0.66})]
    places.append(report(tmp_path / "disfa.json", "disfa", {"P3": 0.5}, published_parts=False))
    assert update(places, mine) == 0
    parts = "DISFA, parts of the tester's own"
    expected = {
        ("BP4D", "Table 4, mean of P1, P2", "f1", "F1, mean over 12 action units"): 0.63,
        ("BP4D", "Table 4, mean of P1, P2", "f1", "always positive, F1, mean over 12 action units"): 0.2,
        (parts, "Table 4, P3", "f1", "F1, mean over 8 action units"): 0.5,
        (parts, "Table 4, P3", "f1", "always positive, F1, mean over 8 action units"): 0.2,
    }
    assert results_of(mine) == expected
    assert str(tmp_path) not in (mine / "README.md").read_text()
    args = ModelCard.load(mine / "README.md").data.eval_results[0].dataset_args
    assert args["command"] == "au-d3dface evaluate table4 bp4d.json disfa.json --update-card mine --quiet"
    assert update([folds(tmp_path / "runs", "bp4d", {"P1": 0.4})], mine) == 0
    assert results_of(mine) == expected | {
        ("BP4D", "Table 4, P1", "f1", "F1, mean over 12 action units"): 0.4,
        ("BP4D", "Table 4, P1", "f1", "always positive, F1, mean over 12 action units"): 0.25,
    }
    # Whoever was trained on the people tested is said so, and not written.
    method = {"input": "mesh", "modules": "spatial", "folds": {"P1": {"f1": 0.9, "unfair": "it was trained on them"}}}
    method["mean"] = {"always_positive_f1": 0.2, "by_au": by_au(ACTION_UNITS["bp4d"], 0.9)}
    seen = report(tmp_path / "seen.json", "bp4d", {}, methods={"mine": method})
    before = (mine / "README.md").read_bytes()
    capsys.readouterr()
    assert update([seen, places[1]], mine) == 0
    said = capsys.readouterr().err
    assert "not written into the card: BP4D: mine was trained on people whom it is tested on" in said
    assert 0.9 not in results_of(mine).values()
    (mine / "README.md").write_bytes(before)
    assert update([seen], mine) == 5
    assert (mine / "README.md").read_bytes() == before


def test_the_card_of_one_training_among_many(tmp_path):
    """The one in whose folder the card lies has its own scores, not the mean over seeds."""
    runs = synthetic(tmp_path / "runs")
    mine = card(runs / "mesh_spatial-seed1" / "model")
    assert update([runs], mine) == 0
    found = results_of(mine)
    about = "Synthetic people, rendered and tracked", "Table 4, 7 frames of held-out people"
    assert {key[:2] for key in found} == {about}
    assert {key[2:]: value for key, value in found.items()} == {
        **{
            ("f1", f"{floor}F1, mean over {over}"): value
            for over in ("the action units of BP4D", "the action units of DISFA", "all action units")
            for floor, value in (("", pytest.approx(0.42)), ("always positive, ", 0.25))
        },
        ("roc_auc", "ROC area, mean over all action units"): 0.75,
        ("mean_distance_mm", "mean distance of vertices from the true ones, mm"): pytest.approx(1.3),
    }


def test_cards_that_nothing_can_be_written_into_are_one_sentence(tmp_path, capsys):
    elsewhere = card(tmp_path / "elsewhere")
    before = (elsewhere / "README.md").read_bytes()
    twin, good = synthetic(tmp_path / "twin"), folds(tmp_path / "good", "bp4d", {"P1": 0.6})
    other = folds(tmp_path / "other", "disfa", {"P1": 0.6})
    tool = report(tmp_path / "tool.json", "bp4d", {}, methods={"OpenFace": {"kind": "csv", "folds": {}}})
    broken = card(tmp_path / "broken")
    (broken / "README.md").write_text("---\na: [\n---\n")
    for places, folder, status, sentence in (
        ([good], tmp_path, 4, "holds no model card (README.md)"),
        ([good], broken, 4, "the YAML at the head of"),
        ([tool], elsewhere, 4, "it has no checkpoint's scores"),
        ([good, other], elsewhere, 2, "good (mesh, temporal + spatial), other (mesh, temporal + spatial); give the"),
        ([twin], elsewhere, 2, f"holds {2 * len(ROWS)} trainings, and {elsewhere / 'README.md'} lies in none of them"),
    ):
        assert update(places, folder) == status, sentence
        said = capsys.readouterr()
        assert sentence in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert (elsewhere / "README.md").read_bytes() == before
