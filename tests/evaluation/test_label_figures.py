"""Figures of action units against labels: what is read, what is drawn, the numbers beside, and bad input."""

import json

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from au_d3dface import facs
from au_d3dface.cli import main
from au_d3dface.evaluation.figures.labelled_clips import LabelledClip, labelled_clip
from au_d3dface.evaluation.figures.reliability import reliability_figure, reliability_numbers, rows_of_clips
from au_d3dface.evaluation.figures.timeline import timeline_figure, timeline_numbers
from au_d3dface.metrics import brier_score, f1_score, reliability

FRAMES = 40
UNITS = (1, 6, 12, 25)


def no_pipeline():
    raise AssertionError("nothing is to be reconstructed")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(size=(FRAMES, len(UNITS))).round(3)
    labels = (rng.uniform(size=probabilities.shape) < probabilities).astype(int)
    valid = np.ones(FRAMES, bool)
    valid[10:13] = False
    return {"probabilities": probabilities, "labels": labels, "valid": valid}


@pytest.fixture(scope="module")
def ours(arrays, tmp_path_factory):
    """A folder as `reconstruct` writes it: the csv with a gap, and the thresholds."""
    folder = tmp_path_factory.mktemp("ours")
    head = ["frame", "face_id", "timestamp", "success"]
    head += [f"{facs.label(u)}_{kind}" for kind in "pc" for u in UNITS]
    lines = [",".join(head)]
    for row in range(FRAMES):
        found = arrays["valid"][row]
        p = arrays["probabilities"][row]
        values = [f"{x:g}" for x in p] + [str(int(x >= 0.4)) for x in p] if found else [""] * (2 * len(UNITS))
        lines.append(",".join([str(row + 1), "0", f"{row / 25:g}", str(int(found)), *values]))
    (folder / "action_units.csv").write_text("\n".join(lines) + "\n")
    (folder / "summary.json").write_text(json.dumps({"thresholds": {facs.label(u): 0.4 for u in UNITS}}))
    return folder


@pytest.fixture(scope="module")
def label_file(arrays, tmp_path_factory):
    """As --au-labels takes it; AU 12 is not labelled in the first five frames, AU 25 nowhere."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    lines = ["frame,AU01,AU06,AU12"]
    for row in range(FRAMES):
        one, six, twelve, _ = arrays["labels"][row]
        lines.append(f"{row + 1},{one},{six},{'' if row < 5 else twelve}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_clip_and_label_file(ours, label_file, arrays):
    clip = labelled_clip(ours, label_file, no_pipeline)
    assert clip.action_units == (1, 6, 12)
    assert clip.thresholds.tolist() == [0.4] * 3
    np.testing.assert_array_equal(clip.valid, arrays["valid"])
    np.testing.assert_allclose(clip.times, np.arange(FRAMES) / 25)
    known = arrays["valid"]
    np.testing.assert_allclose(clip.probabilities[known], arrays["probabilities"][known, :3])
    assert np.isnan(clip.probabilities[~known]).all()
    assert (clip.decisions[~known] == -1).all()
    np.testing.assert_array_equal(clip.decisions[known], arrays["probabilities"][known, :3] >= 0.4)
    assert (clip.labels[:5, 2] == -1).all()
    np.testing.assert_array_equal(clip.labels[5:], arrays["labels"][5:, :3])


def test_the_four_kinds_of_labels_say_the_same(ours, arrays, tmp_path, write_openface):
    columns = {"frame": np.arange(FRAMES) + 1, "success": np.ones(FRAMES)}
    columns |= {f"AU{u:02d}_c": arrays["labels"][:, k] for k, u in enumerate(UNITS)}
    openface = write_openface(tmp_path / "openface.csv", columns)
    bp4d = tmp_path / "F001_T1.csv"
    rows = [f"{row + 101}," + ",".join(map(str, arrays["labels"][row])) for row in range(FRAMES)]
    bp4d.write_text("\n".join(["0," + ",".join(map(str, UNITS)), *rows]) + "\n")
    disfa = tmp_path / "SN001"
    disfa.mkdir()
    for k, unit in enumerate(UNITS):
        # Intensity 1 is absent in DISFA as papers score it, 2 is present.
        text = "".join(f"{row + 1},{1 + arrays['labels'][row, k]}\n" for row in range(FRAMES))
        (disfa / f"SN001_au{unit}.txt").write_text(text)
    for labels, first in ((openface, 1), (bp4d, 101), (disfa, 1)):
        clip = labelled_clip(ours, labels, no_pipeline, first_frame=first)
        assert clip.action_units == UNITS
        np.testing.assert_array_equal(clip.labels, arrays["labels"])
    only = labelled_clip(ours, bp4d, no_pipeline, first_frame=111).labels
    np.testing.assert_array_equal(only[:30], arrays["labels"][10:])
    assert (only[30:] == -1).all()


def test_timeline_numbers_are_those_of_the_metrics(ours, label_file):
    clip = labelled_clip(ours, label_file, no_pipeline)
    numbers = timeline_numbers(clip)
    labels = np.where(clip.valid[:, None], clip.labels, -1)
    expected = f1_score(clip.decisions == 1, labels)
    assert [part["f1"] for part in numbers["by_au"].values()] == [pytest.approx(x, abs=1e-4) for x in expected]
    assert numbers["by_au"]["AU12"]["labelled_frames"] == FRAMES - 3 - 5
    assert numbers["frames_with_a_face"] == FRAMES - 3


def texts_and_boxes(figure):
    """All texts that show, with their boxes in pixels."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    found = [text for text in figure.findobj(Text) if text.get_visible()]
    found = [(text.get_text(), text.get_window_extent(renderer)) for text in found if text.get_text().strip()]
    return found, figure.bbox


