"""`au-d3dface push`: a checkpoint, the page, or the cards of the data sets to the Hugging Face Hub."""

import argparse
from pathlib import Path

# Nothing heavy is imported up here: the command line loads this module before it knows what is asked for.


def add_push(commands) -> None:
    """Adds the command."""
    push = commands.add_parser(
        "push",
        help="share a checkpoint, the page or the cards of the data sets on the Hugging Face Hub",
        description="Uploads to the Hugging Face Hub with the token of the usual login ('hf auth login', or HF_TOKEN).",
    )
    kinds = push.add_subparsers(title="what", required=True, metavar="WHAT")
    model = kinds.add_parser(
        "model",
        help="a checkpoint with its card",
        description="Uploads a checkpoint with the video processor, the file that lets transformers' Auto classes load "
        "it, and a card filled from its training.json and what evaluate measured. The front matter of a README.md in "
        "the folder, with the model-index of 'evaluate --update-card', is kept, and so are words of your own. A "
        "checkpoint that holds the mesh of a licensed face model is refused.",
    )
    model.add_argument("folder", nargs="?", metavar="FOLDER", help="the checkpoint's (default: the one in the package)")
    model.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="agreement.json, synthetic.json and frame_rate.json of evaluate --output, for the card (default: "
        "'results' inside the checkpoint, if there is one)",
    )
    _add_common(model, "OWNER/NAME")
    model.set_defaults(run=_model)
    space = kinds.add_parser(
        "space", help="the page as a Space", description="Uploads the page as a Space that runs au-d3dface[demo]."
    )
    _add_common(space, "OWNER/NAME")
    space.set_defaults(run=_space)
    cards = kinds.add_parser(
        "cards",
        help="the cards of the data sets, without data",
        description="Uploads the cards of the data sets, each to a dataset repository of its own: OWNER/NAME-bp4d and "
        "so on. They say how to obtain and read the data; no data is uploaded.",
    )
    cards.add_argument("names", nargs="*", metavar="CARD", help="bp4d, disfa, multiface, synthetic (default: all)")
    _add_common(cards, "OWNER/NAME")
    cards.set_defaults(run=_cards)


def _add_common(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--repo", required=True, metavar=what, help="where to; without an owner: your own")
    command.add_argument("--private", action="store_true", help="make a new repository private")
    command.add_argument("--message", metavar="TEXT", help="of the commit")
    command.add_argument(
        "--dry-run", metavar="DIR", help="write what would be uploaded into this folder, and upload nothing"
    )


def _options(options: argparse.Namespace) -> dict:
    return {"private": True if options.private else None, "commit_message": options.message}


def _model(options: argparse.Namespace) -> int:
    from .folders import checkpoint_folder, write_model_folder
    from .push import check_repo_id, dry_run, push_model

    check_repo_id(options.repo)
    if options.dry_run:
        source = checkpoint_folder(options.folder)
        with dry_run(options.dry_run) as target:
            write_model_folder(target, source, options.repo, options.results)
        return _tell_written(options.dry_run)
    return _tell(push_model(options.repo, options.folder, options.results, **_options(options)))


def _space(options: argparse.Namespace) -> int:
    from .folders import write_space_folder
    from .push import check_repo_id, dry_run, push_space

    check_repo_id(options.repo)
    if options.dry_run:
        with dry_run(options.dry_run) as target:
            write_space_folder(target, options.repo)
        return _tell_written(options.dry_run)
    return _tell(push_space(options.repo, **_options(options)))


def _cards(options: argparse.Namespace) -> int:
    from ..errors import UsageError
    from .folders import write_card_folder
    from .push import check_repo_id, dry_run, push_cards
    from .shipped import CARDS

    check_repo_id(options.repo)
    names = options.names or CARDS
    if unknown := [name for name in names if name not in CARDS]:
        raise UsageError(f"there is no card {unknown[0]!r}; choose out of {', '.join(CARDS)}")
    if options.dry_run:
        with dry_run(options.dry_run) as target:
            for name in names:
                (target / name).mkdir()
                write_card_folder(target / name, name)
        return _tell_written(options.dry_run)
    return _tell(*push_cards(options.repo, names, **_options(options)))


def _tell_written(folder: str) -> int:
    from .push import written

    for name, size in written(Path(folder).expanduser()):
        print(f"{size:>12,} bytes  {folder}/{name}")
    print("nothing was uploaded")
    return 0


def _tell(*commits) -> int:
    for commit in commits:
        print(commit.repo_url)
    return 0
