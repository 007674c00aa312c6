"""The agreement's rules on tables made for them, with scipy and scikit-learn as the other way to the same number."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from scipy.stats import pearsonr

from au_d3dface.cli import main
from au_d3dface.errors import InputError, UsageError
from au_d3dface.evaluation.au_tables import AUTable
from au_d3dface.evaluation.real_clips.agreement import Agreement, ClipAgreement, clip_agreement
from au_d3dface.evaluation.real_clips.clips import pair_by_name

sklearn = pytest.importorskip("sklearn.metrics")


def table(frames, valid=None, intensities=None, presence=None, probabilities=None) -> AUTable:
    frames = np.asarray(frames)
    valid = np.ones(len(frames), bool) if valid is None else np.asarray(valid, bool)
    return AUTable(frames, valid, intensities or {}, presence or {}, probabilities or {})


def test_only_frames_valid_in_both_joined_by_number():
    rng = np.random.default_rng(0)
    ours_frames, reference_frames = np.arange(1, 61), np.array([n for n in range(1, 61) if n % 7])
    ours_valid, reference_valid = rng.random(60) > 0.2, rng.random(len(reference_frames)) > 0.2
    mine, probability = rng.uniform(0, 5, 60), rng.random(60)
    theirs, present = rng.uniform(0, 5, len(reference_frames)), rng.integers(0, 2, len(reference_frames))
    mine[~ours_valid], probability[~ours_valid] = np.nan, np.nan
    score = clip_agreement(
        table(ours_frames, ours_valid, {12: mine}, {}, {12: probability}),
        table(reference_frames, reference_valid, {12: theirs}, {12: present.astype(float)}),
    )
    at = {int(n): k for k, n in enumerate(reference_frames)}
    both = [(n - 1, at[n]) for n in range(1, 61) if n in at and ours_valid[n - 1] and reference_valid[at[n]]]
    mine_rows, their_rows = map(list, zip(*both, strict=True))
    assert (score.frames, score.common_frames) == (60, len(both))
    assert score.r[12] == pytest.approx(pearsonr(mine[mine_rows], theirs[their_rows]).statistic)
    assert score.roc_area[12] == pytest.approx(sklearn.roc_auc_score(present[their_rows], probability[mine_rows]))


def test_probability_stands_in_for_a_missing_intensity_and_the_other_way_round():
    frames, ramp = np.arange(1, 21), np.linspace(0, 1, 20)
    reference = table(frames, None, {12: 3 * ramp}, {12: (ramp > 0.4).astype(float)})
    for ours in (table(frames, intensities={12: 5 * ramp}), table(frames, probabilities={12: ramp})):
        score = clip_agreement(ours, reference)
        assert (score.r[12], score.roc_area[12]) == (pytest.approx(1), 1)


def test_where_the_reference_hardly_moves_there_is_no_score():
    frames = np.arange(1, 101)
    moves = np.tile([0.0, 1.0], 50)
    ours = table(frames, intensities=dict.fromkeys((1, 2), moves))
    spread = {1: 0.149 * (2 * moves - 1) + 1, 2: 0.151 * (2 * moves - 1) + 1}
    presence = {1: (frames <= 4).astype(float), 2: (frames <= 5).astype(float)}
    score = clip_agreement(ours, table(frames, None, spread, presence))
    assert (score.r.keys(), score.roc_area.keys()) == ({2}, {2})
    general = {1: (frames <= 95).astype(float), 2: (frames <= 96).astype(float)}
    assert clip_agreement(ours, table(frames, None, {}, general)).roc_area.keys() == {1}


def test_a_prediction_that_never_moves_has_r_zero_and_area_one_half():
    frames, ramp = np.arange(1, 21), np.linspace(0, 3, 20)
    reference = table(frames, None, {12: ramp}, {12: (ramp > 1).astype(float)})
    score = clip_agreement(table(frames, intensities={12: np.full(20, 0.1)}), reference)
    assert (score.r[12], score.roc_area[12]) == (0, 0.5)


def test_unknown_cells_of_one_au_leave_out_only_that_one():
    frames, ramp = np.arange(1, 21), np.linspace(0, 3, 20)
    holed = np.where(frames > 15, np.nan, ramp)
    score = clip_agreement(table(frames, intensities={1: ramp, 2: ramp}), table(frames, None, {1: holed, 2: ramp}))
    assert score.r == {1: pytest.approx(1), 2: pytest.approx(1)}
    assert score.common_frames == 20


@pytest.mark.parametrize(
    ("ours", "reference", "words"),
    [
        (
            table(range(1, 101), intensities={1: np.ones(100)}),
            table(range(1, 97), None, {1: np.ones(96)}),
            "same video",
        ),
        (table([1, 2], intensities={1: np.ones(2)}), table([1, 2], None, {2: np.ones(2)}), "no action unit in common"),
        (
            table([1, 2], [True, False], {1: np.ones(2)}),
            table([1, 2], [False, True], {1: np.ones(2)}),
            "no frame in which both",
        ),
    ],
)
def test_what_does_not_fit_together(ours, reference, words):
    with pytest.raises(InputError, match=words) as error:
        clip_agreement(ours, reference, ("mine.mp4", "theirs.csv"))
    assert "mine.mp4" in str(error.value)
    assert "theirs.csv" in str(error.value)


def test_lengths_may_differ_by_what_decoders_differ():
    ramp = np.linspace(0, 3, 100)
    ours = table(range(1, 101), intensities={1: ramp})
    assert clip_agreement(ours, table(range(1, 98), None, {1: ramp[:97]})).common_frames == 97


def test_a_reference_of_every_tenth_frame_may_end_before_the_last():
    ramp = np.linspace(0, 3, 99)
    reference = table(range(1, 92, 10), None, {1: ramp[:91:10]})
    assert clip_agreement(table(range(1, 100), intensities={1: ramp}), reference).common_frames == 10
    with pytest.raises(InputError, match="same video"):
        clip_agreement(table(range(1, 120), intensities={1: np.linspace(0, 3, 119)}), reference)


def test_means_are_over_clips_and_then_over_aus():
    agreement = Agreement(
        {
            "a": ClipAgreement(10, 10, {12: 0.8, 17: 0.0}, {12: 1.0}),
            "b": ClipAgreement(90, 50, {12: 0.4, 1: 0.2}, {28: 0.5, 12: 0.6}),
        }
    )
    assert agreement.r == {1: 0.2, 12: pytest.approx(0.6), 17: 0.0}
    assert agreement.core_r == pytest.approx(0.4)
    assert agreement.mean_r == pytest.approx(0.8 / 3)
    assert agreement.mean_roc_area == pytest.approx((0.8 + 0.5) / 2)
    assert agreement.numbers()["core_action_units"] == [1, 12]
    assert "AU02, AU04, AU05, AU25, AU26, AU45" in agreement.text()


def test_pairs_of_two_folders(tmp_path):
    clips, references = tmp_path / "clips", tmp_path / "references"
    (clips / "b").mkdir(parents=True)
    references.mkdir()
    for name in ("a.mp4", "c.mp4", "c.mov", "a.txt.bak"):
        (clips / name).touch()
    for name in ("a.csv", "b.csv", "d.csv", "notes.txt"):
        (references / name).touch()
    pairs, (note,) = pair_by_name(clips, references)
    assert pairs == [(clips / "a.mp4", references / "a.csv"), (clips / "b", references / "b.csv")]
    assert [name in note for name in ("c.mp4", "c.mov", "d.csv", "notes.txt")] == [True, True, True, False]
    (references / "c.csv").touch()
    with pytest.raises(UsageError, match="one name"):
        pair_by_name(clips, references)
    with pytest.raises(InputError, match="no clip"):
        pair_by_name(references, clips)
    with pytest.raises(InputError, match="nowhere"):
        pair_by_name(tmp_path / "nowhere", clips)


def test_clips_and_references_in_one_folder(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.csv").touch()
    assert pair_by_name(tmp_path, tmp_path) == ([(tmp_path / "a.mp4", tmp_path / "a.csv")], [])


@pytest.fixture(scope="module")
def ours(short, tmp_path_factory) -> Path:
    """The csv that this program writes of the video."""
    folder = tmp_path_factory.mktemp("ours")
    assert main(["reconstruct", str(short), "-o", str(folder), "--formats", "csv", "--quiet"]) == 0
    return folder / "action_units.csv"


@pytest.fixture(scope="module")
def reference(ours, write_openface) -> Path:
    """The same as a reference, with OpenFace's columns and blanks."""
    table = pd.read_csv(ours)
    names = [name for name in table if name in ("frame", "success") or name.endswith(("_r", "_c"))]
    return write_openface(ours.parent / "short.csv", {name: table[name].to_numpy() for name in names})


