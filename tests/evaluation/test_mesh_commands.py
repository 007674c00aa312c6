"""Table 1 from folder to LaTeX by the command: Multiface as it lies on disk, any meshes, and synthetic people."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from latex_tables import check_compiles
from made_surfaces import sphere
from multiface_layout import Layout, made_head
from prepared_multiface import prepare_layout
from scipy.spatial.transform import Rotation

from au_d3dface.cli import main
from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.evaluation.meshes import measuring as mesh_measuring
from au_d3dface.evaluation.meshes.measuring import PARTS
from au_d3dface.face_models import FaceMesh
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction

SUBJECT, SMILE = "6795937", "E008_Smile_Mouth_Closed"
SEQUENCE = f"{SUBJECT}_{SMILE}"


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    root = tmp_path_factory.mktemp("multiface") / "copy"
    return Layout(root, frames=3, height=64, width=42, pictures=False, cameras={"400015": -4.0}).write()


@pytest.fixture(scope="module")
def prepared(layout, tmp_path_factory) -> Path:
    return prepare_layout(tmp_path_factory.mktemp("prepared") / "faces", layout)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small network with weights of chance on the bundled face."""
    torch.manual_seed(0)
    face = FaceMesh()
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_temporal_layers": 1}
    config = AUD3DFaceConfig(action_units=(1, 12), num_spatial_layers=1, num_faces=len(face.faces), **small)
    model = AUD3DFaceForReconstruction(config).eval()
    model.set_face_model(face.template, face.faces, face.au_masks((1, 12)))
    path = tmp_path_factory.mktemp("checkpoint") / "small"
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def others(layout, tmp_path_factory) -> Path:
    """The true smile as another program would give it: millimetres, turned, 468 vertices, and a hair too large."""
    folder = tmp_path_factory.mktemp("others") / "theirs"
    turn = Rotation.from_euler("xyz", [20, 160, -10], degrees=True).as_matrix()
    for row, number in enumerate(layout.numbers(1)):
        write_obj(folder / SEQUENCE / f"{number}.obj", 1010 * face(0, (row + 1) / 3) @ turn.T + 400)
    write_obj(folder / SEQUENCE / "neutral.obj", 1010 * face(0, 0.0))  # at rest it lies elsewhere
    return folder


def face(seed: int, strength: float) -> np.ndarray:
    """(468, 3) metres, the facemesh's own vertices of `made_head`."""
    return made_head(seed, strength)[:468]


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = FaceMesh().faces.numpy() if faces is None else faces
    text = "".join(f"v {x:.7f} {y:.7f} {z:.7f}\n" for x, y, z in vertices)
    path.write_text(text + "".join(f"f {a} {b} {c}\n" for a, b, c in rows + 1))


def evaluate(kind: str, *options) -> int:
    return main(["evaluate", kind, "--quiet", *map(str, options)])


def multiface(layout: Layout, output: Path, *options) -> int:
    return evaluate("multiface", "--data-dir", layout.root, "--expressions", "E008", "-o", output, *options)


def numbers(output: Path, name: str = "multiface") -> dict:
    return json.loads((output / f"{name}.json").read_text())


def test_multiface_from_folder_to_latex(layout, prepared, checkpoint, others, tmp_path, capsys):
    options = ["--prepared", prepared, "--checkpoint", f"small={checkpoint}", "--meshes", f"theirs={others}"]
    assert multiface(layout, tmp_path, *options, "--region-wise") == 0
    said = capsys.readouterr()
    assert "theirs are in mm, told from their size, and were made metres" in said.err
    assert "these are 1 sequences, 1 expressions of 1 subjects; the paper's are 30" in said.err
    found = numbers(tmp_path)
    assert list(found["methods"]) == ["landmarks", "landmarks + small", "theirs"]
    # The facemesh's vertices are among the true ones: after alignment nothing is left of the distance.
    coarse = found["methods"]["landmarks"]
    assert coarse["meshes"] == 3
    assert coarse["icp_vertices"] == 468
    assert coarse["distances_mm"]["all"]["mean"] < 0.01
    assert found["methods"]["landmarks + small"]["distances_mm"]["all"]["mean"] > 0.05
    # Theirs is larger by a hundredth, which a rigid alignment leaves: about half a millimetre.
    theirs = found["methods"]["theirs"]["distances_mm"]
    assert 0.1 < theirs["all"]["mean"] < 0.6
    assert set(theirs) == {*coarse["distances_mm"]} == {*REGION_NAMES, "all"}
    assert set(found["region_wise_icp_mm"]["theirs"]) == {*REGION_NAMES, "mean_of_regions"}
    assert found["region_wise_icp_mm"]["theirs"]["mean_of_regions"] < theirs["all"]["mean"]
    assert found["measuring"]["icp"]["max_iterations"] == 100
    assert found["frames"] == {f"{SEQUENCE}_400015": 3}
    text, latex = ((tmp_path / f"multiface.{suffix}").read_text() for suffix in ("md", "tex"))
    for row in ("| DECA (paper) ", "1.865 | 1.405", "| ours, temporal + spatial (paper) ", "1.503 | 1.127"):
        assert row in text
    assert "Rows marked (paper) are printed in the paper, not measured here." in text
    assert "as printed in the paper, not measured here" in latex
    assert r"landmarks + small & 3 &" in latex
    check_compiles(tmp_path / "multiface.tex")
    assert (tmp_path / "multiface.png").read_bytes()[:4] == b"\x89PNG"


