"""The command line: au-d3dface assets convert flame FILE...; the table of what can be converted.

A licensed model comes as files that run code when they are loaded carelessly. Converting reads them with care, once.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

# Nothing heavy is imported up here: the command line loads this module before it knows what is asked for.

Convert = Callable[[Sequence[Path], Path, str | None], list[Path]]
"""Called as convert(files or folders, folder to write into, release or None); returns the files written."""


@dataclass(frozen=True)
class Converter:
    """Where the function that converts a kind of model is, and what it takes, in words for `--help`."""

    module: str
    function: str
    help: str

    def load(self) -> Convert:
        return getattr(import_module(self.module, __package__), self.function)


CONVERTERS = {
    "flame": Converter(
        ".face_models.flame_conversion",
        "convert_flame",
        "FLAME: generic_model.pkl or flame2023.pkl; with it, as far as you have them, landmark_embedding.npy, "
        "FLAME_masks.pkl, mediapipe_landmark_embedding.npz, head_template.obj (texture coordinates), FLAME_texture.npz "
        "and FLAME_albedo_from_BFM.npz",
    ),
    "deca": Converter(".coarse.deca_files", "convert_deca", "DECA: deca_model.tar"),
    "emoca": Converter(".coarse.deca_files", "convert_emoca", "EMOCA: its .ckpt file, which holds DECA's encoder too"),
}
"""By the name that `assets convert` knows them by."""


def add_convert(commands) -> None:
    """Adds `convert` to the sub-commands of `assets`."""
    command = commands.add_parser(
        "convert",
        help="turn licensed files that you have (FLAME, ...) into safetensors, once",
        description="Reads the files that you have from a model's authors, without running what is in them, and writes "
        "safetensors, which everything else reads. Nothing is fetched. "
        + "; ".join(f"{converter.help}" for converter in CONVERTERS.values())
        + ".",
    )
    command.add_argument("kind", choices=tuple(CONVERTERS), help="whose files they are")
    command.add_argument("paths", nargs="+", metavar="FILE", type=Path, help="files, or folders that have them")
    command.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        help="folder for the converted files (default: one in the Hugging Face cache, where they are found again)",
    )
    command.add_argument(
        "--version",
        dest="release",
        metavar="NAME",
        help="the release, where a file's name does not tell it: 2017, 2019, 2020, 2023, 2023-no-jaw or 2023-open "
        "for flame",
    )
    command.add_argument("--quiet", action="store_true", help="no list of what was written")
    command.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> int:
    from .assets.converted import default_folder, environment

    folder = options.output.expanduser() if options.output else default_folder(options.kind)
    paths = [path.expanduser() for path in options.paths]
    written = CONVERTERS[options.kind].load()(paths, folder, options.release)
    if not options.quiet:
        for path in written:
            print(f"  {path}")
        if options.output:
            print(f"give this folder with --{options.kind}, or in {environment(options.kind)}")
    return 0
