"""Scores on synthetic people: sequences made here without rendering, a small random network, figures by hand."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from au_d3dface import AUD3DFacePipeline, facs
from au_d3dface.checkpoints import load_checkpoint
from au_d3dface.cli import main
from au_d3dface.coarse import LandmarkFitting
from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.data.synthetic.pool import build_pool
from au_d3dface.data.synthetic.rendered_sequences import PROVENANCE, StoredSequences, write_shard
from au_d3dface.data.synthetic.sequences import SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import CheckpointError, InputError, UsageError
from au_d3dface.evaluation.figures import error_maps
from au_d3dface.evaluation.synthetic_people.calibration import (
    WAYS,
    calibrated_rows,
    decode,
    rest_picture,
    true_intensities,
)
from au_d3dface.evaluation.synthetic_people.evaluation import (
    SyntheticEvaluation,
    calm_piece,
    cut,
    evaluate_synthetic,
    held_piece,
    read_sequence,
)
from au_d3dface.evaluation.synthetic_people.report import ALL_FOLDERS
from au_d3dface.evaluation.synthetic_people.true_meshes import KitTruth, TrackedRestTruth
from au_d3dface.face_models import FaceMesh, ICTFaceKit
from au_d3dface.metrics import facemesh_regions
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.tracking import TrackedVideo

UNITS = (1, 4, 12, 25, 45)


def network(**fields) -> AUD3DFaceForReconstruction:
    """A small network with weights of chance, whose decisions are mixed."""
    torch.manual_seed(0)
    small = {
        "action_units": UNITS,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_temporal_layers": 1,
        "num_spatial_layers": 1,
    }
    face = FaceMesh()
    model = AUD3DFaceForReconstruction(AUD3DFaceConfig(**{**small, "num_faces": len(face.faces), **fields})).eval()
    with torch.no_grad():
        model.au_head.weight.normal_(0, 0.5)
        model.intensity_head.weight.normal_(0, 0.5)
    units = model.config.action_units
    model.set_face_model(face.template, face.faces, face.au_masks(units))
    return model


@pytest.fixture(scope="module")
def sampler() -> SequenceSampler:
    """Four seconds a person."""
    return SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=4.0, missing=1.0), seed=5)


@pytest.fixture(scope="module")
def folder(sampler, tmp_path_factory) -> Path:
    """A shard of four people, in the first of whom no face was found."""
    return write_folder(tmp_path_factory.mktemp("people"), people(sampler))


def people(sampler) -> list:
    made = [sampler(index) for index in range(4)]
    made[0].face.valid[:] = False
    made[0].face.landmarks[:] = np.nan
    return made


def write_folder(path: Path, sequences: list, **provenance) -> Path:
    path.mkdir(exist_ok=True)
    (path / PROVENANCE).write_text(json.dumps({"quality": "fast", "settings": {"style": "posing"}, **provenance}))
    write_shard(sequences, path / "sequences_00000.npz")
    return path


@pytest.fixture(scope="module")
def model() -> AUD3DFaceForReconstruction:
    return network()


@pytest.fixture(scope="module")
def kit(kit_file) -> ICTFaceKit:
    return ICTFaceKit(kit_file)


def test_decoding_is_that_of_the_pipeline(model, sampler):
    """Also where the video has another rate than the network, and gaps."""
    sequence = sampler(1)
    assert not sequence.face.valid.all()
    for stretched in (1.0, 0.4, 1.7):
        times = stretched * sequence.times
        pipeline = AUD3DFacePipeline(model, LandmarkFitting(FaceMesh()))
        tracked = TrackedVideo(times, 480, 640, [sequence.face])
        coarse = pipeline.coarse(sequence.face)
        whole = pipeline._decode(tracked, sequence.face, coarse, None, None, "", {})
        decoded = decode(model, coarse, times)
        frames = decoded.frames[decoded.valid]
        assert len(frames) == (whole.valid & ~whole.interpolated).sum()
        assert np.array_equal(decoded.vertices[decoded.valid].numpy(), whole.vertices[frames])
        assert np.array_equal(decoded.coarse[decoded.valid].numpy(), whole.coarse_vertices[frames])
        assert np.array_equal(decoded.decisions[decoded.valid], whole.au_decisions[frames])
        assert np.array_equal(decoded.intensities[decoded.valid], whole.au_intensities[frames])


def test_the_truth_is_that_of_training(sampler):
    fitting = LandmarkFitting(FaceMesh())
    pool = build_pool(sampler, fitting, 2)
    sequence = sampler(1)
    truth = TrackedRestTruth()(sequence, pool.neutral[1], fitting(sequence.face).rest_correction)
    assert torch.allclose(truth.rest, pool.true_neutral[1], atol=1e-6)
    # The pool keeps weights in half precision.
    assert torch.allclose(truth.rest + truth.displacement, pool.true_vertices(1), atol=2e-5)


def test_action_units_are_scored_over_the_valid_frames_of_all_people(model, folder):
    report = evaluate_synthetic([folder], SyntheticEvaluation(model, calibration=False))
    stored, fitting = StoredSequences(folder), LandmarkFitting(FaceMesh())
    decisions, probabilities, truth, estimates = [], [], [], []
    for index in range(1, 4):
        sequence = stored(index)
        coarse = fitting(sequence.face)
        first = int(np.argmax(sequence.face.valid))
        output = model.generate(
            vertices=coarse.vertices[None, first:],
            neutral_vertices=coarse.neutral_vertices[None],
            frame_mask=coarse.valid[None, first:],
        )
        kept = sequence.face.valid[first:]
        probabilities.append(output.au_probabilities[0].numpy()[kept])
        estimates.append(output.au_intensities[0].numpy()[kept])
        truth.append(sequence.intensity[first:][kept].max(-1)[:, [facs.ALL.index(unit) for unit in UNITS]])
    probabilities, truth, estimates = map(np.concatenate, (probabilities, truth, estimates))
    decisions = probabilities >= 0.5
    numbers = report.numbers()["folders"][folder.name]
    assert (numbers["sequences"], numbers["left_out"], numbers["style"]) == (3, 1, "posing")
    full = numbers["action_units"]["full"]
    assert full["frames"] == len(truth)
    f1, recalls = [], []
    for k, unit in enumerate(UNITS):
        said, present = decisions[:, k], truth[:, k] >= 1
        entry = full["by_au"][facs.label(unit)]
        f1.append(2 * (said & present).sum() / (said.sum() + present.sum()))
        rate = present.mean()
        assert entry["f1"] == pytest.approx(f1[-1], abs=1e-4)
        assert entry["always_positive_f1"] == pytest.approx(2 * rate / (1 + rate), abs=1e-4)
        ahead = probabilities[present, k][:, None] - probabilities[~present, k][None]
        assert entry["roc_area"] == pytest.approx((ahead > 0).mean() + (ahead == 0).mean() / 2, abs=1e-4)
        assert entry["intensity_r"] == pytest.approx(np.corrcoef(estimates[:, k], truth[:, k])[0, 1], abs=1e-4)
        for level in (1, 2):
            here = (truth[:, k] >= level) & (truth[:, k] < level + 1)
            assert entry["by_intensity"][str(level)]["frames"] == here.sum()
            if here.any():
                recalls.append(entry["by_intensity"][str(level)]["recall"])
                assert recalls[-1] == pytest.approx(said[here].mean(), abs=1e-4)
    assert 0 < np.mean(recalls) < 1
    assert 0 < np.concatenate(decisions).mean() < 1
    means = full["means"]
    assert means["all"]["f1"] == pytest.approx(np.mean(f1), abs=1e-4)
    assert means["BP4D"]["f1"] == pytest.approx(np.mean(f1[:3]), abs=1e-4)
    assert means["BP4D"]["action_units"] == [1, 4, 12]
    assert means["DISFA"]["f1"] == pytest.approx(np.mean(f1[:4]), abs=1e-4)


class Oracle:
    """Gives back meshes that are wrong by what the test says, whatever it reads."""

    def __init__(self, model, refine):
        self.config, self.device, self.generation_config = model.config, model.device, model.generation_config
        self.refine = refine

    def generate(self, vertices, neutral_vertices, frame_mask):
        shape = (*vertices.shape[:2], len(self.config.action_units))
        return SimpleNamespace(
            vertices=self.refine(vertices, neutral_vertices),
            au_probabilities=torch.zeros(shape),
            au_intensities=torch.zeros(shape),
        )


def rendered(sequence, identity=(0.5, -1.0)):
    """The sequence as one of the made-up kit, with a face that was rendered."""
    rest = np.zeros(57, np.float32)
    rest[3] = 0.1
    return replace(sequence, identity=np.array(identity, np.float32), rest=rest)


def test_meshes_are_compared_with_the_truth_by_region(model, sampler, kit):
    """Refined meshes 1 mm beside the truth have that error everywhere; the coarse one's is worked out here."""
    sequence = sampler(2)
    fitting = LandmarkFitting(FaceMesh())
    coarse = fitting(sequence.face)
    truth = TrackedRestTruth()(sequence, coarse.neutral_vertices, coarse.rest_correction)
    true = truth.rest + truth.displacement
    beside = true + torch.tensor([0.0, 0.001, 0.0])
    first = int(np.argmax(sequence.face.valid))
    oracle = Oracle(model, lambda vertices, neutral: beside[None, first:])
    scores = SyntheticEvaluation(oracle, calibration=False)(sequence).meshes
    valid = coarse.valid
    assert set(scores.errors) == {"whole", "displacement"}
    whole = scores.errors["whole"]
    assert whole.count == int(valid.sum())
    assert whole.values[1] == pytest.approx(1.0, abs=1e-3)
    distance = 1000 * (coarse.vertices - true).norm(dim=-1)[valid]
    assert whole.values[0, -1] == pytest.approx(float(distance.mean()), rel=1e-4)
    mouth = list(scores.regions).index("mouth")
    assert whole.values[0, mouth] == pytest.approx(float(distance[:, facemesh_regions()["mouth"]].mean()), rel=1e-4)
    moved = coarse.vertices - coarse.neutral_vertices - truth.displacement
    assert scores.errors["displacement"].values[0, -1] == pytest.approx(
        1000 * float(moved.norm(dim=-1)[valid].mean()), rel=1e-4
    )
    moved = beside - coarse.neutral_vertices - truth.displacement
    assert scores.errors["displacement"].values[1, -1] == pytest.approx(
        1000 * float(moved.norm(dim=-1)[valid].mean()), rel=1e-4
    )


