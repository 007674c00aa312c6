"""The model card: every number comes from a file, and a missing one is an error."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard, metadata_eval_result, metadata_load, metadata_save

from au_d3dface.checkpoints import BUNDLED
from au_d3dface.errors import InputError
from au_d3dface.evaluation.real_clips.agreement import Agreement, ClipAgreement
from au_d3dface.evaluation.real_clips.frame_rate import FrameRateReport, RateComparison
from au_d3dface.evaluation.synthetic_people.au_scores import AURows
from au_d3dface.evaluation.synthetic_people.calibration import WAYS, HardCase
from au_d3dface.evaluation.synthetic_people.mesh_scores import ERRORS, MeshMean, MeshScores
from au_d3dface.evaluation.synthetic_people.report import FolderScores, SyntheticReport
from au_d3dface.hub.model_card import main, model_card
from au_d3dface.metrics import event_scores

HUB_CARDS = Path(__file__).resolve().parents[2] / "hub_cards"
UNITS = (4, 12, 23, 24, 28, 45)
EVALUATIONS = ("agreement", "synthetic", "style_calm", "frame_rate")


def made_up() -> dict[str, dict]:
    """Contents by name of file: a checkpoint's, and what the evaluations' own classes say of made-up measurements."""
    rng = np.random.default_rng(0)
    clips = {
        name: ClipAgreement(90 + k, 80 + k, *({u: float(rng.uniform(-1, 1)) for u in UNITS if u != 28} for _ in "ra"))
        for k, name in enumerate(("one", "two"))
    }
    truth, times = rng.uniform(0, 5.5, (400, len(UNITS))) * (rng.random((400, len(UNITS))) < 0.5), np.arange(40) / 10
    comparisons = []
    for rate in (10.0, 20.0):
        events = [event_scores(np.array([[3, 9], [20, 20 + k]]) / 10, np.array([[4, 9], [20, 30]]) / 10) for k in UNITS]
        kappas = rng.random(len(UNITS))
        comparisons.append(RateComparison(rate, 40, len(times), rng.random(), rng.random(), kappas, events))
    return {
        "config": json.loads((BUNDLED / "config.json").read_text()) | {"action_units": list(UNITS)},
        "generation_config": {"au_thresholds": [0.11, 0.22, 0.33, 0.44, 0.55, 0.66]},
        "training": {
            "command": "python -m au_d3dface.training --config made-up",
            "package_version": "9.8.7",
            "date": "2031-02-03",
            "seconds": 4260,
            "steps": 5678,
            "pools": [
                {"quality": quality, "sources": [f"{quality} source"], "seed": seed, "sequences": 300 + seed,
                 "settings": {"seconds": 7.5}}
                for quality, seed in (("fast", 31), ("rendered", 77))
            ],
            "held_out": {
                "f1_mean": 0.4321, "always_positive_f1_mean": 0.1987, "roc_area_mean": 0.8123,
                "intensity_r_mean": 0.5876, "coarse_error_mm": 1.777, "refined_error_mm": 1.333, "frames": 7654,
            },
        },
        "agreement": Agreement(clips).numbers(),
        "synthetic": synthetic(rng, truth, whole=True),
        "style_calm": synthetic(rng, truth, whole=False),
        "frame_rate": FrameRateReport("folder/made.mp4", 60.0, 240, 10.0, UNITS, comparisons, []).numbers(),
    }  # fmt: skip


def synthetic(rng: np.random.Generator, truth: np.ndarray, whole: bool) -> dict:
    """A report with everything, or with what a style's has."""

    def rows() -> AURows:
        said = np.clip(truth + rng.normal(0, 1.5, truth.shape), 0, 5)
        return AURows(truth, said >= 1, said / 5, said)

    meshes = MeshScores(
        {name: MeshMean(rng.uniform(0.5, 2, (2, 8)), 90) for name in ERRORS if whole or not name.startswith("kit")},
        ("forehead", "brows", "eyes", "nose", "cheeks", "mouth", "jaw", "all"),
        MeshMean(rng.uniform(0.1, 1, 2), 55),
        rng.uniform(-2, 2, (9, 2)),
        rng.uniform(0.9, 1.1, 9),
    )
    ways = WAYS if whole else ("clip",)
    cases = [
        {way: HardCase(4, 70, *map(int, rng.integers(1, 70, 1)), 70, *map(int, rng.integers(1, 600, 1)), 600)
         for way in ways}
        for _ in range(2)
    ]  # fmt: skip
    folder = FolderScores.of(
        UNITS, {way: rows() for way in ways}, rows() if whole else None, sequences=9, left_out=2, meshes=meshes,
        never_relaxes=cases[0] if whole else {}, never_moves=cases[1] if whole else {},
    )  # fmt: skip
    name = "people" if whole else "calm"
    return SyntheticReport({name: folder}, {name: None if whole else "watching"}, 10, 2.0, ["a note"]).numbers()


