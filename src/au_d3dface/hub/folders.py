"""What is uploaded, written into a folder: a model with card and remote-code file, a video processor, a Space, a card.

Only files that are named here are ever taken along, and a checkpoint that holds FLAME is refused.
"""

import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..assets import sample_video
from ..checkpoints import BUNDLED
from ..errors import CheckpointError, InputError, UsageError
from .front_matter import join, merge, split
from .model_card import is_bundled, model_card, results_folder
from .shipped import CARDS, SPACE_FILES, cards_folder, space_folder

REMOTE_CODE = "from_package"
"""Module of the remote-code file."""

AUTO_MAP = {
    "AutoConfig": f"{REMOTE_CODE}.AUD3DFaceConfig",
    "AutoModel": f"{REMOTE_CODE}.AUD3DFaceModel",
    "AutoVideoProcessor": f"{REMOTE_CODE}.AUD3DFaceVideoProcessor",
}

PROCESSOR_FILE = "video_preprocessor_config.json"
FREE_FACE_MODELS = ("facemesh", "ict")
"""Face models whose meshes may be passed on."""

_MESH = ("template", "faces", "au_masks")
_FLAME_VERTICES, _FLAME_TRIANGLES = 5023, 9976  # of every release
_PLACE = "OWNER/SPACE"  # in the Space's README, where its own address belongs


