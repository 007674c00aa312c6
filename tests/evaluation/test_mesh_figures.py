"""Figures of meshes: strips and error maps, on made-up methods whose errors are known, and bad folders."""

import json

import numpy as np
import pytest
import torch
from made_meshes import facemesh, head_of_flame_size, head_with_the_face
from multiface_layout import Layout
from PIL import Image

from au_d3dface.cli import main
from au_d3dface.errors import InputError, UsageError
from au_d3dface.evaluation.figures import errors as error_figure_module
from au_d3dface.evaluation.figures import strip as strip_figure_module
from au_d3dface.evaluation.figures.error_cases import ReconstructedMethod, Shown, folder_case, multiface_case
from au_d3dface.evaluation.figures.errors import ErrorCase, error_figure
from au_d3dface.evaluation.figures.frames import chosen_frames, parse_frames
from au_d3dface.evaluation.figures.strip import strip_figure
from au_d3dface.evaluation.meshes.aligning import Measuring
from au_d3dface.evaluation.meshes.frame_meshes import read_mesh_folder
from au_d3dface.evaluation.meshes.methods import FolderMethod
from au_d3dface.evaluation.meshes.truths import FolderTruth
from au_d3dface.face_sequence import FaceSequence
from au_d3dface.geometry import Similarity, axis_angle_to_matrix
from au_d3dface.video import VideoReader, VideoWriter

FACE, TRIANGLES = (array.numpy() for array in facemesh())
HEAD, HEAD_TRIANGLES = head_with_the_face()
CAMERA = Similarity(axis_angle_to_matrix(torch.tensor([3.0, 0.2, 0.1])).double().numpy(), 1000.0, np.array([5, 9, 600]))
"""From metres in the head frame to millimetres before a camera, y down."""

FRAMES = 6


def moved(frame: int) -> np.ndarray:
    """(3,) metres: what is added to the lower lip and chin of the face in a frame, numbered from 1."""
    return np.array([0.0, -0.001 * frame, 0.0])


def face_in(frame: int) -> np.ndarray:
    return FACE + (FACE[:, 1:2] < -0.04) * moved(frame)


def head_in(frame: int) -> np.ndarray:
    return HEAD + (HEAD[:, 1:2] < -0.04) * moved(frame)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    with VideoWriter(path, 25.0, 200, 240) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((200, 240, 3), 40 + 30 * frame, np.uint8), frame / 25)
    return path


@pytest.fixture(scope="module")
def sequence(video) -> FaceSequence:
    """A face through the video, not found in its third frame; the coarse mesh does not move."""
    valid = np.arange(FRAMES) != 2
    return made_sequence(str(video), np.stack([face_in(frame + 1) for frame in range(FRAMES)]), valid, 200, 240)


def made_sequence(source: str, vertices: np.ndarray, valid: np.ndarray, height: int, width: int) -> FaceSequence:
    frames = len(vertices)
    arrays = {"vertices": vertices, "coarse_vertices": np.broadcast_to(vertices[:1], vertices.shape)}
    arrays = {name: np.where(valid[:, None, None], values, np.nan) for name, values in arrays.items()}
    return FaceSequence(
        face_id=0,
        timestamps=np.arange(frames) / 25,
        valid=valid,
        neutral_vertices=FACE,
        faces=TRIANGLES,
        action_units=(),
        au_probabilities=np.zeros((frames, 0)),
        au_masks=np.zeros((0, len(FACE))),
        rotation=np.broadcast_to(np.eye(3), (frames, 3, 3)),
        scale=np.full(frames, 700.0),
        translation=np.broadcast_to([width / 2, height / 2], (frames, 2)),
        confidence=valid.astype(float),
        height=height,
        width=width,
        source=source,
        provenance={"face_model": "facemesh"},
        **arrays,
    )


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Another method's heads, in millimetres before a camera, numbered from 0; the second frame is turned away."""
    folder = tmp_path_factory.mktemp("heads")
    for frame in range(1, FRAMES + 1):
        write_head(folder / f"shot_{frame - 1:04d}.npz", CAMERA(head_in(frame)))
    return folder


def write_head(path, vertices):
    np.savez(path, vertices=vertices, faces=HEAD_TRIANGLES)


def captured_rows(monkeypatch, module):
    """What `compose_strip` is given by a module: rows by label."""
    found = {}
    compose = module.compose_strip

    def remember(rows, *arguments, **named):
        found.update({row.label: row for row in rows})
        return compose(rows, *arguments, **named)

    monkeypatch.setattr(module, "compose_strip", remember)
    return found


