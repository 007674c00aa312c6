"""Tables 2 and 3 from made copies of BP4D and DISFA: known networks, scores worked out again from the label files."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmark_layouts import BP4D_UNITS, Written, make_bp4d, make_disfa
from huggingface_hub import ModelCard
from latex_tables import check_compiles, table_rows
from prepared_benchmarks import prepare_copy

from au_d3dface import cli, facs
from au_d3dface.data.benchmark_clips import ScoredPiece
from au_d3dface.evaluation.benchmarks.scores import events_of_pieces
from au_d3dface.face_models import FaceMesh
from au_d3dface.mlp_baseline import AUD3DFaceMLP, AUD3DFaceMLPConfig

sklearn = pytest.importorskip("sklearn.metrics")
pytest.importorskip("datasets")

PEOPLE = ("F001", "M007", "M011", "F003", "F007", "F015")  # two of each published part
DISFA_UNITS = (1, 2, 4, 6, 9, 12, 25, 26)
LENGTH = 60
LOST = 7  # a frame in which no face was found


@pytest.fixture(scope="module")
def bp4d(tmp_path_factory) -> tuple[Path, dict[str, Written]]:
    """A copy in `copy`, its faces in `coarse`: the k-th coefficient is about 3 where the k-th AU is present."""
    folder = tmp_path_factory.mktemp("bp4d")
    written = make_bp4d(folder / "copy", [(name, "T1") for name in PEOPLE], LENGTH, pictures=None, unknown=0.05)
    prepare_copy(folder / "coarse", written, FaceMesh(), facs.BP4D, lost=(LOST,))
    return folder, written


@pytest.fixture(scope="module")
def disfa(tmp_path_factory) -> tuple[Path, dict[str, Written]]:
    folder = tmp_path_factory.mktemp("disfa")
    people = ("SN001", "SN002", "SN013", "SN018", "SN003", "SN029")
    written = make_disfa(folder / "copy", people, LENGTH)
    prepare_copy(folder / "coarse", written, FaceMesh(), facs.DISFA, lost=(LOST,))
    return folder, written


def reader(folder: Path, units=facs.BP4D, order=facs.BP4D, blind=(), record: dict | None = None, **config) -> Path:
    """A network without hidden layers that reads the coefficients as they were made; of `blind` it sees nothing."""
    mlp = AUD3DFaceMLP(AUD3DFaceMLPConfig(action_units=units, hidden_sizes=(), num_coefficients=40, **config))
    with torch.no_grad():
        for head, slope in ((mlp.au_head, 4.0), (mlp.intensity_head, 1.0)):
            head.weight.zero_()
            head.bias.fill_(-1.5 * slope)
            for k, unit in enumerate(units):
                if unit not in blind:
                    head.weight[k, list(order).index(unit)] = slope
    mlp.save_pretrained(folder)
    if record is not None:
        (folder / "training.json").write_text(json.dumps(record))
    return folder


def record_of(tested: str, benchmark: str = "bp4d", people: list[str] | None = None, parts: str = "published") -> dict:
    trained_on = {"subjects": 4} | ({} if people is None else {"people": people})
    pool = {"benchmark": benchmark, "tested": tested, "parts": parts, "trained_on": trained_on}
    return {"data": f"{benchmark.upper()}, {tested} held out", "pools": [pool]}


def run(benchmark: str, folder: Path, *more: str) -> int:
    given = ["evaluate", benchmark, "--data-dir", str(folder / "copy"), "--prepared", str(folder / "coarse")]
    return cli.main([*given, "--missing", "skip", "--device", "cpu", "--quiet", *more])


def lines_of(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def labels_of(written: dict[str, Written], people, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of an action unit of some people, -1 unknown, and what a perfect reader says: nothing without a face."""
    said, labels = [], []
    for name in people:
        for frame, codes in written[name].codes.items():
            labels.append({0: 0, 1: 1, 9: -1}[codes[unit]])
            said.append(codes[unit] == 1 and frame != LOST)
    return np.array(labels), np.array(said)


