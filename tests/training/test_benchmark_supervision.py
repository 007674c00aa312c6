"""The paper's whole loss on a copy of BP4D with pictures: what is compared lies where it should, and teaches meshes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed_bp4d import film_bp4d, without
from half_precision import Stepper, term_errors
from made_deca import deca_checkpoint, random_state, save
from made_flame import made_arrays, made_landmarks, write_landmarks, write_model
from PIL import Image
from torch import Tensor

from au_d3dface import cli
from au_d3dface.coarse.deca_files import convert_deca
from au_d3dface.data import collate_clips
from au_d3dface.data.prepared import read_prepared
from au_d3dface.errors import InputError, UsageError
from au_d3dface.face_models import FLAME, FaceMesh, load_face_model
from au_d3dface.face_models.flame_conversion import convert_flame
from au_d3dface.geometry import weak_perspective
from au_d3dface.losses import ReconstructionLoss, image_loss, landmark_loss
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.outputs_au_d3dface import AUD3DFaceReconstructionOutput
from au_d3dface.training.__main__ import main
from au_d3dface.training.arguments import Arguments, parse, read_arguments
from au_d3dface.training.benchmark_data import benchmark_training_data
from au_d3dface.training.loop import train
from au_d3dface.training.trainees import make_trainee
from au_d3dface.training.training_data import TrainingData

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

SIZE = 96
LENGTH = 12
SMALL = {
    **{"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2},
    **{"num_temporal_layers": 1, "num_spatial_layers": 1, "action_units": [1, 2, 4]},
}


@dataclass
class Filmed:
    copy: Path
    coarse: Path


def prepare(copy: Path, output: Path, *options: str) -> Path:
    command = ["prepare", str(copy), "--output", str(output), "--device", "cpu", "--quiet", *options]
    assert cli.main(command) == 0
    return output


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> Filmed:
    folder = tmp_path_factory.mktemp("filmed")
    film_bp4d(folder / "copy", LENGTH)
    return Filmed(folder / "copy", prepare(folder / "copy", folder / "coarse", "--appearance"))


def wanted(filmed: Filmed, output: Path, prepared: Path | None = None, model=None, data=None, **training) -> Arguments:
    return parse(
        {
            "model": SMALL | (model or {}),
            "data": {
                **{"dataset": "bp4d", "data_dir": str(filmed.copy), "prepared": str(prepared or filmed.coarse)},
                **{"tested": "P3", "missing": "skip", "frame_rate": 10, "clip_length": 8, "picture_size": SIZE},
            }
            | (data or {}),
            "training": {
                **{"output": str(output), "epochs": 1, "batch_size": 2, "learning_rate": 0.003, "evaluate_every": 0},
                **{"weight_intensity": 0, "weight_vertices": 0},
            }
            | training,
        }
    )


def read(arguments: Arguments, face_model=None) -> TrainingData:
    return benchmark_training_data(arguments, arguments.validate(), face_model or FaceMesh(), show_progress=False)


def terms(data: TrainingData, batch: dict[str, Tensor], vertices: Tensor) -> dict[str, Tensor]:
    """L_img and L_lmk of some meshes."""
    given = data.supervise(AUD3DFaceReconstructionOutput(vertices=vertices), batch)
    losses = {"image": image_loss, "landmarks": landmark_loss}
    return {name: losses[name](**given[name]) for name in given}


def test_half_precision_rounds_no_pixels(filmed, tmp_path):
    """A step of the whole loss under autocast: each term is as in float32 but for the rounding of the network."""
    network = Stepper(wanted(filmed, tmp_path, motion_span=True, whitening=1e-4), tmp_path)
    network.learn(5)
    batch = network.batch()
    errors = term_errors(network.step(batch), network.step(batch, half=True))
    assert set(errors) == {"loss", "image", "landmarks", "smooth", "au"}
    assert 0 < max(errors.values()) < 1, errors


def test_everything_lies_in_the_right_pixels(filmed, tmp_path):
    """A picture whose colours tell its coordinates says from where in the whole picture a crop's pixel comes."""
    data = read(wanted(filmed, tmp_path))
    [one] = [one for one, _ in data.clips.runs if one.name == "F003_T1"]
    frames, mask = torch.tensor([2, 5, 0]), torch.tensor([True, True, False])
    clip = one.clip(frames.numpy())

    def ramp(path: Path) -> np.ndarray:
        height, width = np.asarray(Image.open(path)).shape[:2]
        rows, columns = np.mgrid[:height, :width] + 0.5
        blue = np.zeros_like(rows)
        return np.stack([columns * 255 / width, rows * 255 / height, blue], -1).round().astype(np.uint8)

    seen = one.views(frames, mask, clip, ramp)
    video = read_prepared(filmed.coarse / "F003" / "T1.npz", FaceMesh())
    [coarse] = video.faces.values()
    with np.load(filmed.coarse / "F003" / "T1.npz") as npz:
        tracked = npz["face_0_landmarks_68"]

    def whole_picture(points: np.ndarray, crop: np.ndarray) -> np.ndarray:
        """Points of a crop to the whole picture, through the colours there (bilinear)."""
        x, y = (points - 0.5).T
        left, top = np.floor(x).astype(int), np.floor(y).astype(int)
        right, down = (x - left)[:, None], (y - top)[:, None]
        corner = [crop[top + j, left + i].astype(float) for j in (0, 1) for i in (0, 1)]
        color = (corner[0] * (1 - right) + corner[1] * right) * (1 - down)
        color += (corner[2] * (1 - right) + corner[3] * right) * down
        return color[:, :2] / 255 * [video.width, video.height]

    model = FaceMesh()
    for entry, frame in ((0, 2), (1, 5)):
        crop = seen["pictures"][entry].numpy()
        inner = slice(17, 68)
        found = whole_picture(seen["tracked_landmarks"][entry].numpy()[inner], crop)
        assert np.abs(found - tracked[frame][inner]).mean() < 0.6  # a level of colour is 1.9 pixels
        assert np.abs((found - tracked[frame][inner]).mean(0)).max() < 0.3
        # The camera of Eq. 12 written out, in the whole picture, against the batch's camera in the crop.
        points = model.landmarks_68(coarse.vertices[frame], model.faces)
        turned = points.numpy() @ coarse.rotation[frame].numpy().T
        place = turned[:, :2] * [1, -1] * float(coarse.scale[frame]) + coarse.translation[frame].numpy()
        camera = (seen[name][entry] for name in ("rotation", "scale", "translation"))
        projected = weak_perspective(points, *camera)[:, :2].numpy()
        assert np.abs((whole_picture(projected[inner], crop) - place[inner]).mean(0)).max() < 0.3
        assert np.abs(place - tracked[frame]).mean() < 0.02 * np.ptp(tracked[frame][:, 0])  # and the mesh on the face
    assert seen["visible"][:2].all()
    for name in ("pictures", "skin", "visible", "lighting", "tracked_landmarks"):
        assert not seen[name][2].any(), name


