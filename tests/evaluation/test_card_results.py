"""Results in model cards: they are there, replace their own earlier ones, and leave everything else as it was."""

import subprocess
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from au_d3dface.errors import InputError, OutputError
from au_d3dface.evaluation.card_results import CardResult, check_card, code_commit, plain_command, update_card

BP4D = CardResult("bp4d", "BP4D", "P3", {"F1": ("f1", 0.51234567), "ROC area": ("roc_auc", float("nan"))})
COMMAND = "au-d3dface evaluate bp4d --data-dir BP4D"
CARD = """---
license: apache-2.0   # as its code
tags: [face,
  video]
model-index:
- name: mine
  results:
  - task: {type: video-classification}
    dataset: {name: Other, type: other, args: {command: by hand}}
    metrics:
    - {type: f1, value: 0.25, verified: false}
  - task: {type: video-classification}
    dataset: {name: BP4D, type: bp4d, split: P3}
    metrics:
    - {type: f1, value: 0.75, name: measured by someone else}
custom: {key: "ü – \\u00e9"}
---

# Title\t
Text with --- and
model-index: in it.
"""


def results_of(path: Path) -> list[dict]:
    ModelCard.load(path)  # the library reads it, but puts results of one data set and split together
    return yaml.safe_load(path.read_text().split("---")[1])["model-index"][0]["results"]


def test_everything_else_in_the_card_stays_as_it_is(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(CARD.encode())
    assert update_card(tmp_path, [BP4D], COMMAND) == path
    written = path.read_text()
    before, after = CARD.split("model-index:\n")[0], CARD[CARD.index("custom:") :]
    assert written.startswith(before)
    assert written.endswith(after)
    results = results_of(path)
    assert [(one["dataset"]["type"], one["metrics"][0]["value"]) for one in results] == [
        ("other", 0.25),
        ("bp4d", 0.75),
        ("bp4d", 0.5123),
    ]
    new = yaml.safe_load(written.split("---")[1])["model-index"][0]["results"][-1]
    assert new["dataset"] | {"args": None} == {"name": "BP4D", "type": "bp4d", "split": "P3", "args": None}
    assert new["dataset"]["args"].keys() == {"date", "commit", "command"}
    assert new["dataset"]["args"]["command"] == COMMAND
    assert [metric["name"] for metric in new["metrics"]] == ["F1"]  # NaN is no score
    original = yaml.safe_load(CARD.split("---")[1])["model-index"][0]["results"]
    assert yaml.safe_load(written.split("---")[1])["model-index"][0]["results"][:2] == original


def test_a_second_run_replaces_its_own_and_keeps_others(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(CARD)
    update_card(path, [BP4D], COMMAND)
    update_card(path, [CardResult("bp4d", "BP4D", "P2", {"F1": ("f1", 0.4)})], COMMAND)
    update_card(path, [CardResult("disfa", "DISFA", "P3", {"F1": ("f1", 0.3)})], "au-d3dface evaluate disfa")
    update_card(path, [CardResult("bp4d", "BP4D", "P3", {"F1": ("f1", 0.6)})], COMMAND + " --quiet")
    found = [
        (one["dataset"]["type"], one["dataset"].get("split"), one["metrics"][0]["value"]) for one in results_of(path)
    ]
    assert found == [
        ("other", None, 0.25),
        ("bp4d", "P3", 0.75),
        ("bp4d", "P2", 0.4),
        ("disfa", "P3", 0.3),
        ("bp4d", "P3", 0.6),
    ]
    assert path.read_text().count("model-index:") == 2  # the other one is in the text


def test_other_evaluations_of_the_same_people_stay(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("text\n")
    meshes = CardResult("bp4d", "BP4D", "P3", {"mm": ("mean_distance_mm", 1.5)}, "3D", "image-to-3d")
    update_card(path, [meshes], "au-d3dface evaluate multiface --data-dir MF")
    update_card(path, [BP4D], COMMAND)
    update_card(path, [meshes], "au-d3dface evaluate multiface")
    found = [(one["task"]["type"], one["metrics"][0]["type"]) for one in results_of(path)]
    assert found == [("video-classification", "f1"), ("image-to-3d", "mean_distance_mm")]


@pytest.mark.parametrize(
    "content", ["# A card\r\nwithout a head\r\n", "---\r\nlicense: mit\r\n---\r\ntext\r\n", "", "---\n\n---\n"]
)
def test_cards_without_results_and_with_other_ends_of_lines(content, tmp_path):
    folder = tmp_path / "my-model" / "model"
    folder.mkdir(parents=True)
    (folder / "README.md").write_bytes(content.encode())
    update_card(folder, [BP4D], COMMAND)
    written = (folder / "README.md").read_bytes().decode()
    assert written.endswith(content.rpartition("---")[2])
    assert ("license: mit\r\n" in content) == ("license: mit\r\n" in written)
    card = ModelCard.load(folder / "README.md")
    assert card.data.model_name == "my-model"
    assert card.data.eval_results[0].metric_value == 0.5123
    assert card.data.eval_results[0].dataset_split == "P3"


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("a: [", "cannot be read"),
        ("- a", "no list of names and values"),
        ("model-index: 3", "cannot be read"),
        ("model-index: [{name: x}]", "cannot be read"),
        ("model-index: [{name: x, results: [3]}]", "cannot be read"),
        ("model-index: [{name: x, results: [{task: {type: a}, dataset: 3, metrics: []}]}]", "cannot be read"),
        ("a: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_a_head_that_is_no_card_is_one_sentence_and_stays(head, words, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"---\n{head}\n---\ntext\n")
    for work in (lambda: check_card(path), lambda: update_card(path, [BP4D], COMMAND)):
        with pytest.raises(InputError, match=words) as error:
            work()
        assert "\n" not in str(error.value)
    assert path.read_text() == f"---\n{head}\n---\ntext\n"


def test_no_card_and_no_score(tmp_path):
    with pytest.raises(InputError, match=r"holds no model card \(README.md\)"):
        update_card(tmp_path, [BP4D], COMMAND)
    with pytest.raises(InputError, match="there is no model card"):
        update_card(tmp_path / "README.md", [BP4D], COMMAND)
    (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        update_card(tmp_path, [BP4D], COMMAND)
    (tmp_path / "README.md").write_text(CARD)
    with pytest.raises(OutputError, match="no score"):
        update_card(tmp_path, [CardResult("a", "A", "b", {"F1": ("f1", None)})], COMMAND)
    assert (tmp_path / "README.md").read_text() == CARD


def test_the_command_names_no_folders():
    words = ["evaluate", "bp4d", "--data-dir", "/home/me/BP4D", "--checkpoint", "mine=../runs/a", "--folds=P1,P2"]
    words += ["--prepared=C:\\Users\\me\\coarse", "--csv", "/data/a=b/openface/"]
    assert plain_command(words) == (
        "au-d3dface evaluate bp4d --data-dir BP4D --checkpoint mine=a --folds=P1,P2 --prepared=coarse --csv openface"
    )


def test_the_commit_is_the_codes_own():
    commit = code_commit()
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        assert commit.removesuffix("-modified") == done.stdout.strip()
    else:
        assert commit.startswith("au-d3dface ")