def overlaps(found) -> list[tuple[str, str]]:
    return [
        (name, other)
        for k, (name, box) in enumerate(found)
        for other, beside in found[k + 1 :]
        if min(box.x1, beside.x1) - max(box.x0, beside.x0) > 1 and min(box.y1, beside.y1) - max(box.y0, beside.y0) > 1
    ]


def wide_clip(units: tuple[int, ...], frames: int = 300) -> LabelledClip:
    rng = np.random.default_rng(len(units))
    probabilities = rng.uniform(size=(frames, len(units)))
    labels = rng.integers(-1, 2, probabilities.shape)
    times, valid = np.arange(frames) / 30, np.ones(frames, bool)
    thresholds = np.full(len(units), 0.5)
    decisions = (probabilities >= 0.5).astype(int)
    return LabelledClip("made", "labels", times, valid, units, probabilities, decisions, thresholds, labels)


@pytest.mark.parametrize("units", [(12,), facs.DISFA, facs.BP4D, facs.ALL])
def test_no_text_overlaps_or_is_cut_off(units):
    clip = wide_clip(units)
    for figure in (timeline_figure(clip), reliability_figure(rows_of_clips([clip]))):
        found, page = texts_and_boxes(figure)
        assert len(found) > 2 * len(units)
        assert not overlaps(found)
        assert all(box.x0 > -1 and box.y0 > -1 and box.x1 < page.x1 + 1 and box.y1 < page.y1 + 1 for _, box in found)


def test_reliability_numbers_pool_all_clips_and_mask_the_unknown(ours, label_file, arrays):
    first = labelled_clip(ours, label_file, no_pipeline)
    second = wide_clip((12, 25), 50)
    numbers = reliability_numbers(rows_of_clips([first, second]), bins=5)
    assert list(numbers["by_au"]) == ["AU01", "AU06", "AU12", "AU25"]
    twelve = numbers["by_au"]["AU12"]
    probabilities = np.concatenate([first.probabilities[:, 2], second.probabilities[:, 0]])
    labels = np.concatenate([first.labels[:, 2], second.labels[:, 0]])
    assert twelve["frames"] == (~np.isnan(probabilities) & (labels >= 0)).sum()
    assert twelve["ece"] == pytest.approx(reliability(probabilities, labels, 5).ece, abs=1e-4)
    assert twelve["brier"] == pytest.approx(brier_score(probabilities[:, None], labels[:, None])[0], abs=1e-4)
    assert numbers["pooled"]["frames"] == sum(part["frames"] for part in numbers["by_au"].values())


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_commands_write_the_figure_and_its_numbers(ours, label_file, tmp_path, suffix):
    for kind in ("timeline", "reliability"):
        path = tmp_path / "figures" / f"{kind}{suffix}"
        command = ["evaluate", "figure", kind, str(ours), str(label_file), "-o", str(path), "--quiet"]
        assert main(command) == 0
        assert path.read_bytes()[:4] in (b"\x89PNG", b"%PDF", b"<?xm")
        assert json.loads(path.with_suffix(".json").read_text())["by_au"]["AU12"]
        before = path.read_bytes()
        assert main(command) == 0
        assert path.read_bytes() == before  # the same numbers give the same file
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(
        [f"timeline{suffix}", "timeline.json", f"reliability{suffix}", "reliability.json"]
    )