REGION_NAMES = ("forehead", "brows", "eyes", "nose", "cheeks", "mouth", "jaw")


def test_with_scale_nothing_is_left(layout, others, tmp_path):
    assert multiface(layout, tmp_path, "--meshes", f"theirs={others}", "--align", "scale") == 0
    assert numbers(tmp_path)["methods"]["theirs"]["distances_mm"]["all"]["mean"] < 0.01


def test_what_is_done_is_not_done_again(layout, prepared, others, tmp_path, monkeypatch, capsys):
    options = ["--prepared", prepared, "--meshes", f"theirs={others}"]
    assert multiface(layout, tmp_path, *options) == 0
    first = (tmp_path / "multiface.md").read_bytes()
    measured = []
    real = mesh_measuring.measure
    monkeypatch.setattr(mesh_measuring, "measure", lambda *job: measured.append(job[1].name) or real(*job))
    assert multiface(layout, tmp_path, *options) == 0
    assert measured == []
    assert (tmp_path / "multiface.md").read_bytes() == first
    assert "2 of 2 results were there already" in capsys.readouterr().err
    # A file that has changed, another setting, and a result that was cut off.
    mesh = others / SEQUENCE / f"{layout.numbers(1)[0]}.obj"
    mesh.write_text(mesh.read_text() + "# touched\n")
    assert multiface(layout, tmp_path, *options) == 0
    assert measured == ["theirs"]
    assert multiface(layout, tmp_path, *options, "--align", "scale") == 0
    assert measured == ["theirs", "landmarks", "theirs"]
    part = next((tmp_path / PARTS).glob("*landmarks*.npz"))
    part.write_bytes(part.read_bytes()[:-200])
    assert multiface(layout, tmp_path, *options, "--align", "scale") == 0
    assert measured == ["theirs", "landmarks", "theirs", "landmarks"]


def test_an_interrupt_keeps_what_is_done(layout, prepared, others, tmp_path, monkeypatch, capsys):
    real, measured = mesh_measuring.measure, []

    options = ["--prepared", prepared, "--meshes", f"theirs={others}"]
    monkeypatch.setattr(mesh_measuring, "measure", lambda *job: _once(job, real, measured))
    assert multiface(layout, tmp_path, *options) == 130
    assert measured == ["landmarks"]
    assert [path.suffix for path in (tmp_path / PARTS).iterdir()] == [".npz"]
    assert not (tmp_path / "multiface.md").exists()
    measured.append("stopped")
    assert multiface(layout, tmp_path, *options) == 0
    assert measured == ["landmarks", "stopped", "theirs"]


def _once(job, real, measured):
    """Interrupts "theirs" as long as nothing says that it was stopped."""
    if job[1].name == "theirs" and "stopped" not in measured:
        raise KeyboardInterrupt
    measured.append(job[1].name)
    return real(*job)


def test_two_processes_say_the_same(layout, prepared, others, tmp_path):
    options = ["--prepared", prepared, "--meshes", f"theirs={others}", "--every", 2]
    assert multiface(layout, tmp_path / "one", *options) == 0
    assert multiface(layout, tmp_path / "two", *options, "--processes", 2) == 0
    one, two = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert one["methods"] == two["methods"]
    assert one["frames"] == {f"{SEQUENCE}_400015": 2}


def test_two_processes_that_fail_alike_are_one_sentence(tmp_path, capfd):
    write_obj(tmp_path / "truth" / "a" / "1.obj", *sphere(50, 0.1))
    write_obj(tmp_path / "truth" / "b" / "1.obj", *sphere(50, 0.1))
    for name in "ab":
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "1.obj").write_text("v 1 2 nan\nf 1 1 1\n")
    options = ["--truth", tmp_path / "truth", "--meshes", f"bad={tmp_path / 'bad'}", "--measure", "all"]
    assert evaluate("meshes", *options, "-o", tmp_path / "out", "--processes", 2) == 4
    said = capfd.readouterr()  # of all processes
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "1.obj" in said.err


