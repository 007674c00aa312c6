"""Training on made copies of BP4D and DISFA: what faces show is learned, a shifted join is not, folds make a table."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_layouts import make_bp4d, make_disfa
from filmed_bp4d import without
from PIL import Image
from prepared_benchmarks import prepare_copy

from au_d3dface import cli
from au_d3dface.assets import sample_video
from au_d3dface.data.benchmark_crops import SequenceCrops
from au_d3dface.data.loading import benchmark_builder
from au_d3dface.data.synthetic.sample_clip import _ACTS
from au_d3dface.errors import InputError, UsageError
from au_d3dface.face_models import FLAME, FaceMesh, load_face_model
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.tracking import load_tracker, track_faces
from au_d3dface.training import folds
from au_d3dface.training.__main__ import main
from au_d3dface.training.arguments import Arguments, parse, read_arguments
from au_d3dface.training.loop import train
from au_d3dface.video import Frame, VideoReader
from au_d3dface.video_processing_au_d3dface import crop_face, face_box

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

UNITS = [1, 6, 12]
PEOPLE = ("F001", "M007", "M011", "F003", "F007", "F015")
PARTS = {"A": PEOPLE[:2], "B": PEOPLE[2:4], "C": PEOPLE[4:]}
COEFFICIENTS = {"weight_image": 0, "weight_landmarks": 0}
"""Training from coefficients alone: the made faces have no pictures."""
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_temporal_layers": 1,
    "num_spatial_layers": 1,
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of BP4D without pictures, in `copy`; its faces, in `coarse`, and the same a frame late, in `late`."""
    folder = tmp_path_factory.mktemp("bp4d")
    written = make_bp4d(folder / "copy", [(name, "T1") for name in PEOPLE], 60, first=95, pictures=None)
    for name, shift in (("coarse", 0), ("late", 1)):
        prepare_copy(folder / name, written, FaceMesh(), UNITS, shift=shift, lost=(100,))
    (folder / "parts.json").write_text(json.dumps(PARTS))
    return folder


def content(folder: Path, output: Path, prepared: str = "coarse", model=None, data=None, **training) -> dict:
    return {
        "model": SMALL | {"action_units": UNITS} | (model or {}),
        "data": {
            "dataset": "bp4d",
            "data_dir": str(folder / "copy"),
            "prepared": str(folder / prepared),
            "tested": "C",
            "folds_file": str(folder / "parts.json"),
            "clip_length": 12,
        }
        | {"missing": "skip"}
        | (data or {}),
        "training": {
            "output": str(output),
            "epochs": 40,
            "batch_size": 4,
            "learning_rate": 0.003,
            "whitening": 1e-4,
            "evaluate_every": 0,
            **COEFFICIENTS,
        }
        | training,
    }


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text())["held_out"]


@pytest.fixture(scope="module")
def trained(copy, tmp_path_factory) -> Path:
    return train(parse(content(copy, tmp_path_factory.mktemp("run"))))


def test_what_the_faces_show_is_learned(copy, trained):
    scores = scores_of(trained)
    assert scores["frames"] == 120  # every labelled frame of the two tested people, over all phases, once
    for au in ("AU01", "AU06", "AU12"):
        assert scores["by_au"][au]["f1"] > 0.9, au
        assert scores["by_au"][au]["always_positive_f1"] < 0.6, au
    assert AUD3DFaceForReconstruction.from_pretrained(trained).config.action_units == tuple(UNITS)


def test_faces_that_are_joined_a_frame_late_are_not_learned(copy, tmp_path):
    scores = scores_of(train(parse(content(copy, tmp_path, "late"))))
    assert scores["f1_mean"] < 0.6
    assert scores["roc_area_mean"] == pytest.approx(0.5, abs=0.15)


