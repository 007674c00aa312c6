"""Rows of Table 1 beyond the plain ones: DECA's own identities, FLAME, video, and synthetic people."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from multiface_layout import FOLDERS, VERSION_1, Layout
from PIL import Image
from prepared_multiface import prepare_layout

from au_d3dface.cli import main
from au_d3dface.coarse import LandmarkFitting
from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.data.multiface.selection import select_clips
from au_d3dface.data.synthetic.rendered_sequences import PROVENANCE, write_shard
from au_d3dface.data.synthetic.sequences import SequenceSampler, SequenceSettings
from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.errors import UsageError
from au_d3dface.evaluation.meshes.methods import PreparedMethod, refined_vertices
from au_d3dface.evaluation.meshes.tables import sequence_distances
from au_d3dface.evaluation.meshes.truths import MultifaceTruth, PersonTruth
from au_d3dface.face_models import FLAME, FaceMesh, ICTFaceKit
from au_d3dface.geometry import ICPSettings
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction, AUD3DFaceMotionDecoder


def network(face_model, **fields) -> AUD3DFaceForReconstruction:
    """Small, with weights of chance."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_temporal_layers": 1}
    config = AUD3DFaceConfig(
        action_units=(1, 12),
        num_spatial_layers=1,
        face_model=face_model.name,
        num_vertices=face_model.num_vertices,
        num_faces=len(face_model.faces),
        **small,
        **fields,
    )
    model = AUD3DFaceForReconstruction(config).eval()
    for part in model.modules():
        if isinstance(part, AUD3DFaceMotionDecoder):  # which else starts at zero
            torch.nn.init.normal_(part.weight, std=0.1)
    model.set_face_model(face_model.template, face_model.faces, face_model.au_masks((1, 12)))
    return model


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    root = tmp_path_factory.mktemp("multiface") / "copy"
    return Layout(root, frames=3, height=64, width=42, pictures=False, cameras={"400015": -4.0}).write()


def test_deca_has_the_identity_of_each_frame_and_a_row_with_one(layout, flame_folder, tmp_path):
    """The made FLAME is a bumpy ball, so distances mean nothing; that the rows are what they say does."""
    flame = FLAME(flame_folder)
    prepared = prepare_layout(tmp_path / "deca", layout, flame, coarse="deca")
    given = ["--data-dir", str(layout.root), "--expressions", "E008", "-o", str(tmp_path / "out")]
    given += ["--prepared", str(prepared), "--flame", str(flame_folder), "--max-iterations", "2"]
    assert main(["evaluate", "multiface", "--quiet", *given]) == 0
    found = json.loads((tmp_path / "out" / "multiface.json").read_text())
    assert list(found["methods"]) == ["DECA", "DECA, one identity a person"]
    assert all(0 < row["icp_vertices"] < 5023 for row in found["methods"].values())
    truth = MultifaceTruth(select_clips(str(layout.root), expressions=["E008"])[0][0])
    plain = PreparedMethod("a", prepared, "flame", str(flame_folder))
    one, each = (replace(plain, per_frame=per_frame).meshes(truth) for per_frame in (False, True))
    assert one.frames.tolist() == each.frames.tolist() == layout.numbers(1)
    spread = [np.ptp(part.vertices - one.vertices, axis=0).max() for part in (one, each)]
    assert spread[0] == 0
    assert spread[1] > 1e-4


def test_prepared_pictures_that_have_changed_are_named(layout, tmp_path, capsys):
    prepared = prepare_layout(tmp_path / "faces", layout)
    picture = layout.root / FOLDERS["6795937"] / "images" / VERSION_1[1] / "400015" / f"{layout.numbers(1)[0]:06d}.png"
    moved = picture.with_name("000001.png")
    moved.write_bytes(picture.read_bytes())
    try:
        given = ["--data-dir", str(layout.root), "--prepared", str(prepared), "-o", str(tmp_path / "out")]
        assert main(["evaluate", "multiface", "--quiet", "--expressions", "E008", *given]) == 4
        said = capsys.readouterr().err
        assert "was made from other frames than those in" in said
        assert f"the first that differs is {picture.name}, where 000001.png lies now" in said
    finally:
        moved.unlink()


def test_a_checkpoint_that_reads_nothing_of_what_was_prepared(layout, flame_folder, tmp_path, capsys):
    network(FaceMesh()).save_pretrained(tmp_path / "small")
    prepared = prepare_layout(tmp_path / "deca", layout, FLAME(flame_folder), coarse="deca")
    given = ["--data-dir", str(layout.root), "--prepared", str(prepared), "--checkpoint", f"small={tmp_path / 'small'}"]
    assert main(["evaluate", "multiface", "--quiet", *given, "-o", str(tmp_path / "out")]) == 6
    assert "the checkpoint small reads the face model 'facemesh'" in capsys.readouterr().err
    (prepared / "prepare.json").unlink()
    assert main(["evaluate", "multiface", "--quiet", *given, "-o", str(tmp_path / "out")]) == 4
    assert "is not what `au-d3dface prepare` wrote" in capsys.readouterr().err