def test_frames_without_a_face_count_for_nobody(layout, others, tmp_path):
    prepared = prepare_layout(tmp_path / "lost", layout, lost=[1])
    assert multiface(layout, tmp_path / "out", "--prepared", prepared, "--meshes", f"theirs={others}") == 0
    found = numbers(tmp_path / "out")
    assert found["frames_without_a_face"] == {"landmarks": 1, "theirs": 0}
    assert {row["meshes"] for row in found["methods"].values()} == {2}
    assert any("2 frames are measured" in note for note in found["notes"])


def test_a_grown_sphere_is_a_millimetre_off(tmp_path):
    for name, radius, count in (("truth", 0.1, 20000), ("grown", 0.101, 3000)):
        vertices, faces = sphere(count, radius)
        write_obj(tmp_path / name / "ball" / "000001.obj", vertices, faces)
    options = ["--truth", tmp_path / "truth", "--meshes", f"grown={tmp_path / 'grown'}", "--measure", "all"]
    assert evaluate("meshes", *options, "--align", "none", "-o", tmp_path / "out") == 0
    found = numbers(tmp_path / "out", "meshes")
    assert found["methods"]["grown"]["distances_mm"]["all"]["mean"] == pytest.approx(1.0, rel=0.02)
    assert found["icp"] is None
    assert found["paper_mm"] == []
    assert "(paper)" not in (tmp_path / "out" / "meshes.md").read_text()


def test_meshes_of_regions_from_files(tmp_path, capsys):
    """Half of the mesh is elsewhere: aligned on the other half, that has nothing left, by itself nor has this one."""
    vertices, faces = sphere(2000, 0.1)
    vertices = vertices * [1, 1.2, 0.9]
    moved = np.where(vertices[:, :1] > 0, vertices + np.array([0.004, 0, 0]), vertices)
    write_obj(tmp_path / "truth" / "ball" / "1.obj", vertices, faces)
    np.savez(tmp_path / "ball.npz", vertices=moved[None].astype(np.float32), frames=[1], faces=faces)
    (tmp_path / "mine").mkdir()
    (tmp_path / "ball.npz").rename(tmp_path / "mine" / "ball.npz")
    np.savez(tmp_path / "regions.npz", right=vertices[:, 0] > 0.01, left=np.flatnonzero(vertices[:, 0] < -0.01))
    options = ["--truth", tmp_path / "truth", "--meshes", f"mine={tmp_path / 'mine'}", "--region-wise"]
    options += ["--regions", f"mine={tmp_path / 'regions.npz'}", "--align-regions", "left", "-o", tmp_path / "out"]
    assert evaluate("meshes", *options) == 0
    found = numbers(tmp_path / "out", "meshes")
    whole, alone = found["methods"]["mine"]["distances_mm"], found["region_wise_icp_mm"]["mine"]
    assert whole["left"]["mean"] < 1e-3
    assert whole["right"]["mean"] > 1
    assert alone["right"]["mean"] < 0.1
    assert "Aligned by ICP on left, rigid" in (tmp_path / "out" / "meshes.md").read_text()
    capsys.readouterr()
    assert evaluate("meshes", *options, "--regions", f"mien={tmp_path / 'other.npz'}") == 2
    assert "--regions mien=" in (said := capsys.readouterr().err)
    assert "belongs to nothing that is measured" in said