def write_model_folder(
    target: Path,
    source: Path,
    repo_id: str,
    results: Path | None = None,
    *,
    tags: Sequence[str] = (),
    bundled: bool | None = None,
) -> None:
    """Writes what a model's repository holds.

    Args:
        target: an empty folder.
        source: folder of the checkpoint.
        repo_id: where it will be, for the card.
        results: JSON files of `evaluate`; None for those in `results` inside the checkpoint.
        tags: more tags of the card.
        bundled: as `model_card`.

    Raises:
        CheckpointError: the folder holds no checkpoint, or one that may not be passed on.
        InputError: the card cannot be made.
    """
    config = _json(source / "config.json")
    refuse_licensed(source, config)
    card = model_card(source, results, repo_id, bundled)
    for name in weight_files(source):
        shutil.copyfile(source / name, target / name)
    for name in ("generation_config.json", "training.json", "model.safetensors.index.json"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    _write_json(target / "config.json", config | {"auto_map": AUTO_MAP})
    write_processor(target, _processor_content(source, config))
    front, words = split(card, "the card")
    (target / "README.md").write_text(join(merge(front, {"tags": list(tags)}), words), encoding="utf-8")
    shutil.copyfile(sample_video(), target / "sample.mp4")
    package = Path(__file__).parents[1]
    notices = (package / name for name in ("face_models/NOTICE", "assets/NOTICE.md"))
    (target / "NOTICE").write_text("\n".join(path.read_text(encoding="utf-8") for path in notices), encoding="utf-8")
    if is_bundled(source) if bundled is None else bundled:
        (target / "pictures").mkdir()
        shutil.copyfile(cards_folder() / "pictures" / "failures.jpg", target / "pictures" / "failures.jpg")


def write_processor(target: Path, content: dict[str, Any]) -> None:
    """Writes the video processor's file, and the remote-code file that both need."""
    _write_json(target / PROCESSOR_FILE, content | {"auto_map": {"AutoVideoProcessor": AUTO_MAP["AutoVideoProcessor"]}})
    shutil.copyfile(Path(__file__).with_name(f"{REMOTE_CODE}.py"), target / f"{REMOTE_CODE}.py")


def write_space_folder(target: Path, repo_id: str) -> None:
    """Writes the Space: the files of demo/, its own address in the example."""
    for name in SPACE_FILES:
        text = (space_folder() / name).read_text(encoding="utf-8")
        (target / name).write_text(text.replace(_PLACE, repo_id), encoding="utf-8")


def write_card_folder(target: Path, name: str) -> None:
    """Writes the card of a data set, without data.

    Raises:
        UsageError: there is no card of this name.
    """
    if name not in CARDS:
        raise UsageError(f"there is no card {name!r}; choose out of {', '.join(CARDS)}")
    shutil.copyfile(cards_folder() / f"{name}.md", target / "README.md")


def refuse_licensed(folder: Path, config: dict[str, Any]) -> None:
    """Raises CheckpointError where the weights hold the mesh of a face model that may not be passed on: any but the
    free ones' by name, and FLAME's by its numbers of vertices and triangles, whatever it is called."""
    name = config.get("face_model", "facemesh")
    for key, shape in _tensors(folder):
        mesh = key.rpartition(".")[2] in _MESH
        flame = (_FLAME_VERTICES, 3) in itertools.pairwise(shape)
        flame = flame or (mesh and bool({_FLAME_VERTICES, _FLAME_TRIANGLES} & set(shape)))
        if flame or (mesh and name not in FREE_FACE_MODELS):
            raise CheckpointError(
                f"{folder} holds the mesh of {'FLAME' if flame else name} (the tensor {key}), which may not be passed "
                "on; give config.face_model_checksum, load the face model with set_face_model and save the "
                "checkpoint again: it then names the mesh by its checksum and leaves it out"
            )


def weight_files(folder: Path) -> list[str]:
    """Names of the safetensors files of a checkpoint.

    Raises:
        CheckpointError: there are none, or the index names another file than those beside it.
    """
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.exists():
        weights = _json(index).get("weight_map")
        if not isinstance(weights, dict):
            raise CheckpointError(f"{index} is damaged: it has no weight_map; save the checkpoint again")
        names = sorted({str(name) for name in weights.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors") or not (folder / name).is_file():
            raise CheckpointError(f"the model folder {folder} holds no file {name}; save the checkpoint again")
    return names


def same_weights(saved: Path, folder: Path) -> bool:
    """Whether a folder holds the very weights that were saved: then its record and results are true of them."""
    if not (folder / "config.json").is_file():
        return False
    try:
        names = weight_files(folder)
    except CheckpointError:
        return False
    return names == weight_files(saved) and all(
        (saved / name).read_bytes() == (folder / name).read_bytes() for name in names
    )


def bring_record(saved: Path, origin: Path) -> tuple[Path | None, bool]:
    """Copies the record and the words of the folder that a model was loaded from beside the model as it was saved,
    where the weights are still the same.

    Returns:
        The folder of its results, if there is one, and whether it is the checkpoint in the package.
    """
    if not origin.is_dir() or not same_weights(saved, origin):
        return None, False
    for name in ("training.json", "README.md"):
        if (origin / name).exists():
            shutil.copyfile(origin / name, saved / name)
    results = results_folder(origin)
    return (results if results.is_dir() else None), is_bundled(origin)


def checkpoint_folder(folder: str | None) -> Path:
    """The folder of a checkpoint that loads and may be passed on; None is the one in the package.

    Raises:
        CheckpointError: as `load_checkpoint` and `refuse_licensed`; or there is no such folder here.
    """
    from ..checkpoints import load_checkpoint

    path = BUNDLED if folder is None else Path(folder).expanduser()
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a folder on this computer; give the folder of a checkpoint")
    if not (path / "config.json").exists() and (path / "model" / "config.json").exists():
        raise CheckpointError(f"{path} is the output of a training; give {path / 'model'} or {path / 'best'}")
    load_checkpoint(path, "cpu")
    refuse_licensed(path, _json(path / "config.json"))
    return path


def _tensors(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    from safetensors import SafetensorError, safe_open

    for name in weight_files(folder):
        try:
            with safe_open(folder / name, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 - it is no dict
                    yield key, tuple(file.get_slice(key).get_shape())
        except SafetensorError as error:
            raise CheckpointError(f"{folder / name} is damaged ({error}); save the checkpoint again") from error


def _processor_content(source: Path, config: dict[str, Any]) -> dict[str, Any]:
    from ..video_processing_au_d3dface import AUD3DFaceVideoProcessor

    if (source / PROCESSOR_FILE).exists():
        return _json(source / PROCESSOR_FILE)
    side = config.get("image_size", 224)
    return json.loads(AUD3DFaceVideoProcessor(size={"height": side, "width": side}).to_json_string())


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); save the checkpoint again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object; save the checkpoint again")
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