def test_table_2_with_one_command_from_folder_to_latex(bp4d, tmp_path, capsys):
    folder, written = bp4d
    for part in ("P1", "P2", "P3"):
        reader(tmp_path / "folds" / part / "model", blind=(12, 24), record=record_of(part))
    capsys.readouterr()
    assert run("bp4d", folder, "--checkpoint", f"mine={tmp_path / 'folds'}", "-o", str(tmp_path / "out")) == 0
    said = capsys.readouterr()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bp4d.json",
        "bp4d.md",
        "bp4d.png",
        "bp4d.tex",
    ]
    table = json.loads((tmp_path / "out/bp4d.json").read_text())
    mine = table["methods"]["mine"]
    assert (mine["input"], mine["modules"], mine["coarse"]) == ("coefficients", "MLP", "landmarks")

    floors = []
    for part, people in (("P1", PEOPLE[:2]), ("P2", PEOPLE[2:4]), ("P3", PEOPLE[4:])):
        fold = mine["folds"][part]
        assert (fold["subjects"], fold["frames"], fold["frames_without_face"]) == (2, 2 * LENGTH, 2)
        f1 = []
        for unit in facs.BP4D:
            labels, decisions = labels_of(written, [f"{name}_T1" for name in people], unit)
            decisions = decisions & (unit not in (12, 24))
            known = labels >= 0
            scores = fold["by_au"][facs.label(unit)]
            f1.append(sklearn.f1_score(labels[known], decisions[known]))
            assert scores["f1"] == pytest.approx(f1[-1], abs=1e-4)
            floor = sklearn.f1_score(labels[known], np.ones(known.sum()))
            assert scores["always_positive_f1"] == pytest.approx(floor, abs=1e-4)
            floors.append(floor)
            expected = sklearn.matthews_corrcoef(labels[known], decisions[known])
            assert scores["matthews_correlation"] == pytest.approx(expected, abs=1e-4)
            if unit not in (12, 24):
                seen = np.array([frame != LOST for name in people for frame in written[f"{name}_T1"].codes])
                rank = np.where(seen, np.where(decisions, 2, 1), 0)  # a face that was not found is below all others
                area = sklearn.roc_auc_score(labels[known], rank[known])
                assert scores["roc_area"] == pytest.approx(area, abs=1e-4)
                assert scores["onset_error"] < 0.11
        assert fold["f1"] == pytest.approx(np.mean(f1), abs=1e-4)
    assert mine["mean"]["f1"] == pytest.approx(np.mean([fold["f1"] for fold in mine["folds"].values()]), abs=1e-4)
    assert mine["mean"]["always_positive_f1"] == pytest.approx(np.mean(floors), abs=1e-4)
    # BP4D has intensities of five action units; labels here do not follow the strength of what is shown.
    assert mine["mean"]["by_au"]["AU06"]["intensity_icc"] > 0.3
    assert mine["mean"]["by_au"]["AU01"]["intensity_icc"] is None

    text = (tmp_path / "out/bp4d.md").read_text()
    assert said.out == text
    assert said.err == ""
    rows = lines_of(text)
    assert rows["mine, mean of 3 of 3 folds"][-1] == f"{100 * mine['mean']['f1']:.1f}"
    assert rows["mine, P2 tested"][6] == "0.0"  # AU12, of which nothing is seen
    assert rows["paper, *the model, temporal + spatial"][-1] == "66.0"
    assert rows["always positive, P1 tested"][0] == f"{100 * floors[0]:.1f}"
    assert "†" not in text
    parts = (tmp_path / "out/bp4d.tex").read_text().split("% needs")[1:]
    tables = [table_rows("% needs" + part) for part in parts]
    assert len(tables) == 3
    assert [len(row) for row in tables[0] if len(row) > 1] == [14] * 12  # header, ours, the floor, nine of the paper's
    assert tables[0][1] == ["mine, mean of 3 of 3 folds", *rows["mine, mean of 3 of 3 folds"]]
    assert (tmp_path / "out/bp4d.png").read_bytes().startswith(b"\x89PNG")
    check_compiles(tmp_path / "out/bp4d.tex")


