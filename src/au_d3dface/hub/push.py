"""Uploads to the Hugging Face Hub, with the token of the usual login, and what can go wrong as one sentence each."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OutputError, UsageError
from .folders import (
    bring_record,
    checkpoint_folder,
    write_card_folder,
    write_model_folder,
    write_processor,
    write_space_folder,
)
from .shipped import CARDS

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo
    from transformers import PreTrainedModel
    from transformers.video_processing_utils import BaseVideoProcessor

Write = Callable[[Path, str], None]
"""Writes what a repository will hold into an empty folder, given its full id."""

PROCESSOR_CARD = """---
license: apache-2.0
library_name: transformers
tags:
  - au_d3dface
---

# Video processor of au-d3dface

Turns face crops into `pixel_values_videos`. `pip install au-d3dface`, then
`AutoVideoProcessor.from_pretrained("REPO", trust_remote_code=True)`.
"""


def push_model(repo_id: str, folder: str | None = None, results: Path | None = None, **upload_options) -> "CommitInfo":
    """Pushes a checkpoint with its card, the video processor and the remote-code file.

    Args:
        repo_id: "owner/name", or a name of your own.
        folder: the checkpoint's; None for the one in the package.
        results: folder of JSON files of `evaluate` for the card; None for `results` inside the checkpoint.
        upload_options: as `upload`.

    Raises:
        CheckpointError: no checkpoint, or one that holds a licensed mesh.
        InputError: the card cannot be made.
        OutputError: as `upload`.
    """
    source = checkpoint_folder(folder)

    def write(target: Path, full_id: str) -> None:
        write_model_folder(target, source, full_id, results)

    return upload(write, repo_id, "model", **upload_options)


def push_network(
    network: "PreTrainedModel", repo_id: str, *, max_shard_size: str | int = "50GB", tags: Sequence[str] = (), **options
) -> "CommitInfo":
    """`push_model` of a model in memory. The record of its training, its results and the words of its card come along
    from the folder that it was loaded from, where the weights are still those. Options and errors as of `upload`."""
    with tempfile.TemporaryDirectory() as place:
        saved = Path(place)
        network.save_pretrained(saved, max_shard_size=max_shard_size)
        results, bundled = bring_record(saved, Path(network.name_or_path or "."))

        def write(target: Path, full_id: str) -> None:
            write_model_folder(target, saved, full_id, results, tags=tags, bundled=bundled)

        return upload(write, repo_id, "model", **options)


def push_processor(processor: "BaseVideoProcessor", repo_id: str, **options) -> "CommitInfo":
    """Pushes the video processor, into a model's repository too: a card that is there stays. Options and errors as of
    `upload`."""
    from huggingface_hub import HfApi

    def write(target: Path, full_id: str) -> None:
        write_processor(target, processor.to_dict())
        if not HfApi(token=options.get("token")).file_exists(full_id, "README.md"):
            (target / "README.md").write_text(PROCESSOR_CARD.replace("REPO", full_id), encoding="utf-8")

    return upload(write, repo_id, "model", **options)


def push_space(repo_id: str, **options) -> "CommitInfo":
    """Pushes the page as a Space. Options and errors as of `upload`."""
    return upload(write_space_folder, repo_id, "space", **options)


def push_cards(repo_id: str, names: Sequence[str] = CARDS, **options) -> "list[CommitInfo]":
    """Pushes cards of data sets, each into a dataset repository of its own, "owner/name-bp4d" and so on; no data.
    Options and errors as of `upload`; UsageError for a card that does not exist."""
    return [
        upload(lambda target, _, name=name: write_card_folder(target, name), f"{repo_id}-{name}", "dataset", **options)
        for name in names
    ]


def upload(
    write: Write,
    repo_id: str,
    repo_type: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> "CommitInfo":
    """Makes the repository where it is missing, and uploads what `write` writes, as one commit.

    Args:
        private: whether a new repository is private; None for what its owner has set.
        token: None for the one of the login (`hf auth login`, HF_TOKEN).
        revision: branch, made where it is missing.
        create_pr: whether to open a pull request instead.

    Raises:
        UsageError: `repo_id` cannot be the name of a repository.
        OutputError: nobody is logged in, the Hub cannot be reached, it refuses, or the files cannot be written here.
    """
    from huggingface_hub import HfApi, get_token

    check_repo_id(repo_id)
    with _sentences(repo_id):
        known = token if isinstance(token, str) else get_token()
        if known is None:
            raise OutputError(
                "you are not logged in to the Hugging Face Hub; run 'hf auth login', or put a token that may write "
                "into HF_TOKEN"
            )
        api = HfApi(token=known)
        user = api.whoami()["name"]
        full_id = repo_id if "/" in repo_id else f"{user}/{repo_id}"
        with tempfile.TemporaryDirectory() as place, _sentences(full_id, user):
            sdk = {"space_sdk": "gradio"} if repo_type == "space" else {}
            # Written before anything is made on the Hub: what cannot be written leaves no empty repository behind.
            write(Path(place), full_id)
            api.create_repo(full_id, repo_type=repo_type, private=private, exist_ok=True, **sdk)
            if revision is not None and not revision.startswith("refs/pr"):
                api.create_branch(full_id, branch=revision, repo_type=repo_type, exist_ok=True)
            return api.upload_folder(
                repo_id=full_id,
                folder_path=place,
                repo_type=repo_type,
                commit_message=commit_message or f"Upload {repo_type} with au-d3dface",
                commit_description=commit_description,
                revision=revision,
                create_pr=create_pr,
            )


def check_repo_id(repo_id: str) -> None:
    """Raises UsageError where this cannot be the name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"{repo_id!r} cannot be the name of a repository; give OWNER/NAME") from error


@contextmanager
def _sentences(repo_id: str, user: str | None = None) -> Iterator[None]:
    """What the Hub, or the way to it, refuses, as an OutputError."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    where = constants.ENDPOINT
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise OutputError("HF_HUB_OFFLINE is set, so nothing can be pushed; unset it") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            reason = "does not accept your token; run 'hf auth login' again"
        elif status in (403, 404):
            whom = f"you ({user})" if user else "your token"
            reason = f"does not let {whom} write to {repo_id}; give a repository of your own, or a token that may write"
        else:
            said = " ".join((error.server_message or str(error)).split())[:300]
            reason = f"refused {repo_id} with status {status}: {said}"
        raise OutputError(f"{where} {reason}") from error
    except HTTPError as error:  # of whichever client library huggingface_hub uses: there was no answer
        raise OutputError(f"{where} cannot be reached ({error}); look at your network, then try again") from error
    except RuntimeError as error:  # huggingface_hub's own, of a large file
        if not str(error).startswith("Error while uploading"):
            raise
        why = " ".join(str(error.__cause__).split())[:300]
        raise OutputError(f"{where} did not take all files of {repo_id} ({error} {why}); try again") from error
    except ValueError as error:  # huggingface_hub's own, of a card that the Hub's check does not like
        if not str(error).startswith("Invalid metadata in README.md"):
            raise
        raise OutputError(f"{where} does not accept the card: {' '.join(str(error).split())[:300]}") from error


@contextmanager
def dry_run(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a folder to write into, which becomes `target` when the block ends well.

    Raises:
        OutputError: there is something already, or it cannot be written.
    """
    import shutil

    from ..export.files import TEMPORARY_PREFIX, output_errors

    path = Path(target).expanduser()
    with output_errors(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(f"{path} is there already, and not an empty folder; give another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def written(folder: Path) -> list[tuple[str, int]]:
    """Names and bytes of all files in a folder."""
    files: list[Any] = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path.stat().st_size) for path in files]