def test_strip_lays_other_methods_on_ours(sequence, heads, monkeypatch):
    rows = captured_rows(monkeypatch, strip_figure_module)
    other = read_mesh_folder(heads, "other")
    picture, numbers = strip_figure(sequence, [1, 4, 6], {"other": other}, first_frame=0, cell=96)
    assert list(rows) == ["input", "coarse", "refined", "other"]
    said = numbers["other_methods"]["other"]
    assert max(said["mean_distance_mm"]) < 0.01
    assert said["scale"] == pytest.approx([1, 1, 1], abs=1e-3)
    assert said["unit_of_files"] == "mm"
    assert numbers["frames"] == [1, 4, 6]
    for shown, refined in zip(rows["other"].pictures, rows["refined"].pictures, strict=True):
        face, head = ((p < 255).any(-1) for p in (refined, shown))
        assert (head | ~face)[20:76].mean() > 0.99  # but for eyes and mouth the head covers the face
        assert head.sum() > 1.1 * face.sum()
    greys = [picture[48, 48].mean() for picture in rows["input"].pictures]
    assert greys == pytest.approx([40, 130, 190], abs=8)
    assert picture.shape[1] > 3 * 96


def test_strip_of_frames_in_any_order_is_of_these_frames(sequence, monkeypatch):
    rows = captured_rows(monkeypatch, strip_figure_module)
    strip_figure(sequence, [6, 1], cell=96)
    greys = [picture[48, 48].mean() for picture in rows["input"].pictures]
    assert greys == pytest.approx([190, 40], abs=8)


def test_strip_lacks_a_frame(sequence, heads):
    other = read_mesh_folder(heads, "other", frames=[0])
    with pytest.raises(InputError, match=r"\(other\) has no mesh of frame 3"):
        strip_figure(sequence, [1, 4], {"other": other}, first_frame=0)


def written(path, vertices, faces, frames=(0, 2)):
    np.savez(path, vertices=np.asarray(vertices), frames=frames, faces=faces)
    return path


def reconstructed(name: str, vertices: np.ndarray, numbers=(0, 2)) -> ReconstructedMethod:
    sequence = made_sequence("", vertices, np.ones(len(vertices), bool), 10, 10)
    return ReconstructedMethod(name, sequence, vertices, np.array(numbers))


def folder_method(name: str, path) -> FolderMethod:
    return FolderMethod(name, path, path, alone=True)


def test_errors_are_those_that_were_made(heads, monkeypatch, tmp_path):
    """On heads before a camera: our exact face, one whose chin is 4 mm forward, and heads elsewhere with that fault."""
    rows = captured_rows(monkeypatch, error_figure_module)
    exact = np.stack([face_in(1), face_in(3)])
    forward = np.array([0, 0, 0.004])
    chin, head_chin = FACE[:, 1] < -0.055, (HEAD[:, 1] < -0.055) & (HEAD[:, 2] > 0)
    wrong = exact + chin[:, None] * forward
    wrong_heads = np.stack([head_in(1), head_in(3)]) + head_chin[:, None] * forward
    turned = Similarity(axis_angle_to_matrix(torch.tensor([0.2, -0.3, 0.1])).double().numpy(), 1.0, np.ones(3))
    others = written(tmp_path / "heads.npz", [turned(mesh) for mesh in wrong_heads], HEAD_TRIANGLES)
    case = ErrorCase(
        truth=FolderTruth.of("truth", heads),
        truth_is="made",
        frames=[2, 0],
        heads=["2", "0"],
        methods=[reconstructed("refined", exact), reconstructed("wrong", wrong), folder_method("heads", others)],
    )
    picture, numbers = error_figure(case, cell=96)
    methods = numbers["methods"]
    assert methods["refined"]["mean_mm"] < 0.01
    assert methods["refined"]["measured_vertices"] == len(FACE)
    assert 0.2 < methods["wrong"]["mean_mm"] < 1.5
    # The same fault on another topology, far away: the same mean, about, over the vertices of the face alone.
    assert methods["heads"]["mean_mm"] == pytest.approx(methods["wrong"]["mean_mm"], rel=0.35)
    assert 500 < methods["heads"]["measured_vertices"] < len(HEAD)
    assert methods["heads"]["vertices"] == len(HEAD)
    assert all(all(method["icp_converged"]) for method in methods.values())
    assert rows["wrong"].captions[0] == f"mean {methods['wrong']['mean_by_frame_mm'][0]:.2f} mm"
    assert rows["refined"].scale == rows["wrong"].scale == rows["heads"].scale  # one bar
    assert numbers["colour_maximum_mm"] == rows["heads"].scale.maximum
    assert rows["heads"].scale.unknown_label == "not measured"
    assert numbers["drawn"] == "in the head frame"
    assert (rows["truth"].pictures[0] < 255).any()
    assert picture.dtype == np.uint8