def test_roc_area_icc_and_pearson_on_disfa(disfa, tmp_path):
    """Against what scikit-learn and the formulas say of the same estimates, made again from the coefficients."""
    folder, written = disfa
    reader(tmp_path / "one", facs.DISFA, facs.DISFA, record=record_of("P3", "disfa"))
    assert run("disfa", folder, "--checkpoint", str(tmp_path / "one"), "-o", str(tmp_path / "out")) == 0
    fold = json.loads((tmp_path / "out/disfa.json").read_text())["methods"]["one"]["folds"]["P3"]
    estimates, probabilities, truth = [], [], []
    for name in ("SN003", "SN029"):
        with np.load(folder / "coarse" / f"LeftVideo{name}_comp.avi.npz") as stored:
            shown = next(stored[key] for key in stored.files if key.endswith("_expression"))[:LENGTH, :8].astype(float)
        seen = np.arange(1, LENGTH + 1) != LOST
        probabilities.append(np.where(seen[:, None], 1 / (1 + np.exp(-4 * (shown - 1.5))), 0))
        mean = -1.5  # of a masked frame, whose coefficients are the network's own mean, 0
        estimates.append(np.where(seen[:, None], 5 / (1 + np.exp(-(shown - 1.5))), 5 / (1 + math.exp(-mean))))
        truth.append(np.array([[codes[unit] for unit in facs.DISFA] for codes in written[name].codes.values()]))
    estimates, probabilities, truth = map(np.concatenate, (estimates, probabilities, truth))
    for k, unit in enumerate(facs.DISFA):
        scores = fold["by_au"][facs.label(unit)]
        assert scores["roc_area"] == pytest.approx(
            sklearn.roc_auc_score(truth[:, k] >= 2, probabilities[:, k]), abs=2e-3
        )
        known = np.array([frame % LENGTH != LOST - 1 for frame in range(2 * LENGTH)])
        assert scores["intensity_r"] == pytest.approx(np.corrcoef(estimates[known, k], truth[known, k])[0, 1], abs=0.06)
        # ICC(3,1) of two judges: (MSR - MSE) / (MSR + MSE).
        ratings = np.stack([estimates[known, k], truth[known, k]], 1)
        rows = 2 * ratings.mean(1).var(ddof=1)
        residual = ratings - ratings.mean(1, keepdims=True) - ratings.mean(0) + ratings.mean()
        error = (residual**2).sum() / (len(ratings) - 1)
        assert scores["intensity_icc"] == pytest.approx((rows - error) / (rows + error), abs=0.06)
    text = (tmp_path / "out/disfa.md").read_text()
    assert "intensity ICC(3,1)" in text
    assert lines_of(text)["paper, *the model, temporal + spatial"][-1] == "61.1"


def test_people_who_were_trained_on_are_seen_and_said(bp4d, tmp_path, capsys):
    folder, _ = bp4d
    fair = reader(tmp_path / "fair", record=record_of("P3"))
    named = reader(tmp_path / "named", blind=(1,), record=record_of("A", people=["F007", "F010"], parts="own"))
    unknown = reader(tmp_path / "unknown")
    other = reader(tmp_path / "other", record={"data": "synthetic sequences", "pools": [{"quality": "fast"}]})
    given = [word for path in (fair, named, unknown, other) for word in ("--checkpoint", str(path))]
    assert run("bp4d", folder, *given, "--folds", "P2,P3", "-o", str(tmp_path / "out")) == 0
    text = capsys.readouterr().out
    rows = lines_of(text)
    assert {"fair, P2 tested †", "fair, P3 tested", "named, P2 tested", "named, P3 tested †"} <= rows.keys()
    assert {"fair, mean of 2 of 3 folds †", "unknown, mean of 2 of 3 folds"} <= rows.keys()
    assert "† fair, P2: it was trained on 14 of the 14 people of this part (M011, F003, M010" in text
    assert "† named, P3: it was trained on 1 of the 13 people of this part (F007)" in text
    assert "unknown: it has no training.json" in text
    assert "other: it was not trained on BP4D but on synthetic sequences" in text
    numbers = json.loads((tmp_path / "out/bp4d.json").read_text())["methods"]
    assert "unfair" in numbers["fair"]["folds"]["P2"]
    assert "unfair" not in numbers["fair"]["folds"]["P3"]
    first = (tmp_path / "out/bp4d.tex").read_text().split("% needs")[1]
    bold = [line for line in first.splitlines() if "textbf" in line]
    assert bold
    assert not any(line.startswith(("fair", "named")) for line in bold)  # they are not compared