def test_pictures_are_those_of_the_copy_and_the_skin_is_skin(filmed, tmp_path):
    data = read(wanted(filmed, tmp_path, data={"picture_size": 128}))
    clip = data.clips[0]
    skin = clip["skin"]
    assert 0.2 < skin.float().mean() < 0.6
    colors = clip["pictures"][skin].float()
    assert (colors[:, 0] > colors[:, 2]).float().mean() > 0.98  # redder than blue, which the background is not
    render = data.supervise(AUD3DFaceReconstructionOutput(vertices=data.meshes(collate_clips([clip]))["vertices"]),
                            collate_clips([clip]))["image"]["rendered"]  # fmt: skip
    assert (render[0][skin] - clip["pictures"][skin] / 255).abs().mean() < 0.03
    unlike = (render[0].roll(8, 2)[skin] - clip["pictures"][skin] / 255).abs().mean()
    assert unlike > 1.5 * (render[0][skin] - clip["pictures"][skin] / 255).abs().mean()


def test_a_few_steps_with_all_four_terms(filmed, tmp_path):
    options = ["--config", "bp4d", "--data-dir", str(filmed.copy), "--prepared", str(filmed.coarse), "--tested", "P3"]
    options += ["--missing", "skip", "--frame-rate", "10", "--clip-length", "8", "--picture-size", str(SIZE)]
    options += ["--output", str(tmp_path / "run"), "--epochs", "3", "--batch-size", "2", "--weight-intensity", "0"]
    options += ["--loader-workers", "1"]
    for name, value in SMALL.items():
        options += ["--model", f"{name}={value}"]
    folder = train(read_arguments(options))
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [step for step in steps if "loss" in step]
    assert len(steps) == 3
    for step in steps:
        for name in ("image", "landmarks", "smooth", "au"):
            assert 0 < step[name] < 2, name
        weighted = 2 * step["image"] + 2 * step["landmarks"] + step["smooth"] + 5 * step["au"]  # Eq. 11, the paper's λ
        assert step["loss"] == pytest.approx(weighted, rel=1e-3)
    record = json.loads((folder / "training.json").read_text())["pools"][0]
    assert (record["landmarks"], record["picture_size"], record["texture"]) == (
        "68 tracked",
        SIZE,
        "the persons' own frames",
    )
    assert AUD3DFaceForReconstruction.from_pretrained(folder).motion_decoder.weight.abs().max() > 0


