"""The figure of errors and Table 1 say the same of the same frames, by their commands: one rule measures for both."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_meshes import head_with_the_face
from multiface_layout import Layout, made_head
from prepared_multiface import prepare_layout
from scipy.spatial.transform import Rotation

from au_d3dface.cli import main
from au_d3dface.data.synthetic.rendered_sequences import PROVENANCE, write_shard
from au_d3dface.data.synthetic.sequences import SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.evaluation.meshes.measuring import PARTS
from au_d3dface.evaluation.meshes.truths import FolderTruth
from au_d3dface.face_models import FaceMesh

HEAD, TRIANGLES = head_with_the_face()
FRAMES = {"first": (5,), "second": (3, 4, 7, 12)}
NEAR = 6e-5
"""Millimetres: means are written with four decimals."""


def turned(mesh: np.ndarray, axis: str, degrees: float, shift: tuple[float, ...]) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).apply(mesh) + np.array(shift)


def write(path: Path, meshes: np.ndarray, faces: np.ndarray, **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, vertices=meshes.astype(np.float32), frames=FRAMES[path.stem], faces=faces, **more)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """True heads that turn, of two sequences; a face in millimetres that turns otherwise; and heads with a fault."""
    root = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(3)
    for sequence, frames in FRAMES.items():
        drop = 0.001 * np.array(frames)[:, None, None] * (HEAD[:, 1:2] < -0.04) * np.array([0.0, -1.0, 0.0])
        true = HEAD + drop
        heads = [turned(mesh, "y", 6 * f, (0.1, 0, 1)) for f, mesh in zip(frames, true, strict=True)]
        write(root / "true" / f"{sequence}.npz", np.stack(heads), TRIANGLES, neutral_vertices=HEAD)
        # The face at rest lies elsewhere than the moving ones, whose vertices are moved at random.
        rest = 1000 * HEAD[:468]
        face = 1000 * true[:, :468] + 2 * rng.standard_normal((len(frames), 468, 1)) * [0, 0, 1]
        face = np.stack([turned(mesh, "x", -8 * f, (0, 50, 400)) for f, mesh in zip(frames, face, strict=True)])
        write(root / "face" / f"{sequence}.npz", face, FaceMesh().faces.numpy(), neutral_vertices=rest)
        swollen = true * [1.03, 1, 1] + [0, 0, 0.2]
        write(root / "swollen" / f"{sequence}.npz", swollen, TRIANGLES)
    np.savez(root / "regions.npz", upper=np.flatnonzero(FaceMesh().template.numpy()[:, 1] > 0), lower=np.arange(100))
    return root


def table_means(output: Path, sequence: str) -> dict[str, dict[int, float]]:
    """By method and frame, of the results that the table keeps."""
    found = {}
    for path in sorted((output / PARTS).glob("*.npz")):
        with np.load(path) as npz:
            header = json.loads(str(npz["header"]))
            if header["sequence"] == sequence:
                means = npz["distances"].astype(np.float64).mean(1)
                found[header["method"]] = dict(zip(npz["frames"].tolist(), means.tolist(), strict=True))
    return found


def figure(path: Path, *options) -> dict:
    assert main(["evaluate", "figure", "errors", "--quiet", "-o", str(path), *map(str, options)]) == 0
    return json.loads(path.with_suffix(".json").read_text())


def same(drawn: dict, table: dict[str, dict[int, float]], names: dict[str, str] | None = None) -> None:
    """Every mean of the figure is the table's; `names` are the table's of rows that the figure calls otherwise."""
    for method, numbers in drawn["methods"].items():
        row = table[(names or {}).get(method, method)]
        assert numbers["mean_by_frame_mm"] == pytest.approx([row[frame] for frame in drawn["frames"]], abs=NEAR)
        assert min(numbers["mean_by_frame_mm"]) > 0.001  # or else it would be easy


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--align", "scale"),
        ("--align", "none"),
        ("--measure", "all", "--max-iterations", "3"),
        ("--regions", "face=REGIONS", "--align-regions", "upper"),
    ],
    ids=["plain", "scale", "none", "all", "regions"],
)
def test_folders_of_meshes(folders, tmp_path, options):
    """The table measures all frames in turn, and of two sequences; the figure some of one, in another order."""
    options = [option.replace("REGIONS", str(folders / "regions.npz")) for option in options]
    names = ("swollen",) if "all" in options else ("face",) if "--regions" in options else ("face", "swollen")
    options += [part for name in names for part in ("--meshes", f"{name}={folders / name}")]
    assert main(["evaluate", "meshes", "--quiet", "--truth", str(folders / "true"), "-o", str(tmp_path), *options]) == 0
    truth = folders / "true" / "second.npz"
    drawn = figure(tmp_path / "figure.png", "--truth", truth, "--frames", "12,4", *options)
    assert list(drawn["methods"]) == list(names)
    same(drawn, table_means(tmp_path, "second"))
    table = json.loads((tmp_path / "meshes.json").read_text())
    assert drawn["measuring"] == table["measuring"]
    for name in names:
        assert drawn["methods"][name]["icp_vertices"] == table["methods"][name]["icp_vertices"]


def test_true_heads_that_turn_have_each_their_own_start(folders):
    """Though the face at rest, on which it is found, lies elsewhere."""
    truth = FolderTruth.of("second", folders / "true" / "second.npz")
    for frame in truth.frames:
        upright = truth.to_head(frame)(truth.load([frame]).vertices[0])
        assert np.abs(upright - HEAD).mean() < 0.003


def test_the_same_frames_have_the_same_mean(folders, tmp_path):
    """Of all frames of the only sequence, mean, SD and median are the table's to their last decimal."""
    one = tmp_path / "true"
    one.mkdir()
    (one / "second.npz").write_bytes((folders / "true" / "second.npz").read_bytes())
    meshes = ["--meshes", f"face={folders / 'face'}"]
    assert main(["evaluate", "meshes", "--quiet", "--truth", str(one), "-o", str(tmp_path), *meshes]) == 0
    drawn = figure(tmp_path / "f.png", "--truth", one / "second.npz", "--frames", "3,4,7,12", *meshes)
    row = json.loads((tmp_path / "meshes.json").read_text())["methods"]["face"]["distances_mm"]["all"]
    found = [drawn["methods"]["face"][f"{name}_mm"] for name in row]
    assert found == pytest.approx(list(row.values()), abs=NEAR)