def test_parts_of_ones_own_whose_people_are_not_named(bp4d, tmp_path, capsys):
    folder, _ = bp4d
    (tmp_path / "parts.json").write_text(json.dumps({"A": PEOPLE[:3], "B": PEOPLE[3:]}))
    path = reader(tmp_path / "own", record=record_of("B", parts="own"))
    assert run("bp4d", folder, "--checkpoint", str(path), "--folds-file", str(tmp_path / "parts.json")) == 0
    said = capsys.readouterr().out
    assert "own, B tested" in said
    assert "does not name the people whom it was trained on" in said
    assert "parts of your own" in said


def test_a_checkpoint_with_other_action_units(bp4d, tmp_path, capsys):
    folder, _ = bp4d
    whole = reader(tmp_path / "whole", record=record_of("P1"))
    reader(tmp_path / "few", (12, 45, 1), (*facs.BP4D, 45), record=record_of("P1"))
    assert run("bp4d", folder, "--checkpoint", str(whole), "--checkpoint", str(tmp_path / "few")) == 0
    text = capsys.readouterr().out
    rows = lines_of(text)
    assert rows["few, P1 tested"][0] == rows["whole, P1 tested"][0] != "–"
    assert rows["few, P1 tested"][1] == rows["few, P1 tested"][-1] == "–"
    assert "few says nothing of AU02, AU04" in text
    assert run("bp4d", folder, "--checkpoint", str(tmp_path / "few")) == 0
    assert lines_of(capsys.readouterr().out)["F1, %"] == ["AU01", "AU12", "average"]
    reader(tmp_path / "none", (45,), (45,), record=record_of("P1"))
    assert run("bp4d", folder, "--checkpoint", str(tmp_path / "none")) == 2
    assert "reads none of the action units of BP4D: it reads AU45" in capsys.readouterr().err


