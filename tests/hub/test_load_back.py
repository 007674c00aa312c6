"""What is pushed to a Hub on this computer comes back, in clean processes: the same outputs bit for bit, whether or not
the user imports the package; and where it is not installed, one sentence that says what to install."""

import json

import numpy as np
import pytest
from loopback_hub import card_errors

from au_d3dface.checkpoints import BUNDLED

COMPUTE = '''
import numpy as np, torch

def outputs(network, given):
    """Of the whole network or of its base, on the coarse meshes of the sample clip."""
    inputs = {"vertices": torch.from_numpy(given["coarse"])[None], "frame_mask": torch.from_numpy(given["valid"])[None],
              "neutral_vertices": torch.from_numpy(given["neutral"])[None]}
    with torch.no_grad():
        if hasattr(network, "generate"):
            found = network.eval().generate(**inputs)
            return {name: found[name].numpy() for name in ("vertices", "au_probabilities", "au_intensities")}
        base = getattr(network, "model", network).eval()
        labels = torch.zeros(1, len(given["valid"]), network.config.num_action_units, dtype=torch.long)
        found = base(**inputs, au_labels=labels)
        return {name: found[name].numpy() for name in ("temporal_embeddings", "spatial_embeddings")}

def kept(sequence):
    return {name: getattr(sequence, name) for name in ("vertices", "au_probabilities", "au_intensities")}
'''

PUSH = (
    COMPUTE
    + """
import sys
from au_d3dface import AUD3DFaceForReconstruction, AUD3DFacePipeline, AUD3DFaceVideoProcessor
from au_d3dface.assets import sample_video
from au_d3dface.cli import main
from au_d3dface.checkpoints import BUNDLED

folder = sys.argv[1]
assert main(["push", "model", "--repo", "face", "--message", "The first"]) == 0
assert main(["push", "space", "--repo", "my-group/page", "--private"]) == 0
assert main(["push", "cards", "--repo", "my-group/au-d3dface"]) == 0

pipe = AUD3DFacePipeline.from_pretrained(device="cpu")
pipe.push_to_hub("my-group/pipe", commit_message="All of it", tags=["of-mine"])
AUD3DFaceVideoProcessor(size={"height": 96, "width": 96}).push_to_hub("me/crops")
before = AUD3DFaceVideoProcessor(size={"height": 64, "width": 64}).push_to_hub("my-group/pipe")

[sequence] = pipe(sample_video())
rows = slice(0, 40)
np.savez(f"{folder}/given.npz", coarse=sequence.coarse_vertices[rows], neutral=sequence.neutral_vertices,
         valid=sequence.valid[rows])
given = np.load(f"{folder}/given.npz")
np.savez(f"{folder}/pipeline.npz", **kept(sequence))
np.savez(f"{folder}/network.npz", **outputs(pipe.model, given))
np.savez(f"{folder}/base.npz", **outputs(pipe.model.model, given))

other = AUD3DFaceForReconstruction.from_pretrained(BUNDLED)
with torch.no_grad():
    other.model.temporal.label_embedding.weight.mul_(1.5) if hasattr(other.model.temporal, "label_embedding") else None
    next(other.parameters()).mul_(1.25)
other.save_pretrained(f"{folder}/other", push_to_hub=True, repo_id="me/other")
np.savez(f"{folder}/other.npz", **outputs(other.eval(), given))
"""
)