def test_meshes_are_compared_with_the_kit(model, sampler, kit):
    """A refined mesh made of points of the kit's own surface lies on it, and on the kit's points."""
    sequence = rendered(sampler(2))
    coarse = LandmarkFitting(FaceMesh())(sequence.face)
    kit_truth = KitTruth(kit)
    truth = kit_truth(sequence, coarse.neutral_vertices)
    first = int(np.argmax(sequence.face.valid))
    oracle = Oracle(model, lambda vertices, neutral: (truth.rest + truth.displacement)[None, first:])
    evaluation = SyntheticEvaluation(oracle, kit=kit, calibration=False, surface_every=7)
    scores = evaluation(sequence).meshes
    assert scores.errors["kit_surface"].count == -(-int(sequence.face.valid.sum()) // 7)
    assert scores.errors["kit_surface"].values[1] == pytest.approx(0, abs=1e-3)
    assert scores.errors["kit_surface"].values[0, -1] > 0.1
    assert scores.errors["kit_whole"].values[1] == pytest.approx(0, abs=1e-6)
    # The frame is that in which the person at rest lies best on the neutral face: worked out from the kit itself.
    rest = kit.landmarks_468(kit(torch.tensor(sequence.identity), torch.tensor(sequence.rest)), kit.faces)
    sizes = [float((points - points.mean(0)).norm()) for points in (truth.rest, rest)]
    assert truth.size == pytest.approx(sizes[0] / sizes[1], rel=1e-4)
    moved = kit.landmarks_468(
        kit(torch.tensor(sequence.identity), torch.tensor(sequence.rest + sequence.weights)), kit.faces
    )
    between = [
        (points[..., 10, :] - points[..., 152, :]).norm(dim=-1) for points in (truth.rest + truth.displacement, moved)
    ]
    assert torch.allclose(between[0], truth.size * between[1], rtol=1e-4)  # a similarity, and nothing more
    assert set(evaluation(sequence, rendered=False).meshes.errors) == {"whole", "displacement"}


def test_jitter_counts_where_the_truth_stands_still_and_lag_is_in_samples(model, sampler):
    sequence = sampler(3)
    frames = len(sequence.times)
    weights = np.zeros((frames, 57), np.float32)
    smile = [name.startswith("mouthSmile") for name in load_tracker_response().expression_names]
    weights[22:32, smile] = np.linspace(0, 1, 10)[:, None]
    weights[32:, smile] = 1
    seen = sequence.face.valid
    sequence = replace(sequence, weights=weights)
    coarse = LandmarkFitting(FaceMesh())(sequence.face)
    truth = TrackedRestTruth()(sequence, coarse.neutral_vertices, coarse.rest_correction)
    first = int(np.argmax(seen))
    late = truth.displacement.roll(1, 0)
    late[0] = 0
    shake = torch.zeros(frames, 1, 1)
    shake[::2] = 0.0001  # 0.1 mm to and fro: an acceleration of 0.2 mm

    def refine(vertices, neutral):
        return (neutral + late + shake * torch.tensor([1.0, 0, 0]))[None, first:]

    scores = SyntheticEvaluation(Oracle(model, refine), calibration=False)(sequence).meshes
    inner = seen[2:] & seen[1:-1] & seen[:-2]
    still = inner & np.array([frame < 22 or frame > 31 for frame in range(1, frames - 1)])
    assert 0 < scores.jitter.count == still.sum() < inner.sum()
    second = 1000 * (coarse.vertices[2:] - 2 * coarse.vertices[1:-1] + coarse.vertices[:-2]).norm(dim=-1).mean(-1)
    assert scores.jitter.values[0] == pytest.approx(float(second[torch.from_numpy(still)].mean()), rel=1e-4)
    refined = refine(None, coarse.neutral_vertices)[0]
    second = 1000 * (refined[2:] - 2 * refined[1:-1] + refined[:-2]).norm(dim=-1).mean(-1)
    assert scores.jitter.values[1] == pytest.approx(float(second[torch.from_numpy(still[first:])].mean()), rel=1e-4)
    assert scores.lags[0, 1] == pytest.approx(1.0, abs=0.1)
    many = replace(scores, lags=np.array([[0.0, 0.5], [-2.0, 1.0], [np.nan, 3.0], [1.0, -1.5]]))
    refined = many.numbers()["lag_samples"]["refined"]
    assert refined == {"mean": 0.0, "within_one": pytest.approx(2 / 3, abs=1e-4), "largest": 1.5}
    assert many.numbers()["lag_samples"]["sequences"] == 3


def test_each_way_of_calibration_sees_the_same_frames(model, sampler):
    sequence = sampler(1)
    fitting = LandmarkFitting(FaceMesh())
    rows = calibrated_rows(model, fitting, sequence)
    assert set(rows) == set(WAYS)
    for way in WAYS:
        assert np.array_equal(rows[way].truth, true_intensities(sequence, UNITS)[sequence.face.valid])
        assert rows[way].decisions.shape == rows[way].intensities.shape
    assert len({rows[way].probabilities.tobytes() for way in WAYS}) == len(WAYS)
    # What the pipeline does with a picture at rest, and what it does by itself.
    frontal = decode(model, fitting(sequence.face, rest_picture(sequence.neutral)), sequence.times)
    assert np.array_equal(rows["picture"].probabilities, frontal.probabilities[frontal.valid])
    usual = decode(model, fitting(sequence.face), sequence.times)
    assert np.array_equal(rows["clip"].probabilities, usual.probabilities[usual.valid])


def test_without_calibration_the_mean_face_is_subtracted(model, sampler):
    """The displacement that the network reads is then from the template, of which nobody is an exact copy."""
    read = []
    spy = Oracle(model, lambda vertices, neutral: read.append(neutral[0]) or vertices)
    fitting = LandmarkFitting(FaceMesh(), correct_rest=False)  # what it adds to each is no motion
    sequence = sampler(1)
    spy.start_decoding, spy.decode_step = model.start_decoding, model.decode_step
    calibrated_rows(spy, fitting, sequence)
    _clip, _picture, identity, none = read
    template = fitting.face_model.template
    assert torch.allclose(none, template, atol=1e-6)
    shape = fitting(sequence.face).shape
    assert torch.allclose(
        identity, template + torch.tensordot(shape, fitting.face_model.shape_basis, dims=1), atol=1e-6
    )
    true = TrackedRestTruth()
    errors = [float((true(sequence, neutral).rest - neutral).norm(dim=-1).mean()) for neutral in read]
    assert errors[1] < errors[3]
    assert errors[0] < errors[3]


def test_a_picture_at_rest_shows_the_person(sampler):
    neutral = sampler(1).neutral
    points = rest_picture(neutral)
    assert points.shape == (478, 3)
    assert points.dtype == torch.float32
    assert points[152, 1] > points[10, 1]  # the chin is below the forehead
    assert points[263, 0] > points[33, 0]  # the subject's left eye is to the right in the picture
    iris = (points[469] - points[471]).norm() / (points[33] - points[263]).norm()
    eyes = np.linalg.norm(neutral[33] - neutral[263])
    assert float(iris) == pytest.approx(0.0117 / eyes, rel=1e-4)
    fitted = LandmarkFitting(FaceMesh()).neutral_of_picture(points).landmarks
    truth = TrackedRestTruth()(sampler(1), fitted)
    assert (truth.rest - fitted).norm(dim=-1).mean() < 0.001


def acted(sequence, unit: int, start: int, end: int):
    """The sequence with one action unit from frame `start` up to `end` and nothing else."""
    intensity = np.zeros_like(sequence.intensity)
    intensity[start:end, facs.ALL.index(unit), 0] = 2.0
    valid = np.ones(len(sequence.times), bool)
    landmarks = np.broadcast_to(sequence.face.landmarks[sequence.face.valid][:1], sequence.face.landmarks.shape)
    face = replace(sequence.face, valid=valid, landmarks=np.ascontiguousarray(landmarks))
    return replace(sequence, intensity=intensity, face=face)


def test_people_who_never_relax_or_never_move_are_cut_out(model, sampler):
    held = acted(sampler(1), 12, 5, 27)
    assert held_piece(held, UNITS) == (12, slice(5, 27))
    assert held_piece(acted(sampler(1), 12, 5, 24), UNITS) is None  # 1.9 seconds
    assert held_piece(acted(sampler(1), 45, 5, 27), UNITS) is None
    assert calm_piece(held) is None
    assert calm_piece(acted(sampler(1), 12, 25, 40)) == slice(0, 25)
    assert calm_piece(acted(sampler(1), 45, 0, 40)) == slice(0, 40)
    piece = cut(held, slice(5, 27))
    assert piece.times[0] == 0
    assert len(piece.times) == len(piece.weights) == len(piece.face.valid) == 22

    scores = SyntheticEvaluation(model)(held)
    rows = calibrated_rows(model, LandmarkFitting(FaceMesh()), piece)
    assert set(scores.never_relaxes) == set(WAYS)
    assert not scores.never_moves
    for way, case in scores.never_relaxes.items():
        said = rows[way].decisions
        assert (case.people, case.rows) == (1, 22)
        assert case.miss_rate == pytest.approx(1 - said[:, UNITS.index(12)].mean())
        others = [UNITS.index(unit) for unit in (1, 4, 25)]
        assert case.false_positive_rate == pytest.approx(said[:, others].mean())
    calm = SyntheticEvaluation(model)(acted(sampler(1), 12, 25, 40)).never_moves
    assert calm["clip"].absent == 25 * 4
    assert np.isnan(calm["clip"].miss_rate)


def test_several_folders_are_scored_one_by_one_and_together(model, sampler, folder, tmp_path):
    other = write_folder(tmp_path / "others", [sampler(index) for index in range(4, 8)], settings={"style": None})
    static = network(use_temporal=False)
    stages = []
    evaluation = SyntheticEvaluation(model, static, calibration=False)
    report = evaluate_synthetic([folder, other], evaluation, lambda *stage: stages.append(stage))
    assert list(report.folders) == [folder.name, "others", ALL_FOLDERS]
    numbers = report.numbers()["folders"]
    assert [entry["sequences"] for entry in numbers.values()] == [3, 4, 7]
    assert [entry["style"] for entry in numbers.values()] == ["posing", None, None]
    full = [entry["action_units"]["full"] for entry in numbers.values()]
    assert full[0]["frames"] + full[1]["frames"] == full[2]["frames"]
    errors = [entry["meshes"]["errors_mm"]["whole"] for entry in numbers.values()]
    weighted = sum(error["samples"] * error["all"]["coarse"] for error in errors[:2])
    assert errors[2]["all"]["coarse"] == pytest.approx(weighted / errors[2]["samples"], abs=1e-3)
    assert stages[-1] == ("measuring", 8, 8)
    assert report.notes[-1] == "left out: 1 sequences in which no face was found"
    alone = evaluate_synthetic([other], SyntheticEvaluation(static, calibration=False)).numbers()["folders"]["others"]
    assert numbers["others"]["action_units"]["static"] == alone["action_units"]["full"]
    assert numbers["others"]["action_units"]["static"] != numbers["others"]["action_units"]["full"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, str]:
    where = tmp_path_factory.mktemp("checkpoints")
    for name, fields in {"full": {}, "static": {"use_temporal": False}}.items():
        network(**fields).save_pretrained(where / name)
    return {name: str(where / name) for name in ("full", "static")}


def test_the_command_prints_and_writes_what_was_measured(folder, checkpoints, tmp_path, capsys):
    options = ["--model", checkpoints["full"], "--static", checkpoints["static"], "--device", "cpu", "--quiet"]
    (tmp_path / "README.md").write_text("# A card\n")
    options += ["--update-card", str(tmp_path)]
    assert main(["evaluate", "synthetic", str(folder), *options, "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    written = json.loads((tmp_path / "out" / "synthetic.json").read_text())
    assert (tmp_path / "out" / "synthetic.md").read_text() == printed.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["synthetic.json", "synthetic.md"]
    scores = written["folders"][folder.name]
    expected = evaluate_synthetic(
        [folder], SyntheticEvaluation(*(load_checkpoint(checkpoints[name], "cpu") for name in ("full", "static")))
    )
    assert scores == json.loads(json.dumps(expected.numbers()))["folders"][folder.name]
    means = scores["action_units"]["full"]["means"]["BP4D"]
    line = next(line for line in printed.out.splitlines() if line.startswith("| BP4D "))
    assert f"{means['always_positive_f1']:.3f}" in line
    assert f"{means['f1']:.3f}" in line
    for way in WAYS.values():
        assert f"| {way} " in printed.out
    assert "--ict-facekit" in printed.err  # it says what is left out
    results = {one.metric_name: one for one in ModelCard.load(tmp_path / "README.md").data.eval_results}
    assert results["F1, mean over the action units of BP4D"].metric_value == means["f1"]
    assert results["ROC area, mean over all action units"].dataset_split.startswith(f"{folder.name}, ")


def test_with_a_kit_the_distance_to_its_surface_is_printed(sampler, kit, model, tmp_path):
    made = [rendered(sampler(index)) for index in range(4)]
    where = write_folder(tmp_path / "rendered", made, quality="rendered")
    report = evaluate_synthetic([where], SyntheticEvaluation(model, kit=kit, calibration=False, surface_every=20))
    errors = report.numbers()["folders"]["rendered"]["meshes"]["errors_mm"]
    assert errors["kit_surface"]["samples"] < errors["kit_whole"]["samples"] == errors["whole"]["samples"]
    assert 0 < errors["kit_surface"]["all"]["coarse"] < errors["kit_whole"]["all"]["coarse"]
    assert "vertex to kit's surface, ratio" in report.text()
    assert report.notes == []
    fast = write_folder(tmp_path / "fast", made)
    report = evaluate_synthetic([fast], SyntheticEvaluation(model, kit=kit, calibration=False))
    assert "kit_whole" not in report.numbers()["folders"]["fast"]["meshes"]["errors_mm"]
    assert "was not rendered" in report.notes[0]
    stranger = write_folder(tmp_path / "stranger", [rendered(s, (1.0,) * 5) for s in made], quality="rendered")
    with pytest.raises(InputError, match="5 identity weights, this ICT-FaceKit 2"):
        evaluate_synthetic([stranger], SyntheticEvaluation(model, kit=kit, calibration=False))


def test_a_kit_with_other_shapes_is_refused(model, kit_path):
    with pytest.raises(CheckpointError, match="other expression shapes"):
        SyntheticEvaluation(model, kit=ICTFaceKit(kit_path))


@pytest.mark.parametrize(
    ("fields", "static", "said"),
    [
        ({"use_video": True}, None, "no pictures"),
        ({"face_model": "ict"}, None, "not 'ict'"),
        ({"action_units": (1, 99)}, None, "AU99"),
        ({}, {}, "has the temporal module"),
        ({}, {"use_temporal": False, "frame_rate": 20}, "differs from the full one in frame_rate"),
        ({}, {"use_temporal": False, "action_units": (1, 4)}, "differs from the full one in action_units"),
    ],
)
def test_networks_that_cannot_be_measured_are_refused(fields, static, said):
    def config(fields):
        return SimpleNamespace(config=AUD3DFaceConfig(**{"action_units": UNITS, **fields}))

    with pytest.raises(UsageError, match=said):
        SyntheticEvaluation(config(fields), None if static is None else config(static))


def test_surface_every_must_be_positive(model):
    with pytest.raises(UsageError, match="not every 0"):
        SyntheticEvaluation(model, surface_every=0)


def test_folders_that_hold_no_sequences_are_refused(folder, checkpoints, tmp_path, capsys):
    options = ["--model", checkpoints["full"], "--device", "cpu", "--quiet"]
    assert main(["evaluate", "synthetic", str(tmp_path / "nowhere"), *options]) == 4
    assert "holds no sequences_*.npz" in capsys.readouterr().err
    assert main(["evaluate", "synthetic", str(folder), str(folder), *options]) == 2
    assert "named twice" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert main(["evaluate", "synthetic", str(folder), *options, "-o", str(tmp_path / "file")]) == 5


def test_nobody_at_all_is_an_error(model, sampler, tmp_path):
    lost = write_folder(tmp_path / "lost", [people(sampler)[0]] * 4)
    with pytest.raises(InputError, match="no face was found in any sequence of"):
        evaluate_synthetic([lost], SyntheticEvaluation(model, calibration=False))


def damaged(**changes):
    """A change of the arrays of a shard: each by a function, or taken away by None."""

    def change(arrays: dict[str, np.ndarray]) -> None:
        for name, how in changes.items():
            if how is None:
                del arrays[name]
            else:
                arrays[name] = how(arrays.get(name))

    return change


@pytest.mark.parametrize(
    "change",
    [
        damaged(landmarks=None),
        damaged(rest=None),
        damaged(weights=lambda a: a[..., :50]),
        damaged(intensity=lambda a: a[..., 0]),
        damaged(valid=lambda a: a.astype(np.int64)),
        damaged(valid=lambda a: a[:, :-1]),
        damaged(neutral=lambda a: np.full_like(a, np.nan)),
        damaged(landmarks=lambda a: np.full_like(a, np.inf)),
        damaged(times=lambda a: a[:, ::-1]),
        damaged(times=lambda a: a.astype(str)),
        damaged(identity=lambda a: a[:2]),
        damaged(more=lambda _: np.zeros(4)),
    ],
)
def test_damaged_shards_are_named(folder, tmp_path, change):
    with np.load(folder / "sequences_00000.npz") as npz:
        arrays = dict(npz)
    change(arrays)
    where = tmp_path / "damaged"
    where.mkdir()
    (where / PROVENANCE).write_text("{}")
    np.savez(where / "sequences_00000.npz", **arrays)
    with pytest.raises(InputError, match=r"sequences_00000.npz is not a shard of sequences"):
        read_sequence(StoredSequences(where), 3)


def test_rendered_people_are_measured_with_the_real_kit(shared_data, sampler, tmp_path):
    """The statistics in the package and the kit say the same of how the 468 points move."""
    kit_truth = KitTruth(ICTFaceKit(shared_data / "ict_facekit" / "ict_facekit.npz"))
    assert torch.allclose(kit_truth.geometry, load_tracker_response().true_expression, atol=5e-5)
    sequence = replace(sampler(1), identity=np.zeros(100, np.float32))
    template = FaceMesh().template
    surface = kit_truth.surface(sequence, template, np.array([0, 7]))
    truth = kit_truth(sequence, template)
    points = kit_truth.points(surface, kit_truth.kit.faces)
    assert torch.allclose(points, (truth.rest + truth.displacement)[[0, 7]], atol=1e-6)


def test_the_figure_shows_people_spread_over_the_folders_at_their_strongest(model, sampler, folder, kit, tmp_path):
    evaluation = SyntheticEvaluation(model, network(use_temporal=False), kit, calibration=False)
    shown = list(error_maps._some_people([folder], 6))
    assert [name for name, _, _ in shown] == [f"{folder.name} {k}" for k in (1, 2, 3)]  # nobody is seen in the first
    assert [name for name, _, _ in error_maps._some_people([folder], 1)] == [f"{folder.name} 1"]
    for name, sequence, is_rendered in shown:
        item = error_maps.error_map(sequence, name, evaluation, is_rendered)
        decoded = decode(model, evaluation.fitting(sequence.face), sequence.times)
        truth = TrackedRestTruth()(sequence, decoded.neutral, decoded.rest_correction)
        frame = np.flatnonzero([torch.allclose(item.true, truth.rest + motion) for motion in truth.displacement])[0]
        assert f"{sequence.times[frame]:.1f} s" in item.name
        motion = truth.displacement.norm(dim=-1).mean(-1)
        assert motion[frame] == motion[sequence.face.valid].max()
        sample = list(decoded.frames).index(frame)
        assert torch.equal(item.meshes["refined"], decoded.vertices[sample])
        by_hand = 1000 * (decoded.coarse[sample] - item.true).norm(dim=-1)
        assert torch.allclose(item.errors["whole"]["coarse"], by_hand, atol=1e-4)
        moved = decoded.vertices[sample] - decoded.neutral - truth.displacement[frame]
        assert torch.allclose(item.errors["displacement"]["refined"], 1000 * moved.norm(dim=-1), atol=1e-4)
        assert set(item.meshes) == {"coarse", "refined", "static"}
        assert not item.on_kit
    person = rendered(sampler(1))
    item = error_maps.error_map(person, "of the kit", evaluation)
    truth = KitTruth(kit)(person, evaluation.fitting(person.face).neutral_vertices)
    assert item.on_kit
    assert any(torch.allclose(item.true, truth.rest + motion, atol=1e-6) for motion in truth.displacement)


def test_the_figure_names_what_it_shows(model, folder, monkeypatch):
    composed = {}
    monkeypatch.setattr(
        error_maps, "compose_strip", lambda rows, labels, **options: composed.update(options, rows=rows, labels=labels)
    )
    evaluation = SyntheticEvaluation(model, calibration=False)
    maps = [
        error_maps.error_map(sequence, name, evaluation) for name, sequence, _ in error_maps._some_people([folder], 2)
    ]
    error_maps.error_picture(maps, ("whole", "displacement"), cell=48)
    rows = composed["rows"]
    assert [row.label for row in rows] == [
        "truth",
        *("coarse, whole face", "refined, whole face", "coarse, motion from rest", "refined, motion from rest"),
    ]
    assert composed["title"].startswith("Synthetic faces")
    assert "tracked face at rest" in composed["title"]
    assert composed["labels"] == [item.name for item in maps]
    assert len({row.scale for row in rows[1:]}) == 1  # one colour bar
    assert rows[3].captions == [f"mean {item.errors['displacement']['coarse'].mean():.2f} mm" for item in maps]


def test_the_command_draws_the_figure(folder, checkpoints, tmp_path, capsys):
    figure = tmp_path / "new" / "maps.png"
    options = ["--model", checkpoints["full"], "--device", "cpu", "--no-calibration"]
    command = ["evaluate", "synthetic", str(folder), *options, "--figure", str(figure)]
    assert main([*command, "--figure-errors", "displacement"]) == 0
    assert capsys.readouterr().out.endswith(f"  {figure}\n")
    with Image.open(figure) as picture:
        assert picture.size[0] > 3 * error_maps.CELL
        assert picture.size[1] > 3 * error_maps.CELL
    assert list(figure.parent.iterdir()) == [figure]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--figure", "maps.jpg"], 2, "must end in .png"),
        (["--figure", "maps.png", "--figure-errors", "shape"], 2, "unknown error 'shape'"),
        (["--figure", "maps.png", "--figure-errors", ","], 2, "no error is named"),
        (["--figure-errors", "whole"], 2, "give --figure"),
        (["--figure", "folder.png"], 5, "a folder has its name"),
        (["--figure", "file/maps.png"], 5, "is a file"),
    ],
)
def test_figures_that_cannot_be_drawn_are_refused(
    folder, checkpoints, tmp_path, capsys, monkeypatch, options, status, said
):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "synthetic", str(folder), "--model", checkpoints["full"], *options]) == status
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]