def test_the_record_says_what_was_read_and_names_no_folder(copy, trained):
    record = json.loads((trained / "training.json").read_text())
    assert record["pools"] == [
        {
            "benchmark": "bp4d",
            "tested": "C",
            "parts": "own",
            "frames_that_count": "labelled",
            "coarse": "landmarks",
            "face_model": "facemesh",
            "times_from": ["reported"],
            "trained_on": {"subjects": 4, "sequences": 4, "frames": 240, "frames_without_face": 4}
            | {"people": sorted(PARTS["A"] + PARTS["B"])},
            "held_out": {"subjects": 2, "sequences": 2, "frames": 120, "frames_without_face": 2},
        }
    ]
    assert str(copy) not in json.dumps(record)
    config = json.loads((trained / "config.json").read_text())
    labels = [line.split(",") for line in sorted_lines(copy, PARTS["A"] + PARTS["B"])]
    rates = [np.mean([row[unit] == "1" for row in labels]) for unit in UNITS]
    assert config["au_positive_rates"] == pytest.approx(rates, abs=1e-4)  # of the people trained on alone


def sorted_lines(copy: Path, people: tuple[str, ...]) -> list[str]:
    files = [copy / "copy" / "AUCoding" / "AU_OCC" / f"{name}_T1.csv" for name in people]
    return [line for file in files for line in file.read_text().splitlines()[1:]]


def test_thresholds_are_set_on_training_people(copy, tmp_path):
    folder = train(parse(content(copy, tmp_path, calibrate=2, epochs=1)))
    thresholds = json.loads((folder / "generation_config.json").read_text())["au_thresholds"]
    assert len(thresholds) == 3


def test_the_mlp_baseline_reads_the_same_coefficients(copy, tmp_path):
    # L_img and L_lmk are about meshes, of which an MLP makes none: their weights ask for nothing.
    wanted = content(copy, tmp_path, whitening=0.0, learning_rate=0.01, weight_image=2, weight_landmarks=2)
    wanted["model"] = {"model_type": "au_d3dface_mlp", "action_units": UNITS, "hidden_sizes": [32]}
    assert scores_of(train(parse(wanted)))["f1_mean"] > 0.9
    wanted["model"]["coarse"] = "deca"
    wanted["training"]["output"] = str(tmp_path / "deca")
    with pytest.raises(InputError, match=r"was prepared by landmarks, but model\.coarse is deca"):
        train(parse(wanted))