LOAD = (
    COMPUTE
    + """
import sys
from transformers import pipeline
from au_d3dface import AUD3DFaceForReconstruction, AUD3DFacePipeline, VideoTo3DFacePipeline
from huggingface_hub import hf_hub_download

folder = sys.argv[1]
given = np.load(f"{folder}/given.npz")
np.savez(f"{folder}/network_back.npz", **outputs(AUD3DFaceForReconstruction.from_pretrained("me/face"), given))
np.savez(f"{folder}/other_back.npz", **outputs(AUD3DFaceForReconstruction.from_pretrained("me/other"), given))
pipe = AUD3DFacePipeline.from_pretrained("my-group/pipe", device="cpu")
video = hf_hub_download("me/face", "sample.mp4")
[sequence] = pipe(video)
assert sequence.provenance["checkpoint"] == "my-group/pipe", sequence.provenance
np.savez(f"{folder}/pipeline_back.npz", **kept(sequence))
registered = pipeline("video-to-3d-face", model="me/face", device="cpu")  # no code of the Hub is run
assert type(registered) is VideoTo3DFacePipeline
[[sequence], [again]] = registered([video, video], feedback="hard")
np.savez(f"{folder}/registered_back.npz", **kept(sequence))
registered.save_pretrained(f"{folder}/saved")
[sequence] = pipeline("video-to-3d-face", model=f"{folder}/saved", device="cpu")(video)
np.savez(f"{folder}/local_back.npz", **kept(sequence))
assert not [name for name in sys.modules if name.startswith("transformers_modules")]
"""
)

REMOTE = (
    COMPUTE
    + """
import sys
from transformers import AutoConfig, AutoModel, AutoVideoProcessor, pipeline

folder = sys.argv[1]
config = AutoConfig.from_pretrained("me/face", trust_remote_code=True)
assert config.num_vertices == 468
network = AutoModel.from_pretrained("me/face", trust_remote_code=True)
assert (type(network).__module__, type(network).__name__) == ("au_d3dface.modeling_au_d3dface", "AUD3DFaceModel")
np.savez(f"{folder}/base_back.npz", **outputs(network, np.load(f"{folder}/given.npz")))
assert AutoVideoProcessor.from_pretrained("me/face", trust_remote_code=True).size["height"] == 224
# What remote code has loaded is saved as it is, and no module of the package is copied beside it.
network.save_pretrained(f"{folder}/again")
config.save_pretrained(f"{folder}/again-config")
AutoVideoProcessor.from_pretrained("me/face", trust_remote_code=True).save_pretrained(f"{folder}/again-config")
from pathlib import Path
assert not list(Path(folder).glob("again*/*.py")), list(Path(folder).glob("again*/*"))
"""
)

REMOTE_PIPELINE = (
    COMPUTE
    + """
import sys
from transformers import pipeline
from huggingface_hub import hf_hub_download

pipe = pipeline("video-to-3d-face", model="my-group/pipe", device="cpu", trust_remote_code=True)
[sequence] = pipe(hf_hub_download("my-group/pipe", "sample.mp4"))
np.savez(f"{sys.argv[1]}/remote_back.npz", **kept(sequence))
"""
)

PROCESSORS = """
from transformers import AutoVideoProcessor
alone = AutoVideoProcessor.from_pretrained("me/crops", trust_remote_code=True)
beside = AutoVideoProcessor.from_pretrained("my-group/pipe", trust_remote_code=True)
print(type(alone).__name__, alone.size["height"], beside.size["height"])
"""

WITHOUT = """
import sys
import transformers
try:
    import au_d3dface
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package is there")
for name in ("AutoConfig", "AutoModel", "AutoVideoProcessor"):
    try:
        getattr(transformers, name).from_pretrained("me/face", trust_remote_code=True)
    except ImportError as error:
        print(error)
try:
    transformers.pipeline("video-to-3d-face", model="me/face", trust_remote_code=True)
except ImportError as error:
    print(error)
"""


ASKED = (("spaces", "my-group/page"), ("models", "me/face"))


@pytest.fixture(scope="module")
def pushed(clean, tmp_path_factory):
    """The folder of what the pushing process has computed."""
    folder = tmp_path_factory.mktemp("pushed")
    done = clean(PUSH, folder, name="pusher")
    assert done.returncode == 0, done.stderr
    return folder


def equal(folder, ours: str, theirs: str) -> None:
    """Bit for bit, NaN of frames without a face included."""
    first, second = np.load(folder / f"{ours}.npz"), np.load(folder / f"{theirs}.npz")
    assert set(first.files) == set(second.files)
    for name in first.files:
        assert first[name].dtype == second[name].dtype
        assert first[name].tobytes() == second[name].tobytes(), name
        assert np.isfinite(first[name]).any()
        assert first[name].std() > 0 if np.isfinite(first[name]).all() else np.nanstd(first[name]) > 0