def card(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\ntext\n")
    return folder


def results_of(folder: Path):
    return ModelCard.load(folder / "README.md").data.eval_results


def test_the_card_has_the_checkpoints_row_alone(layout, prepared, checkpoint, others, tmp_path):
    mine, out = card(tmp_path / "mine"), tmp_path / "out"
    options = ["--prepared", prepared, "--checkpoint", f"small={checkpoint}", "--meshes", f"theirs={others}"]
    options += ["--region-wise", "--update-card", mine]
    assert multiface(layout, out, *options) == 0
    found, rows = results_of(mine), numbers(out)["methods"]
    split = f"1 sequence ({SEQUENCE}_400015), 3 meshes, refined from landmarks"
    assert {(one.task_type, one.dataset_type, one.dataset_name, one.dataset_split) for one in found} == {
        ("image-to-3d", "multiface", "Multiface", split)
    }
    row = rows["landmarks + small"]["distances_mm"]
    distance = "distance to the true surface after rigid ICP, mm"
    assert {(one.metric_type, one.metric_name): one.metric_value for one in found} == {
        ("mean_distance_mm", f"mean {distance}"): row["all"]["mean"],
        ("sd_distance_mm", f"SD of the {distance}"): row["all"]["sd"],
        ("median_distance_mm", f"median {distance}"): row["all"]["median"],
        ("mean_distance_mm", f"coarse meshes, mean {distance}"): rows["landmarks"]["distances_mm"]["all"]["mean"],
        **{("mean_distance_mm", f"{name}, mean {distance}"): row[name]["mean"] for name in REGION_NAMES},
        ("mean_distance_mm", "each region rigidly aligned by itself, mean over the regions, mm"): numbers(out)[
            "region_wise_icp_mm"
        ]["landmarks + small"]["mean_of_regions"],
    }
    about = found[0].dataset_args
    assert about.keys() == {"date", "commit", "command"}
    assert about["command"] == (
        "au-d3dface evaluate multiface --quiet --data-dir copy --expressions E008 -o out --prepared faces --checkpoint "
        "small=small --meshes theirs=theirs --region-wise --update-card mine"
    )
    assert str(tmp_path) not in (mine / "README.md").read_text()
    before = len(found)
    assert multiface(layout, out, *options) == 0  # all is measured: the same again, in place of itself
    assert len(results_of(mine)) == before


def test_the_card_has_meshes_that_a_checkpoint_made(tmp_path):
    vertices, faces = sphere(2000, 0.1)
    for name, radius in (("truth", 0.1), ("made", 0.101)):
        write_obj(tmp_path / name / "ball" / "1.obj", vertices * radius / 0.1, faces)
    mine = card(tmp_path / "mine")
    options = ["--truth", tmp_path / "truth", "--meshes", f"mine={tmp_path / 'made'}", "--measure", "all"]
    assert evaluate("meshes", *options, "--align", "none", "-o", tmp_path / "out", "--update-card", mine) == 0
    found = {one.metric_name: one for one in results_of(mine)}
    mean = found["mean distance of all vertices to the true surface, without alignment, mm"]
    assert mean.metric_value == pytest.approx(1.0, rel=0.02)
    split = "1 sequence (ball), 1 mesh, without alignment, all vertices"
    assert (mean.dataset_name, mean.dataset_split) == ("Meshes of truth", split)
    assert len(found) == 3
    # Another way of measuring the same meshes stands beside; the same way given again replaces its own.
    for _ in range(2):
        assert evaluate("meshes", *options, "--align", "scale", "-o", tmp_path / "out", "--update-card", mine) == 0
        splits = {one.dataset_split for one in results_of(mine)}
        assert splits == {split, "1 sequence (ball), 1 mesh, after ICP with scale, all vertices"}
        assert len(results_of(mine)) == 6


def test_cards_are_looked_at_before_anything_is_measured(
    layout, prepared, checkpoint, others, tmp_path, monkeypatch, capsys
):
    """One sentence each, and no mesh was measured for it."""
    monkeypatch.setattr(mesh_measuring, "measure", lambda *job: pytest.fail("measured"))
    good, broken = card(tmp_path / "good"), card(tmp_path / "broken")
    (broken / "README.md").write_text("---\na: [\n---\n")
    small, theirs = f"small={checkpoint}", f"theirs={others}"
    coarse = ["--prepared", prepared]
    for status, sentence, options in (
        (4, "holds no model card (README.md)", [*coarse, "--checkpoint", small, "--update-card", tmp_path]),
        (4, "the YAML at the head of", [*coarse, "--checkpoint", small, "--update-card", broken]),
        (2, "give one --checkpoint with it", [*coarse, "--meshes", theirs, "--update-card", good]),
        (
            2,
            "give one --checkpoint with it",
            [*coarse, "--checkpoint", small, "--checkpoint", f"again={checkpoint}", "--update-card", good],
        ),
    ):
        assert multiface(layout, tmp_path / "out", *options) == status, sentence
        said = capsys.readouterr()
        assert sentence in said.err
        assert (said.out, said.err.count("\n")) == ("", 1)
    both = ["--meshes", theirs, "--meshes", f"again={others}"]
    assert evaluate("meshes", "--truth", others, *both, "-o", tmp_path / "out", "--update-card", good) == 2
    assert "give one --meshes with it" in capsys.readouterr().err
    assert (good / "README.md").read_text() == "---\nlicense: mit\n---\ntext\n"