def test_flame_with_a_jaw_is_trained_too(flame_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("AU_D3DFACE_FLAME", str(flame_folder))
    written = make_bp4d(tmp_path / "copy", [(name, "T1") for name in PEOPLE], 15, pictures=None)
    prepare_copy(tmp_path / "coarse", written, FLAME(flame_folder), UNITS, coarse="deca")
    flame = {"face_model": "flame", "num_vertices": 5023, "num_faces": 9976}
    own = {"tested": "P3", "folds_file": None, "clip_length": 4}
    wanted = content(tmp_path, tmp_path / "run", model=flame, data=own, epochs=1, batch_size=2, whitening=0.0)
    record = json.loads((train(parse(wanted)) / "training.json").read_text())
    assert record["pools"][0]["coarse"] == "deca"
    assert record["held_out"]["frames"] == 30
    # Tested again from the checkpoint, which holds FLAME's checksum and not its mesh.
    given = ["evaluate", "bp4d", "--data-dir", str(tmp_path / "copy"), "--prepared", str(tmp_path / "coarse")]
    given += ["--missing", "skip", "--device", "cpu", "--quiet", "--checkpoint", str(tmp_path / "run")]
    assert cli.main([*given, "-o", str(tmp_path / "table")]) == 0
    fold = json.loads((tmp_path / "table/bp4d.json").read_text())["methods"]["run"]["folds"]["P3"]
    for au, scores in record["held_out"]["by_au"].items():
        assert fold["by_au"][au]["roc_area"] == pytest.approx(scores["roc_area"], abs=2e-3)
    wanted["training"] |= {"whitening": 1e-4, "output": str(tmp_path / "other")}
    with pytest.raises(UsageError, match=r"training.whitening needs faces that are linear .* deca have a jaw"):
        train(parse(wanted))


def test_three_folds_in_one_command_are_resumed_and_make_a_table(copy, tmp_path, capsys):
    config = tmp_path / "small.yaml"
    wanted = content(copy, tmp_path / "unused", epochs=30)
    for section, name in (("data", "tested"), ("training", "output"), ("data", "data_dir"), ("data", "prepared")):
        del wanted[section][name]
    config.write_text(json.dumps(wanted))
    command = ["--config", str(config), "--data-dir", str(copy / "copy"), "--prepared", str(copy / "coarse")]
    command += ["--output", str(tmp_path / "out")]
    assert folds.main([*command, "--folds", "C"]) == 0
    assert "| measured, C tested" in capsys.readouterr().out
    stamp = (tmp_path / "out/C/model/training.json").stat().st_mtime_ns
    assert folds.main(command) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "out/C/model/training.json").stat().st_mtime_ns == stamp  # not trained again

    table = json.loads((tmp_path / "out/folds.json").read_text())
    measured = table["methods"]["measured"]
    assert list(measured["folds"]) == ["A", "B", "C"]
    for part, fold in measured["folds"].items():
        assert (fold["frames"], fold["frames_without_face"], fold["subjects"]) == (120, 2, 2)
        assert fold["f1"] == pytest.approx(scores_of(tmp_path / "out" / part / "model")["f1_mean"], abs=2e-4)
        assert min(fold["by_au"][au]["f1"] for au in ("AU01", "AU06", "AU12")) > 0.85
        assert fold["always_positive_f1"] < 0.6
        record = json.loads((tmp_path / "out" / part / "model" / "training.json").read_text())
        assert record["pools"][0]["tested"] == part
        assert record["command"].endswith(f"--tested {part}")
    mean = sum(fold["by_au"]["AU06"]["f1"] for fold in measured["folds"].values()) / 3
    assert measured["mean"]["by_au"]["AU06"]["f1"] == pytest.approx(mean, abs=1e-4)
    text = (tmp_path / "out/folds.md").read_text()
    assert said.strip().endswith(text.strip())
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["F1, %", "AU01", "AU06", "AU12", "average"] in lines
    rows = {line[0]: line[1:] for line in lines}
    assert rows["measured, mean of 3 of 3 folds"][1] == f"{100 * mean:.1f}"
    assert rows["paper, *the model, temporal + spatial"] == ["54.5", "72.3", "87.5", "–"]  # another average: of twelve
    assert float(rows["always positive, mean of 3 of 3 folds"][0]) < 60
    assert "parts of your own" in text
    assert (tmp_path / "out/folds.tex").read_text().startswith("% needs")
    assert (tmp_path / "out/folds.png").is_file()

    # The same scores from the checkpoints themselves, each tested on the part that its training left out.
    evaluated = ["evaluate", "bp4d", "--data-dir", str(copy / "copy"), "--prepared", str(copy / "coarse"), "--quiet"]
    evaluated += ["--folds-file", str(copy / "parts.json"), "--missing", "skip", "--device", "cpu"]
    evaluated += ["--checkpoint", f"measured={tmp_path / 'out'}", "-o", str(tmp_path / "again")]
    assert cli.main(evaluated) == 0
    again = json.loads((tmp_path / "again/bp4d.json").read_text())["methods"]["measured"]["folds"]
    for part, fold in measured["folds"].items():
        assert again[part]["frames"] == fold["frames"]
        for au, scores in fold["by_au"].items():
            assert {name: again[part]["by_au"][au][name] for name in scores} == pytest.approx(scores, abs=2e-4)
            assert 0 <= again[part]["by_au"][au]["onset_error"] < 0.1
    assert "trained on" not in capsys.readouterr().out

    # Another recipe is refused where a checkpoint of the first one lies, and nothing is written over.
    assert folds.main([*command, "--learning-rate", "0.1"]) == 6
    assert "learning_rate was" in capsys.readouterr().err
    assert (tmp_path / "out/C/model/training.json").stat().st_mtime_ns == stamp


def test_two_processes_train_and_test_folds_one_after_the_other(copy, tmp_path):
    wanted = content(copy, tmp_path / "out", epochs=1, batch_size=2)
    del wanted["data"]["tested"]
    (tmp_path / "small.yaml").write_text(json.dumps(wanted))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    launch += ["-m", "au_d3dface.training.folds", "--config", str(tmp_path / "small.yaml"), "--folds", "A,B"]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    table = json.loads((tmp_path / "out/folds.json").read_text())
    assert [fold["frames"] for fold in table["methods"]["measured"]["folds"].values()] == [120, 120]
    assert done.stdout.count("# BP4D: action units") == 1