def write(folder: Path, contents: dict[str, dict]) -> None:
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def card_of(folder: Path, bundled: bool = True) -> str:
    """The card of a folder that holds the checkpoint's files and the results alike."""
    return model_card(folder, folder, bundled=bundled)


def leaves(content: dict, where: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The ways to all numbers, texts and lists of texts or numbers inside objects and lists of objects."""
    found = []
    for name, value in content.items():
        if isinstance(value, dict):
            found += leaves(value, (*where, name))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for k, part in enumerate(value):
                found += leaves(part, (*where, name, k))
        else:
            found.append((*where, name))
    return found


def inside(content: dict, where: tuple) -> dict:
    for name in where:
        content = content[name]
    return content


def test_the_card_holds_the_numbers_of_all_files(tmp_path):
    contents = made_up()
    write(tmp_path, contents)
    card = card_of(tmp_path)
    for text in ("0.432", "0.199", "0.812", "0.588", " 1.78 |", " 1.33 |", "7654 frames", "5678 steps", "71 minutes"):
        assert text in card
    assert "python -m au_d3dface.training --config made-up" in card
    assert "version 9.8.7" in card
    assert f"Core r (mean of Pearson's r over AU 4, 12, 45): **{contents['agreement']['core_r']:.3f}**" in card
    assert "| AU24 | lip pressor | 0.44 |" in card
    full = contents["synthetic"]["folders"]["people"]["action_units"]["full"]
    for name in ("BP4D", "DISFA", "all"):
        assert f"{full['means'][name]['f1']:.3f}" in card
    assert "made.mp4, 240 frames, 60 a second" in card
    assert "folder/made.mp4" not in card
    assert "calm: watching" in card
    assert "Note: a note." in card
    assert "${" not in card
    assert "None" not in card
    assert "nan" not in card


def test_a_missing_field_is_an_error_and_a_changed_number_changes_the_card(tmp_path):
    """Whatever is taken away either was not in the card at all, or is missed in one sentence."""
    contents = made_up()
    write(tmp_path, contents)
    card = card_of(tmp_path)
    missed = 0
    for name, where in [(name, where) for name, content in contents.items() for where in leaves(content)]:
        if name == "agreement" and "by_au" in where and where[-2] != "AU12":
            continue  # an AU may be absent there: it does not vary enough; one AU stands for all
        if where == ("au_thresholds",):
            continue  # of which a checkpoint may have none
        path, changed = tmp_path / f"{name}.json", copy.deepcopy(contents[name])
        value = inside(changed, where[:-1]).pop(where[-1])
        path.write_text(json.dumps(changed))
        said = None
        try:
            assert card_of(tmp_path) == card, (name, where)
        except InputError as error:
            said = str(error)
        if said is not None:
            missed += 1
            assert said.startswith(f"{path}: the field '{'.'.join(map(str, where))}' is missing")
            if isinstance(value, int | float) and not isinstance(value, bool):
                inside(changed, where[:-1])[where[-1]] = value + 100
                path.write_text(json.dumps(changed))
                assert card_of(tmp_path) != card, (name, where)
        path.write_text(json.dumps(contents[name]))
    assert missed > 400


@pytest.mark.parametrize("value", [None, "much", True])
def test_a_headline_that_is_no_number_is_an_error(tmp_path, value):
    contents = made_up()
    contents["agreement"]["core_r"] = value
    write(tmp_path, contents)
    with pytest.raises(InputError, match=r"agreement\.json: the field 'core_r' is .* needs a number"):
        card_of(tmp_path)


def test_a_score_that_is_not_defined_is_a_dash(tmp_path):
    contents = made_up()
    contents["synthetic"]["folders"]["people"]["action_units"]["full"]["by_au"]["AU12"]["roc_area"] = None
    write(tmp_path, contents)
    card = card_of(tmp_path)
    assert [line.count("–") for line in card.splitlines() if line.startswith("| AU12 |") and "(" not in line][-1] == 1


def test_targets_say_in_words_what_was_missed(tmp_path):
    contents = made_up()
    contents["agreement"] |= {"core_r": 0.61, "mean_roc_area": 0.5}
    write(tmp_path, contents)
    card = card_of(tmp_path)
    assert "| core r with OpenFace, real clips | at least 0.6 | 0.610 | reached |" in card
    assert (
        "| mean ROC area with OpenFace, real clips | at least 0.72 | 0.500 | **missed** by 0.220: lowest are " in card
    )


def test_a_checkpoint_without_thresholds_of_its_own_has_one_for_all(tmp_path):
    contents = made_up()
    write(tmp_path, contents | {"generation_config": {}})
    assert card_of(tmp_path).count(" | 0.50 |\n| AU") == len(UNITS) - 1
    write(tmp_path, contents | {"generation_config": {"threshold": 0.625}})
    assert card_of(tmp_path).count(" | 0.62 |\n| AU") == len(UNITS) - 1


def test_thresholds_of_another_checkpoint_are_an_error(tmp_path):
    contents = made_up()
    contents["generation_config"]["au_thresholds"].append(0.5)
    write(tmp_path, contents)
    with pytest.raises(InputError, match="7 thresholds for 6 action units"):
        card_of(tmp_path)


def test_the_command_line_writes_or_says_one_sentence(tmp_path, capsys):
    contents = made_up()
    write(tmp_path, contents)
    words = [str(tmp_path), "--results", str(tmp_path), "--output", str(tmp_path / "card.md")]
    assert main(words) == 0
    before = (tmp_path / "card.md").read_bytes()
    del contents["training"]["steps"]
    write(tmp_path, contents)
    capsys.readouterr()
    assert main(words) == 4
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "training.json: the field 'steps' is missing" in said[0]
    (tmp_path / "training.json").write_text("{")
    assert main(words) == 4
    assert main([str(tmp_path), "--results", str(tmp_path / "nowhere"), "--output", str(tmp_path / "card.md")]) == 4
    assert (tmp_path / "card.md").read_bytes() == before


@pytest.mark.parametrize("gone", ["agreement", "synthetic", "frame_rate", "training", "generation_config"])
def test_the_card_of_the_package_needs_every_file_and_others_say_what_they_have(tmp_path, gone):
    write(tmp_path, made_up())
    (tmp_path / f"{gone}.json").unlink()
    with pytest.raises(InputError, match=gone):
        card_of(tmp_path)
    card = card_of(tmp_path, bundled=False)
    assert "${" not in card
    assert card.count("<!--") == 1  # that it was made here
    headings = {
        "agreement": "## Real clips",
        "synthetic": "## Held-out synthetic people",
        "frame_rate": "## Frame rate",
        "training": "## Training data: synthetic",
        "generation_config": "| threshold |",
    }
    for name, heading in headings.items():
        assert (heading in card) == (name != gone)
    assert "## Targets of the project" not in card
    assert ("license: apache-2.0" in card) == (gone != "training")


def benchmark(contents: dict[str, dict]) -> None:
    """The record becomes one of a training on BP4D over FLAME."""
    counts = {"subjects": 27, "sequences": 211, "frames": 100813, "frames_without_face": 17}
    pool = {"benchmark": "bp4d", "tested": "P3", "coarse": "deca", "face_model": "flame", "trained_on": counts}
    held_out = {"f1_mean": 0.55, "always_positive_f1_mean": 0.48, "roc_area_mean": None, "frames": 46034}
    contents["training"] |= {"data": "BP4D, P3 held out", "pools": [pool | {"held_out": counts}], "held_out": held_out}
    contents["config"] |= {"face_model": "flame", "face_model_checksum": "0" * 64}


def test_the_card_of_a_network_trained_on_a_licensed_data_set(tmp_path):
    contents = made_up()
    benchmark(contents)
    for name in ("config", "generation_config", "training"):
        (tmp_path / f"{name}.json").write_text(json.dumps(contents[name]))
    card = model_card(tmp_path, repo_id="somebody/face")
    assert "## Training data: BP4D, P3 held out" in card
    assert "100813" in card
    assert "0.550" in card
    assert "synthetic people" not in card
    assert 'from_pretrained("somebody/face", flame="PATH", coarse="deca")' in card
    assert "sample.mp4" not in card.split("---\n")[2]  # the sample needs no FLAME, but this checkpoint does
    front = ModelCard(card).data.to_dict()
    assert (front["license"], front["license_name"]) == ("other", "bp4d")
    del contents["training"]["pools"][0]["trained_on"]["frames"]
    (tmp_path / "training.json").write_text(json.dumps(contents["training"]))
    with pytest.raises(InputError, match="frames' is missing"):
        model_card(tmp_path)


def with_index(folder: Path, words: str = "") -> None:
    """A README.md as `evaluate` leaves it: front matter with a result, made by huggingface_hub's own functions."""
    metadata_save(folder / "README.md", {"license": "mit", "license_link": "LICENSE", "tags": ["mine"]})
    result = metadata_eval_result(
        model_pretty_name="face", task_pretty_name="Action units", task_id="video-classification",
        metrics_pretty_name="macro F1", metrics_id="f1", metrics_value=0.4711,
        dataset_pretty_name="People | of synthesis", dataset_id="synthetic", dataset_split="test",
    )  # fmt: skip
    metadata_save(folder / "README.md", metadata_load(folder / "README.md") | result)
    with (folder / "README.md").open("a") as file:
        file.write(words)


def test_the_model_index_of_the_folder_is_kept_and_shown(tmp_path):
    write(tmp_path, made_up())
    with_index(tmp_path)
    before = metadata_load(tmp_path / "README.md")["model-index"]
    card = model_card(tmp_path)
    assert "| People / of synthesis (test) | macro F1 | 0.4711 | – |" in card
    data = ModelCard(card).data
    (result,) = data.eval_results
    assert (result.metric_value, result.dataset_type) == (0.4711, "synthetic")
    assert yaml.safe_load(card.split("---\n")[1])["model-index"] == before
    assert (data.license, data.library_name) == ("mit", "transformers")
    assert {"mine", "facs"} <= set(data.tags)


def test_a_card_that_was_made_here_is_made_again(tmp_path):
    """As `evaluate --update-card` leaves it: written first, then results with their command in its front matter."""
    write(tmp_path, made_up())
    assert main([str(tmp_path), "--output", str(tmp_path / "README.md")]) == 0
    first = (tmp_path / "README.md").read_text()
    assert model_card(tmp_path) == first
    metric = {"type": "f1", "name": "F1", "value": 0.4242}
    dataset = {"name": "BP4D", "type": "bp4d", "split": "P3", "args": {"command": "au-d3dface evaluate `bp4d` | x"}}
    index = [{"name": "face", "results": [{"task": {"type": "x"}, "dataset": dataset, "metrics": [metric]}]}]
    front = metadata_load(tmp_path / "README.md") | {"model-index": index}
    metadata_save(tmp_path / "README.md", front)
    card = model_card(tmp_path, repo_id="me/face")
    assert "| BP4D (P3) | F1 | 0.4242 | `au-d3dface evaluate 'bp4d' / x` |" in card
    assert 'from_pretrained("me/face")' in card
    assert yaml.safe_load(card.split("---\n")[1])["model-index"] == index
    assert card.count("Made by au-d3dface") == 1


def test_words_of_ones_own_stay(tmp_path):
    write(tmp_path, made_up())
    with_index(tmp_path, "\n# My network\n\nIt costs ${5}.\n")
    card = model_card(tmp_path)
    assert card.endswith("---\n\n# My network\n\nIt costs ${5}.\n")
    assert ModelCard(card).data.eval_results[0].metric_value == 0.4711
    assert ModelCard(card).data.pipeline_tag == "image-to-3d"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\na: [\n---\n", "is not YAML"),
        ("---\n- a\n---\n", "holds no names and values"),
        ("---\nmodel-index:\n- name: x\n---\n", "the model-index in the front matter of .* cannot be read"),
        ("---\nmodel-index: 3\n---\n", "the model-index in the front matter of .* cannot be read"),
    ],
)
def test_front_matter_that_is_none_is_an_error(tmp_path, text, said):
    write(tmp_path, made_up())
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(InputError, match=rf"README\.md.*{said}|{said}"):
        model_card(tmp_path)
    (tmp_path / "README.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as text"):
        model_card(tmp_path)


def test_the_front_matter_is_what_the_hub_reads(tmp_path):
    write(tmp_path, made_up())
    card = card_of(tmp_path)
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["library_name"] == "transformers"
    assert front["datasets"] == []
    assert "facial-action-units" in front["tags"]
    assert ModelCard(card).data.license == "apache-2.0"


def test_the_committed_card_is_that_of_the_bundled_checkpoint(tmp_path):
    """Fails when the checkpoint or a result has changed: then run
    python -m au_d3dface.hub.model_card --output hub_cards/model_card.md."""
    assert main(["--output", str(tmp_path / "card.md")]) == 0
    committed = (HUB_CARDS / "model_card.md").read_bytes()
    assert (tmp_path / "card.md").read_bytes() == committed
    training = json.loads((BUNDLED / "training.json").read_text())
    assert f"| mean F1 over the AUs                  | {training['held_out']['f1_mean']:.3f} |" in committed.decode()
    assert (HUB_CARDS / "pictures" / "failures.jpg").is_file()