def test_faces_of_landmark_fitting_move_as_faces_do(filmed, tmp_path, capsys):
    """With the config for them; without it a note says what to give before the first step, unless no term tears."""
    options = ["--config", "bp4d", "--data-dir", str(filmed.copy), "--prepared", str(filmed.coarse), "--tested", "P3"]
    options += ["--missing", "skip", "--frame-rate", "10", "--clip-length", "8", "--picture-size", str(SIZE)]
    options += ["--epochs", "4", "--batch-size", "2", "--weight-intensity", "0", "--learning-rate", "0.003"]
    for name, value in SMALL.items():
        options += ["--model", f"{name}={value}"]

    def trained(name: str, *more: str) -> tuple[Tensor, str]:
        """How the decoder moves the mesh, (3V, d); and what was said."""
        assert main([*options, "--output", str(tmp_path / name), *more]) == 0
        network = AUD3DFaceForReconstruction.from_pretrained(tmp_path / name / "model")
        return network.motion_decoder.weight.detach(), capsys.readouterr().err

    basis = FaceMesh().expression_basis.flatten(1).T

    def beside(motions: Tensor) -> float:
        """What of the motions is none of the face model's, as a share of them."""
        within = basis @ torch.linalg.lstsq(basis, motions).solution
        return float((motions - within).norm() / motions.norm())

    free, said = trained("free")
    assert said.count("note: the prepared faces come from landmark fitting") == 1
    assert "give --config landmarks after the other configs" in said
    assert said.index("note:") < said.index("step 4:")
    assert beside(free) > 0.5
    spanned, said = trained("spanned", "--config", "landmarks")
    assert "note:" not in said
    assert beside(spanned) < 1e-3
    _, said = trained("untaught", "--weight-image", "0", "--weight-landmarks", "0", "--max-steps", "1")
    assert "note:" not in said


@pytest.mark.parametrize("term", ["image", "landmarks", "both"])
def test_one_clip_is_fitted_through_the_mesh_head(filmed, tmp_path, term):
    """No labels: what moves the meshes is L_img and L_lmk alone, and each of them falls."""
    weights = {"image": 50.0 * (term != "landmarks"), "landmarks": 50.0 * (term != "image")}
    named = {f"weight_{name}": weight for name, weight in weights.items()}
    arguments = wanted(filmed, tmp_path, motion_span=True, whitening=1e-4, **named)
    data, config = read(arguments), arguments.validate()
    config.au_positive_rates = (0.3, 0.3, 0.3)
    torch.manual_seed(0)
    network = make_trainee(config, FaceMesh(), data).network
    data.initialise(network)
    network.eval()
    batch = data.meshes(collate_clips([data.clips[len(data.clips) - 1]]))
    criterion = ReconstructionLoss(config, **weights, smooth=0.0, au=0.0, intensity=0.0)
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    found = []
    for _ in range(30):
        output = network(
            vertices=batch["vertices"],
            neutral_vertices=batch["neutral_vertices"],
            frame_mask=batch["frame_mask"],
            au_labels=batch["au_labels"],
        )
        losses = criterion(output, frame_mask=batch["frame_mask"], **data.supervise(output, batch))
        optimizer.zero_grad()
        losses["loss"].backward()
        gradient = max(
            value.grad.abs().max()
            for name, value in network.motion_decoder.named_parameters()
            if value.grad is not None
        )
        assert gradient > 0
        optimizer.step()
        found.append({name: value.item() for name, value in losses.items()})
    expected = {"image", "landmarks"} if term == "both" else {term}
    assert found[0].keys() == expected | {"loss"}
    for name in expected:
        assert found[-1][name] < 0.9 * found[0][name], (name, found[0], found[-1])