def test_scale_only_where_it_is_asked_for(heads):
    ours = reconstructed("refined", 1.06 * face_in(1)[None], [0])
    case = ErrorCase(FolderTruth.of("truth", heads), "made", [0], ["0"], [ours])
    _, rigid = error_figure(case, cell=64)
    _, scaled = error_figure(case, Measuring("scale"), cell=64)
    _, still = error_figure(case, Measuring("none"), cell=64)
    assert rigid["methods"]["refined"]["mean_mm"] > 0.5
    assert rigid["methods"]["refined"]["icp_scale"] == [1.0]
    assert scaled["methods"]["refined"]["mean_mm"] < 0.01
    assert scaled["methods"]["refined"]["icp_scale"] == [pytest.approx(1 / 1.06, abs=1e-3)]
    assert still["methods"]["refined"]["mean_mm"] > 2 * rigid["methods"]["refined"]["mean_mm"]
    assert still["measuring"]["icp"] is None


def test_whole_meshes_without_a_face_are_drawn_as_they_lie(tmp_path, monkeypatch):
    vertices, faces = head_of_flame_size()
    truth = FolderTruth.of("ball", written(tmp_path / "truth.npz", vertices[None], faces, [1]))
    other = folder_method("grown", written(tmp_path / "grown.npz", 1.01 * vertices[None], faces, [1]))
    rows = captured_rows(monkeypatch, error_figure_module)
    _, numbers = error_figure(ErrorCase(truth, "made", [1], ["1"], [other]), Measuring("none", measure="all"), cell=64)
    assert numbers["drawn"].startswith("as the true meshes lie")
    assert numbers["methods"]["grown"]["measured_vertices"] == len(vertices)
    assert not rows["grown"].scale.unknown
    with pytest.raises(InputError, match="No face is found on the meshes of grown"):
        error_figure(ErrorCase(truth, "made", [1], ["1"], [other]), cell=64)


def test_two_rows_of_one_name_are_refused(heads):
    ours = [reconstructed("refined", FACE[None], [0])] * 2
    with pytest.raises(UsageError, match="two rows are called 'refined'"):
        error_figure(ErrorCase(FolderTruth.of("truth", heads), "made", [0], ["0"], ours), cell=64)