def test_a_checkpoint_with_video_reads_the_copys_pictures(layout, tmp_path):
    """A face in the pictures, and another, are refined differently."""
    face = FaceMesh()
    model = network(
        face,
        use_video=True,
        image_size=64,
        video_embed_dim=8,
        video_depths=(1, 1, 1, 1),
        video_num_heads=(1, 1, 1, 1),
    )
    prepared = prepare_layout(tmp_path / "faces", layout)
    truth = MultifaceTruth(select_clips(str(layout.root), expressions=["E008"])[0][0])
    coarse = _coarse(prepared, truth)
    pictures = [truth.clip.files()[0][number] for number in truth.frames]
    found = refined_vertices(model, coarse, np.arange(3) / 10, pictures, face)
    assert found.shape == (3, 468, 3)
    assert np.isfinite(found).all()
    white = [tmp_path / f"{number}.png" for number in range(3)]
    for path in white:
        Image.new("RGB", (42, 64), "white").save(path)
    assert np.abs(refined_vertices(model, coarse, np.arange(3) / 10, white, face) - found).max() > 1e-7
    with pytest.raises(UsageError, match="reads video, and there are no pictures"):
        refined_vertices(model, coarse, np.arange(3) / 10)


def _coarse(prepared: Path, truth: MultifaceTruth):
    from au_d3dface.data.prepared import read_prepared

    clip = truth.clip
    path = prepared / clip.folder.name / "images" / clip.expression / f"{clip.camera.name}.npz"
    return next(iter(read_prepared(path, FaceMesh()).faces.values()))


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """A shard of four people, in the first of whom no face was found."""
    sampler = SequenceSampler(load_tracker_response(), settings=SequenceSettings(seconds=0.5, missing=0.0), seed=5)
    # The made-up kit has two identities; a person of more cannot be built of it.
    made = [replace(sampler(index), identity=np.array([0.5, -0.5], np.float32)) for index in range(4)]
    made[0].face.valid[:] = False
    made[0].face.landmarks[:] = np.nan
    path = tmp_path_factory.mktemp("people")
    (path / PROVENANCE).write_text(json.dumps({"quality": "rendered"}))
    write_shard(made, path / "sequences_00000.npz")
    return path


def test_synthetic_people_from_folder_to_latex(people, kit_file, tmp_path, capsys):
    network(FaceMesh()).save_pretrained(tmp_path / "small")
    given = [str(people), "--ict-facekit", str(kit_file), "--checkpoint", f"small={tmp_path / 'small'}"]
    given += ["--every", "20", "--max-iterations", "2"]  # the made-up kit's triangles are long, which takes time
    (tmp_path / "README.md").write_text("text\n")
    given += ["--update-card", str(tmp_path)]
    assert main(["evaluate", "synthetic-meshes", "--quiet", *given, "-o", str(tmp_path / "out")]) == 0
    assert "left out: 1 synthetic people in whom no face was found" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "synthetic_meshes.json").read_text())
    assert list(found["methods"]) == ["landmarks", "landmarks + small"]
    assert len(found["frames"]) == 3
    assert all(name.startswith("synthetic_") for name in found["frames"])
    assert "SYNTHETIC" in found["data"]
    text, latex = ((tmp_path / "out" / f"synthetic_meshes.{suffix}").read_text() for suffix in ("md", "tex"))
    assert text.startswith("## SYNTHETIC people (rendered, not real)")
    assert latex.count(r"\caption{SYNTHETIC") == latex.count(r"\begin{table}") == 2
    assert "(paper)" not in text
    results = ModelCard.load(tmp_path / "README.md").data.eval_results
    about = {(one.dataset_type, one.dataset_name, one.dataset_split) for one in results}
    split = f"3 sequences ({', '.join(found['frames'])}), 3 meshes, refined from landmarks"
    assert about == {("synthetic", "SYNTHETIC people (rendered, not real)", split)}
    values = {one.metric_name: one.metric_value for one in results}
    mean = found["methods"]["landmarks + small"]["distances_mm"]["all"]["mean"]
    assert values["mean distance to the true surface after rigid ICP, mm"] == mean
    # The coarse row again, by hand, from the same start.
    truth = PersonTruth(people, 1, kit_file, (0,))
    coarse = LandmarkFitting(FaceMesh())(truth.sequence().face).vertices.numpy()[:1]
    true = truth.load([0])
    settings = ICPSettings(max_iterations=2)
    mean = sequence_distances(coarse, true.vertices, true.faces, settings).distances.mean()
    name = f"synthetic_{people.name}_00001"
    assert found["mean_by_sequence_mm"]["landmarks"][name] == pytest.approx(float(mean), abs=1e-3)


def test_the_surface_of_a_person_is_in_its_true_size(people, kit_file):
    truth = PersonTruth(people, 1, kit_file, (0, 1))
    sequence, kit = truth.sequence(), ICTFaceKit(kit_file)
    placed = truth.load([0, 1])
    own = kit(torch.from_numpy(sequence.identity), torch.from_numpy(sequence.rest + sequence.weights[:2])).numpy()
    sides = [
        np.linalg.norm(part[:, kit.faces[:, 0]] - part[:, kit.faces[:, 1]], axis=-1) for part in (placed.vertices, own)
    ]
    assert sides[0] == pytest.approx(sides[1], abs=1e-6)


def test_people_that_were_not_rendered_have_no_surface(people, kit_file, tmp_path, capsys):
    (tmp_path / PROVENANCE).write_text(json.dumps({"quality": "fast"}))
    (tmp_path / "sequences_00000.npz").write_bytes((people / "sequences_00000.npz").read_bytes())
    given = ["--ict-facekit", str(kit_file), "-o", str(tmp_path / "out")]
    assert main(["evaluate", "synthetic-meshes", "--quiet", str(tmp_path), *given]) == 4
    assert "were not rendered from ICT-FaceKit, so no surface of theirs is known" in capsys.readouterr().err