def test_frames_without_a_face_compare_nothing(filmed, tmp_path):
    def lost(valid: np.ndarray) -> np.ndarray:
        return valid & (np.arange(len(valid)) != 4)

    folder = without(filmed.coarse, tmp_path / "lost", valid=lost)
    data, whole = read(wanted(filmed, tmp_path, folder)), read(wanted(filmed, tmp_path))
    rows = np.arange(8)
    one, same = data.clips.runs[0][0], whole.clips.runs[0][0]
    batch, other = (data.meshes(collate_clips([x.clip(rows)])) for x in (one, same))
    assert batch["frame_mask"][0].tolist() == [row != 4 for row in rows]
    vertices = batch["vertices"].clone().requires_grad_()
    found = terms(data, batch, vertices)
    sum(found.values()).backward()
    assert not vertices.grad[0, 4].any()
    assert vertices.grad[0, [0, 1, 2, 3, 5, 6, 7]].flatten(1).any(1).all()
    # The same as without the frame, and another one is not: so these frames do count.
    kept = [row for row in rows if row != 4]
    fewer = data.meshes(collate_clips([one.clip(np.array(kept))]))
    for name, value in terms(data, fewer, fewer["vertices"]).items():
        assert value.item() == pytest.approx(found[name].item(), rel=1e-4)
    assert terms(whole, other, other["vertices"])["landmarks"] != found["landmarks"]


def test_terms_of_weight_zero_cost_nothing(filmed, tmp_path, monkeypatch):
    def forbidden(path: Path) -> np.ndarray:
        raise AssertionError(f"{path} was read")

    for module in ("benchmark_views", "benchmark_crops", "benchmark_clips"):
        monkeypatch.setattr(f"au_d3dface.data.{module}.read_picture", forbidden)
    none = read(wanted(filmed, tmp_path, weight_image=0, weight_landmarks=0))
    kept = {"expression", "neutral_vertices", "rest_vertices", "frame_mask", "au_labels", "au_intensity_labels"}
    assert none.clips[0].keys() == kept
    data = read(wanted(filmed, tmp_path, weight_image=0))
    clip = data.clips[0]
    assert clip.keys() - kept == {"rotation", "scale", "translation", "tracked_landmarks", "visible"}
    batch = data.meshes(collate_clips([clip]))
    assert 0 < terms(data, batch, batch["vertices"])["landmarks"] < 0.05
    assert data.held_out[0].keys() == kept | {"scored"}  # nothing is compared where scores are made


def test_video_and_losses_read_a_picture_once(filmed, tmp_path, monkeypatch):
    from au_d3dface.data import benchmark_clips

    asked = []

    def counted(path: Path) -> np.ndarray:
        asked.append(path)
        return np.asarray(Image.open(path).convert("RGB"))

    monkeypatch.setattr(benchmark_clips, "read_picture", counted)
    clip = read(wanted(filmed, tmp_path, model={"use_video": True, "image_size": SIZE})).clips[0]
    assert len(asked) == len(set(asked)) == 8
    difference = (clip["crops"].permute(0, 2, 3, 1).float() - clip["pictures"].float()).abs()
    assert difference.mean() < 1  # of 255: the network sees what it is compared with


def refused(arguments: Arguments, sentence: str, kind=InputError) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        train(arguments)
    assert "\n" not in str(caught.value)