def test_one_sequence_alone(folders, tmp_path):
    """A folder that is itself the method's sequence, whatever its name, and every second frame."""
    truth, face = folders / "true", folders / "face"
    table = ["--quiet", "--truth", str(truth), "--meshes", f"theirs={face}", "--every", "2"]
    assert main(["evaluate", "meshes", *table, "-o", str(tmp_path)]) == 0
    given = ["--meshes", f"theirs={face / 'second.npz'}", "--every", 2]
    drawn = figure(tmp_path / "f.png", "--truth", truth / "second.npz", *given)
    assert drawn["frames"] == [3, 7]
    same(drawn, table_means(tmp_path, "second"))


def test_multiface(tmp_path):
    """Coarse and refined meshes as `prepare` has made them, and another program's."""
    layout = Layout(tmp_path / "copy", frames=3, height=64, width=42, pictures=False, cameras={"400015": -4.0}).write()
    prepared = prepare_layout(tmp_path / "prepared", layout, wrong=0.8)
    sequence = "6795937_E008_Smile_Mouth_Closed"
    numbers = layout.numbers(1)
    face = np.stack([1.01 * made_head(0, (row + 1) / 3)[:468] for row in range(3)])
    (tmp_path / "theirs").mkdir()
    np.savez(tmp_path / "theirs" / f"{sequence}.npz", vertices=face, frames=numbers, faces=FaceMesh().faces.numpy())
    given = ["--prepared", str(prepared), "--meshes", f"theirs={tmp_path / 'theirs'}"]
    table = ["--data-dir", str(layout.root), "--expressions", "E008", "--checkpoint", "refined=bundled"]
    assert main(["evaluate", "multiface", "--quiet", "-o", str(tmp_path / "out"), *table, *given]) == 0
    shown = ["--multiface", layout.root, "--expression", "E008", "--frames", f"{numbers[2]},{numbers[1]}"]
    drawn = figure(tmp_path / "figure.png", *shown, *given)
    assert list(drawn["methods"]) == ["landmarks", "landmarks + refined", "theirs"]
    same(drawn, table_means(tmp_path / "out", f"{sequence}_400015"))


def test_synthetic_people(kit_file, tmp_path):
    """Against the made-up kit, whose long triangles take time: two rounds of ICP."""
    sampler = SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=0.5, missing=0.0), seed=5)
    people = tmp_path / "people"
    people.mkdir()
    (people / PROVENANCE).write_text(json.dumps({"quality": "rendered"}))
    # The made-up kit has two identities; a person of more cannot be built of it.
    made = [replace(sampler(index), identity=np.array([0.5, -0.5], np.float32)) for index in range(4)]
    made[0].face.valid[:2] = False
    made[0].face.landmarks[:2] = np.nan
    write_shard(made, people / "sequences_00000.npz")
    given = ["--ict-facekit", str(kit_file), "--max-iterations", "2"]
    table = ["evaluate", "synthetic-meshes", "--quiet", str(people), "--every", "4", "--checkpoint", "refined=bundled"]
    assert main([*table, *given, "-o", str(tmp_path / "out")]) == 0
    drawn = figure(tmp_path / "figure.png", "--synthetic", people, "--frames", "4", "--every", "4", *given)
    names = {"coarse": "landmarks", "refined": "landmarks + refined"}
    same(drawn, table_means(tmp_path / "out", "synthetic_people_00000"), names)