@pytest.mark.slow
def test_what_was_pushed(hub, pushed):
    files = hub.files("models", "me/face")
    assert set(files) == {
        "NOTICE", "README.md", "config.json", "from_package.py", "generation_config.json", "model.safetensors",
        "pictures/failures.jpg", "sample.mp4", "training.json", "video_preprocessor_config.json",
    }  # fmt: skip
    assert hub.messages["models", "me/face"] == ["The first"]
    assert hub.messages["models", "my-group/pipe"][0] == "All of it"
    assert files["model.safetensors"] == (BUNDLED / "model.safetensors").read_bytes()
    card = files["README.md"].decode()
    assert 'from_pretrained("me/face")' in card
    assert card.replace("me/face", "OWNER/NAME") == hub.files("models", "my-group/pipe")["README.md"].decode().replace(
        "my-group/pipe", "OWNER/NAME"
    ).replace("- of-mine\n", "")
    for key, stored in hub.repositories.items():
        if "README.md" in stored:
            assert card_errors(stored["README.md"].decode(), key[0][:-1]) == [], key
    # Changed weights: neither the record nor the results of the checkpoint that they came from are true of them.
    changed = hub.files("models", "me/other")
    assert "training.json" not in changed
    assert "came without a record" in changed["README.md"].decode()
    assert "license: other" in changed["README.md"].decode()
    assert "0.7243" not in changed["README.md"].decode()
    # The Space, and cards without data.
    space = hub.files("spaces", "my-group/page")
    assert set(space) == {"README.md", "app.py", "packages.txt", "requirements.txt"}
    assert 'Client("my-group/page")' in space["README.md"].decode()
    assert hub.settings["spaces", "my-group/page"]["sdk"] == "gradio"
    private = [hub.settings[key].get("visibility", hub.settings[key].get("private")) for key in ASKED]
    assert private in (["private", None], [True, None])  # newer and older clients
    for name in ("bp4d", "disfa", "multiface", "synthetic"):
        assert set(hub.files("datasets", f"my-group/au-d3dface-{name}")) == {"README.md"}
    # A processor alone has a card; beside a model it leaves the model's.
    assert set(hub.files("models", "me/crops")) == {"README.md", "from_package.py", "video_preprocessor_config.json"}
    assert "me/crops" in hub.files("models", "me/crops")["README.md"].decode()
    assert "# au-d3dface" in hub.files("models", "my-group/pipe")["README.md"].decode()


@pytest.mark.slow
def test_with_the_package(clean, pushed):
    done = clean(LOAD, pushed, name="loader")
    assert done.returncode == 0, done.stderr
    equal(pushed, "network", "network_back")
    equal(pushed, "other", "other_back")
    assert (np.load(pushed / "other.npz")["vertices"] != np.load(pushed / "network.npz")["vertices"]).any()
    for name in ("pipeline_back", "registered_back", "local_back"):
        equal(pushed, "pipeline", name)


@pytest.mark.slow
def test_through_remote_code(clean, pushed):
    done = clean(REMOTE, pushed, name="remote")
    assert done.returncode == 0, done.stderr
    equal(pushed, "base", "base_back")
    for path in ("again/config.json", "again-config/config.json", "again-config/video_preprocessor_config.json"):
        assert "auto_map" not in json.loads((pushed / path).read_text())
    done = clean(REMOTE_PIPELINE, pushed, name="remote-pipeline")
    assert done.returncode == 0, done.stderr
    equal(pushed, "pipeline", "remote_back")


@pytest.mark.slow
def test_processors(clean, pushed):
    done = clean(PROCESSORS, name="processors")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["AUD3DFaceVideoProcessor", "96", "64"]


@pytest.mark.slow
def test_without_the_package_one_sentence(clean, pushed):
    done = clean(WITHOUT, name="without", package=False)
    assert done.returncode == 0, done.stderr
    sentence = "This model runs with the Python package au-d3dface, which is not installed here: pip install au-d3dface"
    assert done.stdout.splitlines() == [sentence] * 4