def test_what_is_lacking_is_one_sentence(filmed, tmp_path):
    colors = ("_albedo", "_confidence", "_deviation", "_frame_lighting")
    plain = without(filmed.coarse, tmp_path / "plain", *colors)
    output = tmp_path / "run"
    refused(wanted(filmed, output, plain), r"T1\.npz was prepared without the person's colours.* --appearance` into")
    assert read(wanted(filmed, output, plain, weight_image=0)).clips[0]["visible"].any()
    old = without(filmed.coarse, tmp_path / "old", *colors, "_landmarks_68", "_corners")
    refused(wanted(filmed, output, old), "by an earlier version, without the 2D landmarks")
    refused(wanted(filmed, output, old, weight_image=0), "by an earlier version, without the 2D landmarks")
    assert read(wanted(filmed, output, old, weight_image=0, weight_landmarks=0)).clips[0]["frame_mask"].any()
    assert read_prepared(old / "F001" / "T1.npz", FaceMesh()).faces  # and as before
    broken = without(filmed.coarse, tmp_path / "broken", frame_lighting=lambda value: value * np.nan)
    refused(wanted(filmed, output, broken), r"T1\.npz is damaged: 'frame_lighting' of face 0")
    broken = without(filmed.coarse, tmp_path / "flat", corners=np.zeros_like)
    refused(wanted(filmed, output, broken), r"T1\.npz is damaged: it has no landmarks")
    broken = without(filmed.coarse, tmp_path / "shape", albedo=lambda value: value[:3])
    refused(wanted(filmed, output, broken), r"T1\.npz is damaged: 'albedo' of face 0")
    refused(wanted(filmed, output, data={"picture_size": 0}), "data.picture_size must be at least 1", UsageError)


def test_pictures_that_changed_are_one_sentence(filmed, tmp_path):
    data = read(wanted(filmed, tmp_path))
    one = data.clips.runs[0][0]
    rows = np.arange(8)
    small, broken = tmp_path / "small.jpg", tmp_path / "broken.jpg"
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(small)
    broken.write_bytes(b"no picture")
    path = one.views.pictures[3]
    one.views.pictures[3] = str(small)
    with pytest.raises(InputError, match=r"small\.jpg is 80 x 60 pixels, but .* prepared from pictures of 480 x 480"):
        one.clip(rows)
    one.views.pictures[3] = str(broken)
    with pytest.raises(InputError, match=r"broken\.jpg is not a picture"):
        one.clip(rows)
    one.views.pictures[3] = path
    assert one.clip(rows)["skin"].any()


def test_what_lies_beyond_the_picture_is_not_compared(filmed, tmp_path):
    """The face moved up and left until it is cut off: landmarks and skin beyond the border count for nothing."""
    one = read(wanted(filmed, tmp_path)).clips.runs[0][0]
    view, rows = one.views.view, np.arange(2)
    before = one.clip(rows)
    assert before["visible"].all()
    shift = view.landmarks[0, :, :].mean(0)  # so that the middle of the face lies in the corner

    def shifted(path: Path) -> np.ndarray:
        return np.roll(np.asarray(Image.open(path)), (-shift.round().int()).flip(0).tolist(), (0, 1))

    for values in (view.landmarks, view.corners):
        values -= shift.round()
    view.translation -= shift.round()
    after = one.views(torch.from_numpy(rows), torch.ones(2, dtype=torch.bool), before, shifted)
    assert 0.1 < after["visible"][0].float().mean() < 0.5
    x, y = after["tracked_landmarks"][0].T
    beyond = -(view.corners[0].mean(0) * SIZE / ((view.corners[0, 1] - view.corners[0, 0]).mean() * 1.375)) + SIZE / 2
    assert torch.equal(after["visible"][0], (x >= beyond[0] - 1e-3) & (y >= beyond[1] - 1e-3))
    assert after["skin"][0].any()
    assert not after["skin"][0, : int(beyond[1])].any()
    assert not after["skin"][0, :, : int(beyond[0])].any()
    assert before["skin"][0, : int(beyond[1])].any()