def test_csv_files_of_another_tool_are_a_row(bp4d, tmp_path, capsys):
    folder, written = bp4d
    seen = [unit for unit in facs.BP4D if unit != 24]  # OpenFace has no AU24
    for number, name in enumerate(PEOPLE):
        truth = written[f"{name}_T1"].codes
        path = tmp_path / "openface" / (f"{name}_T1.csv" if number % 2 else f"{name}/T1.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [", ".join(["frame", "success", *(f"AU{u:02d}_{k}" for k in "rc" for u in seen)])]
        for frame, codes in truth.items():
            found = frame != LOST
            intensities = [3.0 * (codes[u] == 1) * found for u in seen]
            lines.append(", ".join(f"{v:g}" for v in (frame, found, *intensities, *(v > 1 for v in intensities))))
        path.write_text("\n".join(lines) + "\n")
    ours = reader(tmp_path / "ours", record=record_of("P3"))
    command = ["--csv", f"OpenFace={tmp_path / 'openface'}", "--checkpoint", str(ours)]
    assert run("bp4d", folder, *command) == 0
    text = capsys.readouterr().out
    rows = lines_of(text)
    assert rows["OpenFace, P3 tested"][:11] == rows["ours, P3 tested"][:11]
    assert rows["OpenFace, P3 tested"][11:] == ["–", "–"]
    assert "OpenFace says nothing of AU24" in text
    alone = ["evaluate", "bp4d", "--data-dir", str(folder / "copy"), "--csv", str(tmp_path / "openface"), "--quiet"]
    assert cli.main([*alone, "--missing", "skip"]) == 0
    assert "openface, mean of 3 of 3 folds" in capsys.readouterr().out
    (tmp_path / "openface/M007_T1.csv").unlink()
    assert cli.main([*alone, "--missing", "skip"]) == 4
    assert "has no csv of M007_T1 (1 of 2 are missing)" in capsys.readouterr().err
    (tmp_path / "openface/M007_T1.csv").write_text("frame,success,AU12_c\n900,1,1\n")
    assert cli.main([*alone, "--missing", "skip"]) == 4
    assert "has none of the labelled frames of M007_T1 (1 to 60)" in capsys.readouterr().err


def test_a_csv_of_pictures_counts_the_pictures(tmp_path):
    from au_d3dface.data.loading import benchmark_builder
    from au_d3dface.errors import InputError
    from au_d3dface.evaluation.benchmarks.tool_tables import said_of_frames

    written = make_bp4d(tmp_path / "copy", [("F001", "T1")], 20, first=2440)
    truth = written["F001_T1"].codes
    rows = [f"{k + 1},1,{int(codes[12] == 1)}" for k, codes in enumerate(truth.values())]
    (tmp_path / "T1.csv").write_text("\n".join(["frame,success,AU12_c", *rows]))
    builder = benchmark_builder("bp4d", str(tmp_path / "copy"), "P1", missing="skip")
    one = next(builder.labelled_sequences(["F001_T1"]))
    said = said_of_frames(tmp_path / "T1.csv", one, BP4D_UNITS)
    assert said.known == {BP4D_UNITS.index(12)}
    assert said.columns["decisions"][:, 6].tolist() == [codes[12] == 1 for codes in truth.values()]
    (tmp_path / "T1.csv").write_text("\n".join(["frame,success,AU12_c", *rows, "21,1,1"]))
    with pytest.raises(InputError, match="has a frame 21, but F001_T1 has 20 pictures"):
        said_of_frames(tmp_path / "T1.csv", one, BP4D_UNITS)


def labels_changed(copy: Path, names, change) -> None:
    for name in names:
        path = copy / "AUCoding" / "AU_OCC" / f"{name}_T1.csv"
        head, *lines = path.read_text().splitlines()
        rows = [change(line.split(",")) for line in lines]
        path.write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n")


def test_an_action_unit_without_positives_is_a_blank_that_is_explained(bp4d, tmp_path, capsys):
    shutil.copytree(bp4d[0], tmp_path / "data")
    labels_changed(tmp_path / "data/copy", PEOPLE[:2], lambda row: [*row[:6], "0", *row[7:]])
    path = reader(tmp_path / "one", record=record_of("P1"))
    assert run("bp4d", tmp_path / "data", "--checkpoint", str(path), "--folds", "P1", "-o", str(tmp_path / "out")) == 0
    text = capsys.readouterr().out
    rows = lines_of(text)
    assert rows["one, P1 tested"][3] == rows["always positive, P1 tested"][3] == "–"
    assert "AU06 is never labelled present in the frames of P1 that count" in text
    fold = json.loads((tmp_path / "out/bp4d.json").read_text())["methods"]["one"]["folds"]["P1"]
    known = [scores["f1"] for scores in fold["by_au"].values() if scores["f1"] is not None]
    assert len(known) == 11
    assert fold["f1"] == pytest.approx(np.mean(known), abs=1e-4)


def test_bad_input_is_one_sentence(bp4d, tmp_path, capsys):
    folder, _ = bp4d
    path = reader(tmp_path / "one", record=record_of("P1"))
    given = ["--checkpoint", str(path)]

    def refused(status: int, sentence: str, *more: str, data: Path = folder, known=given) -> None:
        capsys.readouterr()
        assert run("bp4d", data, *known, *more) == status, sentence
        said = capsys.readouterr()
        assert sentence in said.err
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err
        assert said.out == ""

    refused(2, "there is nothing to score", known=())
    refused(2, "fold '1' means other people in every project", "--folds", "1")
    refused(2, "has no part 'P4'", "--folds", "P4")
    refused(2, "--folds takes different parts", "--folds", "P1,P1")
    refused(2, "two rows are called 'one'", *given)
    refused(2, "takes a place, or NAME=PLACE", known=("--checkpoint", "=x"))
    refused(6, "holds neither a model", known=("--checkpoint", str(tmp_path)))
    refused(6, "is no folder here, and no model of this name", known=("--checkpoint", str(tmp_path / "no/such")))
    refused(2, "does not say which part of bp4d", known=("--checkpoint", str(reader(tmp_path / "mute"))))
    refused(4, "sequences of BP4D are missing", "--missing", "error")
    refused(
        4,
        "was prepared by landmarks, 40 coefficients a frame",
        known=("--checkpoint", str(reader(tmp_path / "deca", record=record_of("P1"), coarse="deca"))),
    )
    refused(4, "holds no model card (README.md)", "--update-card", str(path))
    refused(5, "it is a file", "-o", str(path / "config.json"))
    reader(tmp_path / "folds/P1/model", record=record_of("P1"))
    refused(2, "has no model for P2", "--folds", "P1,P2", known=("--checkpoint", str(tmp_path / "folds")))
    (tmp_path / "mute" / "training.json").write_text("[" * 10**5)
    refused(2, "does not say which part", known=("--checkpoint", str(tmp_path / "mute")))

    shutil.copytree(folder, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/coarse/F001")
    shutil.rmtree(tmp_path / "data/coarse/M007")
    refused(4, "has no sequence of the tested part 'P1'", data=tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    shutil.copytree(folder, tmp_path / "data")
    labels_changed(tmp_path / "data/copy", PEOPLE[:2], lambda row: [row[0], *(99 * ["9"])])
    refused(4, "no frame of the part P1", data=tmp_path / "data")
    without = ["evaluate", "bp4d", "--data-dir", str(folder / "copy"), "--checkpoint", str(path), "--quiet"]
    assert cli.main(without) == 2
    assert "give --prepared" in capsys.readouterr().err


def test_everyone_is_tested_where_a_model_was_trained_elsewhere(bp4d, tmp_path, capsys):
    path = reader(tmp_path / "other", record={"data": "synthetic sequences", "pools": []})
    assert run("bp4d", bp4d[0], "--checkpoint", f"x={path}", "--folds", "all") == 0
    text = capsys.readouterr().out
    assert lines_of(text)["x"][:2] == ["all", "6"]
    assert "all: 322 of 328 sequences are missing and left out" in text


def test_the_card_has_what_is_a_fair_test(bp4d, tmp_path, capsys):
    path = reader(tmp_path / "my-model", record=record_of("P3"))
    (path / "README.md").write_text("---\nlicense: mit\n---\ntext\n")
    assert run("bp4d", bp4d[0], "--checkpoint", str(path), "--folds", "P2,P3", "--update-card", str(path)) == 0
    said = capsys.readouterr()
    assert "not written into the card: P2: it was trained on 14 of the 14 people" in said.err
    card = ModelCard.load(path / "README.md")
    assert {result.dataset_split for result in card.data.eval_results} == {"P3"}
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    average = values["F1, mean over 12 action units"]
    assert f"{100 * average:.1f}" == lines_of(said.out)["my-model, P3 tested"][-1]
    assert 0 < values["always positive, F1, mean over 12 action units"] < average
    assert {f"F1, {facs.label(unit)}" for unit in facs.BP4D} <= values.keys()
    args = card.data.eval_results[0].dataset_args
    assert args["command"] == (
        "au-d3dface evaluate bp4d --data-dir copy --prepared coarse --missing skip --device cpu --quiet --checkpoint "
        "my-model --folds P2,P3 --update-card my-model"
    )
    assert str(tmp_path) not in (path / "README.md").read_text()
    assert run("bp4d", bp4d[0], "--checkpoint", str(path), "--folds", "P2", "--update-card", str(path)) == 5
    assert "there is no score that could be written" in capsys.readouterr().err


def test_events_are_those_of_a_phase_though_it_was_decoded_in_pieces():
    """Ten samples of an action unit across the seam of two pieces, said two samples late."""
    sequence = SimpleNamespace(name="F001_T1", timestamps=np.arange(40) / 10)
    labels, decisions = np.zeros((40, 1)), np.zeros((40, 1))
    labels[15:25], decisions[17:27] = 1, 1
    pieces, rows = [], []
    for start, warm in ((20, 5), (0, 0)):  # not in order of time, as the longest come first
        at = np.arange(start - warm, start + 20)
        pieces.append(ScoredPiece(sequence, at, at >= start, at >= start, 0, int(at[0])))
        rows.append(at[at >= start])
    columns = {"labels": labels[np.concatenate(rows)], "decisions": decisions[np.concatenate(rows)]}
    (score,) = events_of_pieces(pieces, columns)
    assert (score.num_events, score.num_reference) == (1, 1)
    assert score.onset_errors == pytest.approx([0.2])
    assert score.offset_errors == pytest.approx([0.2])
