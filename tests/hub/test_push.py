"""Pushing: what is refused, and every sentence that can be met; the folders that a dry run writes."""

import json
import socket
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import DatasetCard, ModelCard, constants
from loopback_hub import TOKEN, card_errors, loopback_hub
from safetensors.torch import load_file, save_file

from au_d3dface import AUD3DFaceConfig, AUD3DFaceForReconstruction
from au_d3dface.checkpoints import BUNDLED, load_checkpoint
from au_d3dface.cli import main
from au_d3dface.errors import CheckpointError, OutputError, UsageError
from au_d3dface.hub import push, shipped
from au_d3dface.modeling_au_d3dface import face_model_checksum

SMALL = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_temporal_layers": 1,
         "num_spatial_layers": 1, "action_units": (4, 12)}  # fmt: skip


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A Hub that this process talks to, logged in."""
    with loopback_hub() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.endpoint)
        yield hub


def network(**fields) -> AUD3DFaceForReconstruction:
    """A network with a face model of as many vertices."""
    torch.manual_seed(0)
    config = AUD3DFaceConfig(**SMALL | fields)
    made = AUD3DFaceForReconstruction(config)
    template, masks = mesh(config.num_vertices, config.num_faces)[0], torch.ones(2, config.num_vertices)
    made.set_face_model(template, mesh(config.num_vertices, config.num_faces)[1], masks)
    return made.eval()


def mesh(vertices: int, faces: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    corners = torch.arange(3 * faces).reshape(faces, 3) % vertices
    return torch.rand(vertices, 3, generator=rng), corners


def said(capsys) -> str:
    """The one sentence; what tests save themselves draws bars above it."""
    *bars, line = capsys.readouterr().err.splitlines()
    assert line.startswith("au-d3dface: error: ")
    assert all(bar.startswith("Writing model shards") or not bar for bar in bars), bars
    return line


def test_not_logged_in(here, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", "space", "--repo", "me/page"]) == 5
    assert "you are not logged in to the Hugging Face Hub; run 'hf auth login'" in said(capsys)
    assert not here.requests


def test_a_token_that_is_not_known(here, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert main(["push", "space", "--repo", "me/page"]) == 5
    assert "does not accept your token" in said(capsys)


def test_no_network(here, monkeypatch, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    assert main(["push", "space", "--repo", "me/page"]) == 5
    assert f"{nobody} cannot be reached" in said(capsys)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["push", "space", "--repo", "me/page"]) == 5
    assert "HF_HUB_OFFLINE is set" in said(capsys)


@pytest.mark.parametrize("repo", ["somebody-else/new", "somebody-else/face"])
def test_a_repository_of_somebody_else(here, capsys, repo):
    """One that is not there, and one that is."""
    assert main(["push", "model", "--repo", repo]) == 5
    assert f"does not let you (me) write to {repo}" in said(capsys).replace(here.endpoint, "")
    assert here.repositories == {("models", "somebody-else/face"): {}}


@pytest.mark.parametrize("repo", ["a/b/c", "a b", "-", "me/x--y", ""])
def test_a_name_that_no_repository_can_have(here, capsys, tmp_path, repo):
    for options in ([], ["--dry-run", str(tmp_path / "out")]):
        assert main(["push", "space", f"--repo={repo}", *options]) == 2
        assert "cannot be the name of a repository" in said(capsys)
    assert not here.requests
    assert not (tmp_path / "out").exists()


def test_a_card_that_the_hub_refuses_and_a_server_that_fails(here, tmp_path, monkeypatch):
    def write(target: Path, _: str) -> None:
        (target / "README.md").write_text("---\nlicense: mine\n---\n\n# Words\n")

    with pytest.raises(OutputError, match=r"does not accept the card: .* license: 'mine' is not of the list"):
        push.upload(write, "me/refused", "model")
    monkeypatch.setattr(here, "commit_of", None)
    with pytest.raises(OutputError):
        push.push_space("me/page")


def test_a_hub_that_takes_no_large_file(here):
    here.full = True
    with pytest.raises(OutputError, match=r"did not take all files of me/face \(Error while uploading '.*; try again"):
        push.push_model("me/face")
    assert not here.files("models", "me/face")


def test_a_branch_a_pull_request_and_an_own_token(here, monkeypatch):
    push.push_cards("cards", ["bp4d"], revision="draft", commit_description="More of it")
    assert "POST /api/datasets/me/cards-bp4d/branch/draft" in here.requests
    here.repositories["datasets", "somebody-else/cards-bp4d"] = {}
    [commit] = push.push_cards("somebody-else/cards", ["bp4d"], create_pr=True)
    assert commit.pr_url == f"{here.endpoint}/datasets/somebody-else/cards-bp4d/discussions/1"
    assert not here.files("datasets", "somebody-else/cards-bp4d")
    monkeypatch.delenv("HF_TOKEN")
    push.push_cards("me/cards", ["disfa"], token=TOKEN)
    assert set(here.files("datasets", "me/cards-disfa")) == {"README.md"}
    with pytest.raises(UsageError, match="there is no card 'celeba'; choose out of bp4d, disfa, multiface, synthetic"):
        push.push_cards("me/cards", ["celeba"], token=TOKEN)


@pytest.mark.parametrize(
    ("make", "status", "sentence"),
    [
        (lambda folder: None, 6, "is not a folder on this computer"),
        (lambda folder: folder.mkdir(), 6, "holds no config.json, so it is not a checkpoint"),
        (lambda folder: other_type(folder), 6, "holds a model of type 'bert', not 'au_d3dface'"),
        (lambda folder: output_of_a_training(folder), 6, "is the output of a training; give"),
        (lambda folder: cut(folder), 6, "is damaged"),
        (lambda folder: bad_index(folder), 6, "holds no file ../secret.safetensors"),
    ],
)
def test_not_a_checkpoint(here, capsys, tmp_path, make, status, sentence):
    folder = tmp_path / "model"
    make(folder)
    assert main(["push", "model", str(folder), "--repo", "me/x", "--dry-run", str(tmp_path / "out")]) == status
    assert sentence in said(capsys)
    assert main(["push", "model", str(folder), "--repo", "me/x"]) == status
    assert not (tmp_path / "out").exists()
    assert not here.requests


def other_type(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')


def output_of_a_training(folder: Path) -> None:
    network().save_pretrained(folder / "model")


def cut(folder: Path) -> None:
    network().save_pretrained(folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def bad_index(folder: Path) -> None:
    network().save_pretrained(folder)
    (folder.parent / "secret.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    index = {
        "metadata": {},
        "weight_map": dict.fromkeys(load_file(folder / "model.safetensors"), "../secret.safetensors"),
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_licensed_mesh_is_refused_and_its_checksum_is_not(here, tmp_path, capsys, monkeypatch):
    template, faces = mesh(5023, 9976)
    named = {"num_vertices": 5023, "num_faces": 9976}
    network(**named, face_model="flame").save_pretrained(tmp_path / "flame")
    network(**named, face_model="facemesh").save_pretrained(tmp_path / "disguised")
    network(num_vertices=40, num_faces=20, face_model="bought").save_pretrained(tmp_path / "other")
    for name, mesh_of in (("flame", "FLAME"), ("disguised", "FLAME"), ("other", "bought")):
        for options in ([], ["--dry-run", str(tmp_path / "out")]):
            assert main(["push", "model", str(tmp_path / name), "--repo", "me/x", *options]) == 6
            assert f"holds the mesh of {mesh_of} (the tensor " in said(capsys)
        with pytest.raises(CheckpointError, match="which may not be passed on"):
            load_checkpoint(tmp_path / name).push_to_hub("me/x")
    assert set(here.repositories) == {("models", "somebody-else/face")}
    assert not (tmp_path / "out").exists()

    checksum = face_model_checksum(template, faces)
    allowed = network(**named, face_model="flame", face_model_checksum=checksum)
    allowed.save_pretrained(tmp_path / "allowed")
    assert main(["push", "model", str(tmp_path / "allowed"), "--repo", "me/allowed"]) == 0
    pushed = here.files("models", "me/allowed")
    assert template.numpy().tobytes()[:64] not in b"".join(pushed.values())
    assert template.numpy().tobytes()[:64] in b"".join(
        (tmp_path / "flame" / name).read_bytes() for name in ("model.safetensors",)
    )
    assert checksum in pushed["config.json"].decode()
    assert 'flame="PATH"' in pushed["README.md"].decode()
    # A mesh that somebody has put among the weights, under another name.
    weights = load_file(tmp_path / "allowed" / "model.safetensors")
    save_file(weights | {"extra": template[None]}, tmp_path / "allowed" / "model.safetensors")
    assert main(["push", "model", str(tmp_path / "allowed"), "--repo", "me/allowed"]) == 6


def test_only_the_files_of_a_checkpoint_are_taken_along(tmp_path, capsys):
    folder, out = tmp_path / "model", tmp_path / "deep" / "out"
    made = network()
    made.save_pretrained(folder, max_shard_size="20KB")
    for name in ("flame.safetensors", "optimizer.pt", "model-flame.safetensors", "face.jpg"):
        (folder / name).write_bytes(b"mine")
    (folder / "README.md").write_text("---\ntags: [mine]\n---\n")
    assert main(["push", "model", str(folder), "--repo", "me/x", "--dry-run", str(out)]) == 0
    shards = sorted(path.name for path in folder.glob("model-0*.safetensors"))
    assert len(shards) > 1
    assert {path.name for path in out.iterdir()} == {
        "NOTICE", "README.md", "config.json", "from_package.py", "generation_config.json", "sample.mp4",
        "model.safetensors.index.json", "video_preprocessor_config.json", *shards,
    }  # fmt: skip
    told = capsys.readouterr().out
    assert "nothing was uploaded" in told
    assert f"{out}/config.json" in told
    back = load_checkpoint(out)
    assert all(torch.equal(a, b) for a, b in zip(back.state_dict().values(), made.state_dict().values(), strict=True))
    assert "mine" in ModelCard.load(out / "README.md").data.tags
    # A folder that holds something is left alone.
    assert main(["push", "model", str(folder), "--repo", "me/x", "--dry-run", str(out)]) == 5
    assert "is there already, and not an empty folder" in said(capsys)
    assert main(["push", "model", str(folder), "--repo", "me/x", "--dry-run", str(folder / "config.json" / "x")]) == 5
    assert "cannot write" in said(capsys)
    assert not list(tmp_path.glob("**/.au-d3dface-*"))


def test_results_beside_a_checkpoint_are_on_its_card(tmp_path):
    """Those of another one, here: what matters is that they are found, and where they are named."""
    folder, out = tmp_path / "model", tmp_path / "out"
    load_checkpoint().save_pretrained(folder)
    (folder / "results").mkdir()
    text = (shipped.cards_folder() / "results" / "agreement.json").read_text()
    (folder / "results" / "agreement.json").write_text(text.replace("0.7243", "0.1357"))
    assert main(["push", "model", str(folder), "--repo", "me/x", "--dry-run", str(out)]) == 0
    assert "**0.136**" in (out / "README.md").read_text()
    words = ["--results", str(shipped.cards_folder() / "results"), "--dry-run", str(tmp_path / "named")]
    assert main(["push", "model", str(folder), "--repo", "me/x", *words]) == 0
    assert "**0.724**" in (tmp_path / "named" / "README.md").read_text()


def test_the_record_comes_along_with_the_weights_that_it_is_of(here, tmp_path):
    made = load_checkpoint()
    made.push_to_hub("me/same")
    assert here.files("models", "me/same")["training.json"] == (BUNDLED / "training.json").read_bytes()
    with torch.no_grad():
        made.model.template.mul_(1.01)
    made.push_to_hub("me/changed")
    assert "training.json" not in here.files("models", "me/changed")
    base = made.model
    base.push_to_hub("me/base")
    assert json.loads(here.files("models", "me/base")["config.json"])["architectures"] == ["AUD3DFaceModel"]


@pytest.mark.parametrize("name", shipped.CARDS)
def test_cards_of_data_sets(name):
    content = (shipped.cards_folder() / f"{name}.md").read_text()
    assert card_errors(content, "dataset") == []
    assert DatasetCard(content).data.pretty_name
    assert "No data is here" in content or "holds no picture and no mesh" in content


def test_the_checks_of_cards_find_what_is_wrong():
    good = (shipped.cards_folder() / "bp4d.md").read_text()
    assert "license" in card_errors(good.replace("license: other", "license: bsd"), "dataset")[0]
    assert "license_name" in card_errors(good.replace("license_name: bp4d\n", ""), "dataset")[0]
    assert "tags" in card_errors(good.replace("tags:", "tags: 3\nnone:"), "dataset")[0]
    assert card_errors("# Words", "model") == ["there is no front matter"]
    space = (shipped.space_folder() / "README.md").read_text()
    assert card_errors(space, "space") == []
    assert "colour" in card_errors(space.replace("colorTo: yellow", "colorTo: mauve"), "space")[0]


def test_the_wheel_carries_what_is_pushed():
    """pyproject.toml names the files one by one."""
    import tomllib

    root = Path(__file__).resolve().parents[2]
    included = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    targets = included["force-include"]
    cards = {f"hub_cards/{name}.md" for name in (*shipped.CARDS, "model_card_template")}
    cards |= {"hub_cards/results", "hub_cards/pictures/failures.jpg"}
    assert {
        name: f"au_d3dface/hub/cards/{name.removeprefix('hub_cards/')}" for name in cards
    }.items() <= targets.items()
    space = {f"demo/{name}": f"au_d3dface/hub/space/{name}" for name in shipped.SPACE_FILES}
    assert space.items() <= targets.items()
    assert len(targets) == len(cards) + len(space)
    assert set(shipped.SPACE_FILES) == {path.name for path in (root / "demo").iterdir() if path.name != "__pycache__"}


def test_an_installed_package_reads_its_own_copies(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "au_d3dface" / "hub"
    (package / "cards").mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "shipped.py"))
    assert shipped.cards_folder() == package / "cards"
    with pytest.raises(Exception, match=r"lacks .*space; install the package again"):
        shipped.space_folder()