def test_pictures_that_are_missing_are_one_sentence(tmp_path):
    copy = tmp_path / "copy"
    film_bp4d(copy, 4)
    coarse = prepare(copy, tmp_path / "coarse", "--appearance")
    for path in (copy / "F001" / "T1").iterdir():
        path.unlink()
    (copy / "F001" / "T1").rmdir()
    sentence = "F001_T1: 4 frames with a face have no picture, which L_img compares with .*weight_image to 0"
    refused(wanted(Filmed(copy, coarse), tmp_path / "run", data={"clip_length": 4}), sentence)


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Path:
    """A made FLAME with texture coordinates; its albedo model in a folder beside."""
    folder, arrays = tmp_path_factory.mktemp("flame"), made_arrays()
    write_model(folder / "generic_model.pkl", arrays)
    write_landmarks(folder / "landmark_embedding.npy", made_landmarks(arrays))
    vertices = arrays["v_template"]
    lines = [f"v {x} {y} {z}" for x, y, z in vertices]
    lines += [f"vt {x / 0.2 + 0.5:.6f} {y / 0.3 + 0.5:.6f}" for x, y, _ in vertices]
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in arrays["f"].astype(int) + 1]
    (folder / "head_template.obj").write_text("\n".join(lines))
    convert_flame([folder], folder / "converted", "2020")
    rng = np.random.default_rng(0)
    basis = rng.integers(-9, 9, (512, 512, 3, 50)).astype(np.int8)
    np.savez(folder / "albedo.npz", MU=np.full((512, 512, 3), 0.5, np.float32), PC=basis)
    return folder


def test_faces_of_deca(flame, tmp_path, monkeypatch, capsys):
    """Made weights of DECA on a made FLAME: colours of the vertices, then DECA's own texture where its model is."""
    convert_deca([save(deca_checkpoint(random_state(236, seed=0)), tmp_path / "deca_model.tar")], tmp_path / "deca")
    copy, converted = tmp_path / "copy", flame / "converted"
    film_bp4d(copy, 4)
    where = ["--coarse", "deca", "--flame", str(converted), "--deca", str(tmp_path / "deca")]
    coarse = prepare(copy, tmp_path / "coarse", "--appearance", *where)
    monkeypatch.setenv("AU_D3DFACE_FLAME", str(converted))
    sizes = {"face_model": "flame", "num_vertices": 5023, "num_faces": 9976}
    given = Filmed(copy, coarse)
    short = {"clip_length": 4, "picture_size": 48}
    folder = train(wanted(given, tmp_path / "run", model=sizes, data=short))
    assert "note:" not in capsys.readouterr().err  # the config that one would name is refused for faces with a jaw
    record = json.loads((folder / "training.json").read_text())["pools"][0]
    assert record["texture"] == "the persons' own frames"
    [step] = [
        json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines() if '"loss"' in line
    ]
    assert all(np.isfinite(step[name]) and step[name] > 0 for name in ("image", "landmarks", "smooth", "au"))

    plain = read(wanted(given, tmp_path, model=sizes, data=short), load_face_model("flame"))
    clip = plain.clips[0]
    assert clip["texture"].shape == (5023, 3)
    assert not clip["visible"][:, :17].any()  # the jaw line, whose place on FLAME's mesh depends on the view
    assert clip["visible"][:, 17:].any()

    convert_flame([flame / "albedo.npz"], converted)
    own = read(wanted(given, tmp_path, model=sizes, data=short), load_face_model("flame"))
    assert own.provenance[0]["texture"] == "deca"
    batch = own.meshes(collate_clips([own.clips[0]]))
    [face] = read_prepared(coarse / "F001" / "T1.npz", FLAME(converted)).faces.values()
    torch.testing.assert_close(own.clips.runs[0][0].clip(np.arange(4))["lighting"], face.lighting)
    torch.testing.assert_close(batch["texture"][0], face.texture)
    vertices = batch["vertices"].clone().requires_grad_()
    found = terms(own, batch, vertices)
    found["image"].backward()
    assert found["image"].isfinite()
    assert vertices.grad.isfinite().all()