def test_some_action_units_and_the_size_on_paper(ours, label_file, tmp_path):
    path = tmp_path / "t.png"
    command = ["evaluate", "figure", "timeline", str(ours), str(label_file), "-o", str(path), "--quiet"]
    assert main([*command, "--action-units", "AU12,1"]) == 0
    assert list(json.loads(path.with_suffix(".json").read_text())["by_au"]) == ["AU12", "AU01"]
    assert Image.open(path).width == 2160  # 7.2 inches at 300 dots


def _other_units(folder):
    (folder / "labels.csv").write_text("frame,AU02\n1,1\n")


def _other_bp4d(folder):
    (folder / "labels.csv").write_text("0,2,4\n1,1,0\n")


def _later_frames(folder):
    (folder / "labels.csv").write_text("frame,AU12\n900,1\n")


def _bp4d_later(folder):
    (folder / "labels.csv").write_text("0,12\n2440,1\n")


def _empty_folder(folder):
    (folder / "labels.csv").mkdir()


@pytest.mark.parametrize(
    ("make", "status", "sentence"),
    [
        (lambda folder: None, 4, "do not exist"),
        (lambda folder: (folder / "labels.csv").write_text(""), 4, "needs a column 'frame'"),
        (lambda folder: (folder / "labels.csv").write_bytes(b"\xff\xfe\x00"), 4, "it is no text"),
        (_other_units, 4, "at least one of AU01, AU06, AU12, AU25"),
        (_other_bp4d, 4, "labels AU02, AU04, and none of AU01, AU06, AU12, AU25"),
        (_later_frames, 2, "frame 900, but the video's frames run from 1 to 40"),
        (_bp4d_later, 4, "labels none of the frames 1 to 40"),
        (_empty_folder, 4, "holds no label files of DISFA"),
    ],
)
def test_bad_labels_are_one_sentence(ours, tmp_path, capsys, make, status, sentence):
    make(tmp_path)
    for kind in ("timeline", "reliability"):
        command = ["evaluate", "figure", kind, str(ours), str(tmp_path / "labels.csv"), "-o", str(tmp_path / "f.png")]
        assert main(command) == status
        said = capsys.readouterr().err
        assert sentence in said
        assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "f.png").exists()
    assert not (tmp_path / "f.json").exists()


def test_bad_arguments_are_one_sentence(ours, label_file, tmp_path, capsys, write_openface):
    pair = [str(ours), str(label_file)]
    openface = write_openface(
        tmp_path / "o.csv", {"frame": np.arange(1, 4), "success": np.ones(3), "AU12_c": np.ones(3)}
    )
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "action_units.csv").write_text((ours / "action_units.csv").read_text())
    (broken / "summary.json").write_text("[]")
    for arguments, sentence in (
        (["timeline", *pair, "-o", str(tmp_path / "f.jpg")], "must end in .png or .pdf or .svg"),
        (["timeline", *pair, "-o", str(tmp_path / "f.png"), "--action-units", "AU02"], "AU02 is asked for"),
        (["timeline", *pair, "-o", str(tmp_path / "f.png"), "--action-units", "smile"], "is not an action unit"),
        (["timeline", *pair, "-o", str(tmp_path / "f.png"), "--face", "3"], "has no face 3"),
        (["timeline", str(openface), str(label_file), "-o", str(tmp_path / "f.png")], "has no probabilities"),
        (["timeline", str(broken), str(label_file), "-o", str(tmp_path / "f.png")], "is no summary of this program"),
        (["reliability", *pair, pair[0], "-o", str(tmp_path / "f.png")], "odd number of files"),
        (["reliability", "-o", str(tmp_path / "f.png")], "give pairs of a clip and its labels, or --synthetic"),
        (["reliability", *pair, "--bins", "1", "-o", str(tmp_path / "f.png")], "--bins must be 2 to 100"),
        (["reliability", "--synthetic", str(tmp_path / "no"), "-o", str(tmp_path / "f.png")], "no"),
    ):
        assert main(["evaluate", "figure", *arguments]) in (2, 4), arguments
        said = capsys.readouterr().err
        assert sentence in said
        assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "f.png").exists()


def test_a_real_clip_against_openface(clips, shared_data, tmp_path):
    """What is decided of lips and smile agrees with OpenFace on a clip in which both change."""
    reference = shared_data.parent / "reference" / "openface" / "pyfeat_single_face.csv"
    command = ["evaluate", "figure", "timeline", str(clips / "pyfeat_single_face.mp4"), str(reference)]
    assert main([*command, "-o", str(tmp_path / "t.png"), "--quiet"]) == 0
    numbers = json.loads((tmp_path / "t.json").read_text())
    assert numbers["by_au"]["AU12"]["f1"] > 0.9
    assert len(numbers["by_au"]) == 18