def test_two_folders_without_a_video(heads, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for frame in (2, 4):
        write_head(other / f"{frame}.npz", HEAD)
    path = tmp_path / "figure.png"
    command = ["evaluate", "figure", "errors", "--truth", str(heads), "--meshes", f"still={other}", "-o", str(path)]
    assert main([*command, "--quiet"]) == 0
    numbers = json.loads(path.with_suffix(".json").read_text())
    assert numbers["frames"] == [2, 4]
    assert list(numbers["methods"]) == ["still"]
    assert 0 < numbers["methods"]["still"]["mean_by_frame_mm"][0] < numbers["methods"]["still"]["mean_by_frame_mm"][1]
    assert Image.open(path).size[0] > 2 * 320


def test_folder_and_video(sequence, heads):
    case = folder_case(heads, sequence.source, lambda video: sequence, Shown(columns=3), first_frame=0)
    assert list(case.frames) == [0, 3, 5]  # frame 2, of number 3, does not show the face
    assert len(case.pictures) == 3
    _, numbers = error_figure(case, cell=64)
    assert numbers["methods"]["refined"]["mean_mm"] < 0.01
    assert numbers["methods"]["coarse"]["mean_by_frame_mm"][2] > 0.1


def test_multiface(tmp_path):
    layout = Layout(tmp_path / "copy", frames=4, pictures=False).write()
    faces = [head[:468] for path, head in sorted(layout.head.items()) if "E008" in path]

    def reconstruct(folder) -> FaceSequence:
        with VideoReader(folder) as reader:
            assert len(list(reader)) == 4
        return made_sequence(str(folder), np.stack(faces), np.ones(4, bool), layout.height, layout.width)

    case = multiface_case(layout.root, None, "E008", None, reconstruct, [], Shown(columns=2))
    assert list(case.frames) == [1002, 1011]
    _, numbers = error_figure(case, cell=64)
    assert numbers["methods"]["refined"]["mean_mm"] < 0.02
    with pytest.raises(InputError, match="has no frame 5;"):
        multiface_case(layout.root, None, "E008", None, reconstruct, [], Shown([5]))


def test_frames_that_are_chosen():
    there = {"a": range(1, 101), "b": range(10, 200, 2)}
    assert chosen_frames(there, None, 3) == [10, 54, 100]
    assert chosen_frames(there, None, 1) == [10]
    assert chosen_frames(there, [20, 12]) == [20, 12]
    assert chosen_frames({"a": [5, 6]}, None, 9) == [5, 6]
    with pytest.raises(InputError, match="b has no frame 21; it has 95, from 10 to 198"):
        chosen_frames(there, [21])
    with pytest.raises(InputError, match=r"no frame that all have \(a: 1 to 100; c: 300 to 301\)"):
        chosen_frames({"a": range(1, 101), "c": [300, 301]})
    assert parse_frames("3, 1") == [3, 1]
    for text, columns in (("3,3", 5), ("x", 5), ("-1", 5), (None, 0), (None, 31)):
        with pytest.raises(UsageError):
            parse_frames(text, columns)


def _nan(folder):
    write_head(folder / "1.npz", np.where(np.arange(len(HEAD))[:, None] == 5, np.nan, HEAD))


def _topologies(folder):
    write_head(folder / "1.npz", HEAD)
    np.savez(folder / "2.npz", vertices=FACE, faces=TRIANGLES)


def _other_frames(folder):
    write_head(folder / "900.npz", HEAD)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "holds no meshes named by frame"),
        (_nan, "1 vertices that are not finite"),
        (_topologies, "several topologies"),
        (_other_frames, "there is no frame that all have"),
    ],
)
def test_bad_folders_are_one_sentence(heads, tmp_path, capsys, make, sentence):
    folder = tmp_path / "bad"
    folder.mkdir()
    make(folder)
    path = tmp_path / "f.png"
    command = ["evaluate", "figure", "errors", "--truth", str(heads), "--meshes", f"bad={folder}", "-o", str(path)]
    assert main(command) == 4
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert not path.exists()


def test_a_strip_refuses_bad_folders_before_the_video_is_read(tmp_path, capsys, video):
    (tmp_path / "empty").mkdir()
    path = str(tmp_path / "f.png")
    for arguments, status, sentence in (
        (["--meshes", f"a={tmp_path / 'empty'}", "-o", path], 4, "holds no meshes"),
        (["--meshes", str(tmp_path / "empty"), "-o", path], 2, "takes NAME=PATH"),
        (["--meshes", f"refined={tmp_path}", "-o", path], 2, "names 'refined' twice"),
        (["--frames", "1,1", "-o", path], 2, "different frame numbers"),
        (["-o", str(tmp_path / "f.pdf")], 2, "must end in .png"),
        (["-o", path], 3, "no face"),
    ):
        assert main(["evaluate", "figure", "strip", str(video), *arguments]) == status
        assert sentence in capsys.readouterr().err


def test_options_of_another_truth_are_refused(heads, tmp_path, capsys):
    path = str(tmp_path / "f.png")
    for arguments, sentence in (
        (["--truth", str(heads), "--subject", "1"], "--subject goes with --multiface, not with --truth"),
        (["sample", "--synthetic", "x"], "a video goes with --truth, not with --synthetic"),
        (["--multiface", "x", "--first-frame", "0"], "--first-frame goes with --truth"),
        (["--synthetic", "x", "--prepared", "y"], "--prepared goes with --multiface, not with --synthetic"),
        (["--truth", str(heads), "--align", "none", "--align-regions", "nose"], "--align none aligns nothing"),
        (["--truth", str(heads), "--max-iterations", "0"], "--max-iterations must be at least 1"),
        (["--truth", str(heads)], "there is nothing to compare"),
        (["--truth", str(heads), "--meshes", f"a={heads}", "--regions", "b=r.npz"], "--regions b=r.npz belongs to"),
        (["--multiface", str(tmp_path)], str(tmp_path)),
    ):
        assert main(["evaluate", "figure", "errors", *arguments, "-o", path]) in (2, 4)
        assert sentence in capsys.readouterr().err