def test_the_shipped_configs_are_the_papers(tmp_path):
    names = ["--tested", "P3", "--prepared", "x", "--data-dir", "y"]
    bp4d, disfa = (read_arguments(["--config", name, *names]) for name in ("bp4d", "disfa"))
    assert bp4d.validate().action_units == (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    assert disfa.validate().action_units == (1, 2, 4, 6, 9, 12, 25, 26)
    assert disfa.data.present_from == 2
    for arguments in (bp4d, disfa):
        training, weights = arguments.training, arguments.training.loss_weights
        assert (training.learning_rate, training.epochs, arguments.data.clip_length) == (5e-5, 20, 20)
        assert [weights[name] for name in ("image", "landmarks", "smooth", "au", "vertices")] == [2, 2, 1, 5, 0]
        assert not training.motion_span  # which faces of DECA, the paper's, cannot have


def test_disfa_with_its_own_config(tmp_path):
    people = ("SN001", "SN002", "SN013", "SN018", "SN003")
    written = make_disfa(tmp_path / "copy", people, 80)
    units = (1, 2, 4, 6, 9, 12, 25, 26)
    prepare_copy(tmp_path / "coarse", written, FaceMesh(), units)
    command = ["--config", "disfa", "--data-dir", str(tmp_path / "copy"), "--prepared", str(tmp_path / "coarse")]
    command += ["--tested", "P3", "--missing", "skip", "--output", str(tmp_path / "run"), "--whitening", "0.0001"]
    command += ["--epochs", "60", "--batch-size", "4", "--learning-rate", "0.003"]
    command += ["--weight-image", "0", "--weight-landmarks", "0"]
    for name, value in SMALL.items():
        command += ["--model", f"{name}={value}"]
    assert main(command) == 0
    record = json.loads((tmp_path / "run/model/training.json").read_text())
    assert record["pools"][0]["times_from"] == ["prepared"]
    scores = record["held_out"]
    assert scores["frames"] == 80
    assert scores["f1_mean"] > 0.85
    assert scores["always_positive_f1_mean"] < 0.6
    assert scores["intensity_r_mean"] > 0.6


def refused(arguments: dict | Arguments, sentence: str, kind=UsageError) -> None:
    with pytest.raises(kind, match=sentence):
        train(arguments if isinstance(arguments, Arguments) else parse(arguments))


def test_bad_inputs_are_one_sentence(copy, tmp_path):
    def wanted(**data) -> dict:
        return content(copy, tmp_path, data=data)

    refused(wanted(dataset="bp4"), "did you mean 'bp4d'")
    refused(wanted(data_dir=None), "name its folder as data.data_dir")
    refused(wanted(prepared=None), "name the folder that it wrote as data.prepared")
    refused(wanted(data_dir=str(copy / "nowhere")), "nowhere", InputError)
    refused(wanted(prepared=str(tmp_path)), "holds nothing that `au-d3dface prepare` made of bp4d", InputError)
    refused(wanted(tested=None), "name the part of it that is held out as data.tested")
    refused(wanted(tested="P4"), "has no part 'P4'")
    refused(wanted(tested="1"), "fold '1' means other people in every project")
    refused(wanted(tested="all"), "nobody is left to train on")
    refused(wanted(sequences=3), "data.sequences is no setting of the data set bp4d")
    refused(wanted(camera="right"), "data.camera is no setting of the data set bp4d")
    refused({"data": {"tested": "P1"}}, "data.tested is no setting of the data set synthetic")
    refused(wanted(frames="all"), "data.frames must be labelled or pictures or prepared")
    refused(wanted(missing="error"), "sequences of BP4D are missing", InputError)
    refused(content(copy, tmp_path, linear_reading=0.3), "training.linear_reading teaches what fast synthetic")
    refused(content(copy, tmp_path, freeze_video=True), "training.freeze_video needs a video branch")
    frozen = content(copy, tmp_path, model={"use_video": True}, freeze_video=True)
    refused(frozen, "training.freeze_video needs training.video_weights")
    refused(content(copy, tmp_path, video_weights="x"), "training.video_weights needs a video branch")
    refused(content(copy, tmp_path, model={"action_units": [1, 11]}), "AU11 has no known label in the training parts")
    refused(content(copy, tmp_path, best_metric="refined_error_mm"), "have no true meshes")
    # Parts whose people are not in the copy.
    refused(wanted(folds_file=None, tested="P2", missing="error"), "sequences of BP4D are missing", InputError)
    parts = tmp_path / "parts.json"
    parts.write_text(json.dumps(PARTS | {"D": ["F010"]}))
    refused(wanted(folds_file=str(parts), tested="D"), "has no sequence of the tested part 'D'", InputError)
    parts.write_text(json.dumps({"A": PEOPLE, "D": ["F010"]}))
    refused(wanted(folds_file=str(parts), tested="A"), "has no sequence of a part to train on", InputError)


def test_coefficients_that_are_not_finite_are_named(copy, tmp_path):
    shutil.copytree(copy / "coarse", tmp_path / "coarse")
    path = next((tmp_path / "coarse").rglob("*.npz"))
    with np.load(path) as stored:
        arrays = dict(stored)
    name = next(name for name in arrays if name.endswith("_expression"))
    arrays[name][np.flatnonzero(arrays[name.replace("expression", "valid")])[0], 2] = np.nan
    np.savez(path, **arrays)
    given = content(copy, tmp_path / "run", data={"prepared": str(tmp_path / "coarse")})
    refused(given, rf"{path.name} holds numbers that are not finite in 'expression'", InputError)


def test_an_action_unit_that_nobody_shows_in_training(copy, tmp_path):
    written = make_bp4d(tmp_path / "copy", [(name, "T1") for name in PEOPLE], 60, pictures=None)
    prepare_copy(tmp_path / "coarse", written, FaceMesh(), UNITS)
    for name in PARTS["A"] + PARTS["B"]:
        path = tmp_path / "copy" / "AUCoding" / "AU_OCC" / f"{name}_T1.csv"
        head, *lines = path.read_text().splitlines()
        rows = [line.split(",") for line in lines]
        path.write_text("\n".join([head, *(",".join([*row[:6], "0", *row[7:]]) for row in rows)]) + "\n")
    own = {"folds_file": str(copy / "parts.json")}
    refused(content(tmp_path, tmp_path / "run", data=own), "AU06 never occurs in the training parts")


def test_the_command_of_the_folds_refuses_what_the_protocol_has_not(copy, tmp_path, capsys):
    command = ["--config", "bp4d", "--data-dir", str(copy / "copy"), "--prepared", str(copy / "coarse")]
    command += ["--output", str(tmp_path)]
    assert folds.main([*command, "--tested", "P1"]) == 2
    assert "leave data.tested out" in capsys.readouterr().err
    assert folds.main([*command, "--calibrate", "5"]) == 2
    assert "the protocol's threshold is 0.5" in capsys.readouterr().err
    assert folds.main([*command, "--patience", "2"]) == 2
    assert "the tested people must not decide when training stops" in capsys.readouterr().err
    assert folds.main([*command, "--folds", "P1,P9"]) == 2
    assert "has no part 'P9'" in capsys.readouterr().err
    assert folds.main([*command, "--folds", "P1,P1"]) == 2
    assert "must name different parts" in capsys.readouterr().err
    assert folds.main(["--config", "default", "--output", str(tmp_path)]) == 2
    assert "has no parts" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


TINY_VIDEO = {
    **{"use_video": "true", "image_size": "32", "video_embed_dim": "4", "video_depths": "[1, 1]"},
    **{"video_num_heads": "[1, 2]", "video_window_size": "[2, 2, 2]"},
}


@pytest.mark.slow
def test_from_pictures_through_prepare_to_a_checkpoint(tmp_path, capsys):
    """The sample clip as three people's pictures in BP4D's layout: tracked, fitted, joined, trained and scored."""
    people, copy = ("F001", "F003", "F007"), tmp_path / "copy"
    (copy / "AUCoding").mkdir(parents=True)
    lines = {name: [",".join(map(str, range(100)))] for name in people}
    with VideoReader(sample_video()) as reader:
        for frame in reader:
            name, number = people[frame.index % 3], 500 + frame.index // 3
            active = {row[0] for row in _ACTS if (row[3] + row[4]) / 2 <= frame.timestamp <= (row[5] + row[6]) / 2}
            codes = ["1" if unit in active else "0" for unit in range(1, 100)]
            lines[name].append(",".join([str(number), *codes]))
            (copy / name / "T1").mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame.image).save(copy / name / "T1" / f"{number}.jpg", quality=95)
    for name in people:
        (copy / "AUCoding" / f"{name}_T1.csv").write_text("\n".join(lines[name]) + "\n")
    assert cli.main(["prepare", str(copy), "--output", str(tmp_path / "coarse"), "--device", "cpu", "--quiet"]) == 0
    options = ["--config", "bp4d", "--data-dir", str(copy), "--prepared", str(tmp_path / "coarse"), "--tested", "P3"]
    options += ["--missing", "skip", "--frame-rate", "10", "--output", str(tmp_path / "run"), "--whitening", "0.0001"]
    options += ["--epochs", "30", "--batch-size", "2", "--learning-rate", "0.003", "--weight-intensity", "0"]
    options += ["--weight-image", "0"]
    for name, value in (SMALL | {"action_units": "[1, 4, 12, 17]", "num_temporal_layers": 1}).items():
        options += ["--model", f"{name}={value}"]
    assert main(options) == 0
    record = json.loads((tmp_path / "run/model/training.json").read_text())
    assert record["pools"][0]["held_out"] == {"subjects": 1, "sequences": 1, "frames": 78, "frames_without_face": 0}
    for au, scores in record["held_out"]["by_au"].items():
        assert scores["roc_area"] > 0.9, au
    assert torch.isfinite(torch.tensor(record["held_out"]["f1_mean"]))

    # The same with the pictures read as well: faces are cut out as in the pipeline, and the video branch learns.
    options[options.index("--output") + 1] = str(tmp_path / "video")
    options[options.index("--epochs") + 1] = "2"
    for name, value in TINY_VIDEO.items():
        options += ["--model", f"{name}={value}"]
    assert main(options) == 0
    record = json.loads((tmp_path / "video/model/training.json").read_text())
    assert record["held_out"]["frames"] == 78
    model = AUD3DFaceForReconstruction.from_pretrained(tmp_path / "video/model")
    assert model.config.use_video
    given = ["evaluate", "bp4d", "--data-dir", str(copy), "--prepared", str(tmp_path / "coarse"), "--frame-rate", "10"]
    given += ["--missing", "skip", "--device", "cpu", "--quiet", "--checkpoint", str(tmp_path / "video")]
    assert cli.main([*given, "-o", str(tmp_path / "table")]) == 0
    measured = json.loads((tmp_path / "table/bp4d.json").read_text())["methods"]["video"]
    assert (measured["input"], measured["modules"]) == ("mesh + video", "temporal + spatial")
    for au, scores in record["held_out"]["by_au"].items():
        assert measured["folds"]["P3"]["by_au"][au]["roc_area"] == pytest.approx(scores["roc_area"], abs=2e-3)

    builder = benchmark_builder("bp4d", str(copy), "P3", missing="skip", prepared=str(tmp_path / "coarse"))
    one = next(builder.labelled_sequences(["F001_T1"]))
    face = load_face_model("facemesh")
    crops = SequenceCrops(one, face, 64)
    seen = crops(torch.tensor([5, 6]), torch.tensor([True, False]))
    assert not seen[1].any()
    picture = np.asarray(Image.open(one.pictures[5]).convert("RGB"))
    with closing(load_tracker()) as tracker:
        tracked = track_faces([Frame(0, 0.0, picture)], tracker).largest.landmarks[0]
    x, y, side = face_box(tracked)
    near = face_box(crops.corners[5].numpy())
    assert np.abs(np.subtract(near, (x, y, side))).max() < 0.02 * side  # tracked in one picture, and in a video
    one.prepared = str(without(tmp_path / "coarse", tmp_path / "earlier", "_corners") / "F001" / "T1.npz")
    near = face_box(SequenceCrops(one, face, 64).corners[5].numpy())
    assert np.abs(np.subtract(near, (x, y, side))).max() < 0.06 * side  # around the coarse mesh, not the tracked points
    assert (seen[0].float() - crop_face(picture, tracked, 64).float()).abs().mean() < 25
    (copy / "F001" / "T1" / "510.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"510\.jpg is not a picture"):
        crops(torch.arange(len(one.pictures)), torch.ones(len(one.pictures), dtype=torch.bool))
    one.pictures[3] = None
    with pytest.raises(InputError, match="1 frames with a face have no picture"):
        SequenceCrops(one, face, 64)