def test_the_command_line_with_a_video_and_with_its_csv(short, ours, reference, tmp_path, capsys):
    assert main(["evaluate", "agreement", str(short), str(reference), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    printed = capsys.readouterr().out
    numbers = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert (tmp_path / "out" / "agreement.md").read_text() == printed
    scores = numbers["clips"]["short"]
    assert (scores["frames"], scores["common_frames"]) == (90, 90)
    assert numbers["by_au"]["AU01"] == {"r": 1.0, "roc_area": 1.0}  # the brows rise, and it is compared with itself
    assert numbers["core_r"] == 1.0
    # The csv and the folder that it lies in, once more, without the pipeline.
    pairs = [str(ours), str(reference), str(ours.parent), str(reference)]
    assert main(["evaluate", "agreement", *pairs, "--model", str(tmp_path / "nowhere")]) == 0
    again = capsys.readouterr().out
    assert [str(ours), str(ours.parent)] == [line.split("|")[1].strip() for line in again.splitlines()[4:6]]
    # And into a card.
    (tmp_path / "README.md").write_text("# A card\n")
    assert main(["evaluate", "agreement", str(ours), str(reference), "--update-card", str(tmp_path), "--quiet"]) == 0
    (core, *_), args = ModelCard.load(tmp_path / "README.md").data.eval_results, f"{ours.name} {reference.name}"
    assert (core.dataset_type, core.dataset_split, core.metric_value) == ("agreement", "1 clip", 1.0)
    assert core.dataset_args["command"].startswith(f"au-d3dface evaluate agreement {args} --update-card")
    assert main(["evaluate", "agreement", str(ours), str(reference), "--update-card", str(ours.parent)]) == 4
    assert "holds no model card" in capsys.readouterr().err


def test_pyfeats_csv_of_every_second_frame(ours, tmp_path, capsys):
    own = pd.read_csv(ours)
    rows = own.iloc[::2]
    columns = {f"AU{unit:02d}": rows[f"AU{unit:02d}_p"] for unit in (1, 2, 12)}
    reference = pd.DataFrame({"FaceScore": 0.99, **columns, "frame": rows["frame"] - 1, "approx_time": "00:00"})
    reference.to_csv(tmp_path / "clip.csv", index=False)
    (tmp_path / "README.md").write_text("# A card\n")
    arguments = [str(ours), str(tmp_path / "clip.csv"), "-o", str(tmp_path / "out"), "--update-card", str(tmp_path)]
    assert main(["evaluate", "agreement", *arguments]) == 0
    assert "the reference's intensity (py-feat's probability times 5) (standard deviation" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/agreement.json").read_text())
    assert found["clips"]["clip"]["common_frames"] == 45
    assert found["clips"]["clip"]["reference"] == "py-feat"
    intensity, probability = rows["AU01_r"], rows["AU01_p"]
    assert found["by_au"]["AU01"]["r"] == pytest.approx(pearsonr(intensity, probability).statistic, abs=1e-4)
    area = sklearn.roc_auc_score(probability >= 0.5, probability)
    assert found["by_au"]["AU01"]["roc_area"] == pytest.approx(area, abs=1e-4)
    (result, *_) = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert "(py-feat's csv)" in result.dataset_name


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "nothing to compare"),
        (["sample"], 2, "odd"),
        (["--clips", "."], 2, "--references"),
        (["sample", "missing.csv"], 4, "missing.csv"),
        (["missing.mp4", "{reference}"], 4, "missing.mp4"),
        (["sample", "{reference}"], 4, "same video"),
        (["{video}", "{reference}", "--face", "9"], 2, "no face 9"),
        (["{video}", "{reference}", "--reference-face", "9"], 2, "face_id"),
        (["{video}", "{reference}", "--model", "nowhere"], 6, "nowhere"),
        (["{video}", "{reference}", "-o", "{reference}"], 5, "is a file"),
    ],
)
def test_bad_input_of_the_command_line_is_one_sentence(arguments, status, words, short, reference, capsys):
    arguments = [part.format(video=short, reference=reference) for part in arguments]
    assert main(["evaluate", "agreement", *arguments]) == status
    output = capsys.readouterr()
    lines = output.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("au-d3dface: error: ")
    assert words in lines[0]
    assert output.out == ""


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_real_clip_against_openface(clips, shared_data, tmp_path):
    reference = shared_data.parent / "reference" / "openface" / "liveportrait_d18.csv"
    if not reference.is_file():
        pytest.skip(f"OpenFace's csv not found at {reference}")
    clip = clips / "liveportrait_d18.mp4"
    assert main(["evaluate", "agreement", str(clip), str(reference), "-o", str(tmp_path), "--quiet"]) == 0
    numbers = json.loads((tmp_path / "agreement.json").read_text())
    assert numbers["clips"]["liveportrait_d18"]["common_frames"] == 216
    # Blinks and parted lips are what ours and OpenFace agree about.
    assert numbers["by_au"]["AU45"]["r"] > 0.7
    assert numbers["by_au"]["AU25"]["r"] > 0.7
