"""The command line: au-d3dface reconstruct | assets ict-facekit; `evaluate` is in evaluation.commands, `prepare` in
preparation, `prepare check` in preparation_check, `assets convert` in conversion, `demo` in demo.command, `push` in
hub.command.

Exit statuses: 0 success, 1 an unexpected error, 2 a usage error, 3 no face found, 4 the input cannot be read, 5 the
output cannot be written, 6 a checkpoint or face model is missing or damaged, 7 something outside the package is
missing, 130 interrupted.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .command_line import SAMPLE, Interrupts, ProgressBar, add_landmarker_option, add_model_options, input_path
from .conversion import add_convert
from .demo.command import add_demo
from .errors import AUD3DFaceError, NoFaceError, UsageError
from .evaluation.commands import add_evaluate
from .hub.command import add_push
from .preparation import add_prepare
from .preparation_check import COMMAND, add_prepare_check
from .process_errors import tell

# Nothing heavy is imported up here: `au-d3dface --help` and a mistyped option answer at once.

# Read by OpenMP when torch is imported. Its threads otherwise spin while they wait, and many small operations take up
# to fifty times as long as soon as another process wants the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; a user's mistake ends in one sentence, never in a traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    words = [*arguments]
    if arguments[:2] == COMMAND.split():
        arguments[:2] = [COMMAND]
    options = _parser().parse_args(arguments)
    options.words = words  # as they were given: for commands that leave a record of themselves
    try:
        with Interrupts():
            return options.run(options)
    except AUD3DFaceError as error:
        tell(f"au-d3dface: error: {error}", error.exit_status)
        return error.exit_status
    except BrokenPipeError:  # what reads our output, such as `head`, has seen enough; the files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("au-d3dface: interrupted; nothing was left half-written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="au-d3dface",
        description="From ordinary video of a face to a moving 3D face explained by facial action units.",
        epilog=f"Exit statuses: {__doc__.split('Exit statuses: ')[1].strip()}",
    )
    parser.add_argument("--version", action="version", version=f"au-d3dface {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_reconstruct(commands)
    add_evaluate(commands)
    add_prepare(commands)
    add_prepare_check(commands)
    _add_assets(commands)
    add_demo(commands)
    add_push(commands)
    return parser


def _add_reconstruct(commands) -> None:
    command = commands.add_parser(
        "reconstruct",
        help="a video in; meshes, action units, an animated face and an overlay out",
        description="Reads a video and writes action_units.csv, sequence.npz, face.glb, overlay.mp4, timeline.png and "
        "summary.json into a folder.",
    )
    command.add_argument(
        "video",
        help=f"a video file, a folder of frames, an image, or '{SAMPLE}' for the clip that ships in the package",
    )
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the results; made if missing")
    command.add_argument(
        "--faces", choices=("largest", "all"), default="largest", help="whom to reconstruct (default: %(default)s)"
    )
    command.add_argument(
        "--formats",
        metavar="LIST",
        help="what to write, separated by commas, out of csv, npz, glb, overlay, timeline, strip, obj, texture and "
        "render; with one of the last two the person's colours are estimated, and glb and obj have them too "
        "(default: csv,npz,glb,overlay,timeline)",
    )
    command.add_argument(
        "--coarse",
        default="landmarks",
        metavar="NAME",
        help="coarse reconstructor: landmarks, or deca or emoca for a checkpoint on FLAME (default: landmarks)",
    )
    command.add_argument(
        "--face-model", metavar="NAME", help="3D face model: facemesh, ict or flame (default: the checkpoint's own)"
    )
    command.add_argument(
        "--ict-facekit",
        metavar="PATH",
        help="folder or npz of ICT-FaceKit, for --face-model ict (default: what AU_D3DFACE_ICT_FACEKIT names, else "
        "what 'au-d3dface assets ict-facekit' fetched)",
    )
    for kind, use in (("flame", "--face-model flame"), ("deca", "--coarse deca"), ("emoca", "--coarse emoca")):
        command.add_argument(
            f"--{kind}",
            metavar="PATH",
            help=f"what 'au-d3dface assets convert {kind}' wrote, for {use} (default: what AU_D3DFACE_{kind.upper()} "
            "names, else where the conversion writes when no folder is named)",
        )
    command.add_argument("--neutral", metavar="IMAGE", help="a picture of the person at rest (default: from the clip)")
    command.add_argument("--au-labels", metavar="FILE", help="csv of known AU labels, which replace predictions")
    add_landmarker_option(command)
    add_model_options(command)
    command.set_defaults(run=_reconstruct)


def _reconstruct(options: argparse.Namespace) -> int:
    from .export import NEED_APPEARANCE, check_output_directory, parse_formats
    from .video import VideoReader

    # What can be refused is refused before the slow imports.
    formats = parse_formats(options.formats)
    check_output_directory(options.output)
    video = input_path(options.video)
    VideoReader(video).close()
    with ProgressBar(options.quiet) as progress:
        progress.say("loading")
        warnings.filterwarnings("ignore")  # of dependencies; ours are sentences in the summary
        from .export import write_outputs
        from .pipeline_au_d3dface import AUD3DFacePipeline

        pipeline = AUD3DFacePipeline.from_pretrained(
            options.model,
            coarse=options.coarse,
            face_model=options.face_model,
            device=options.device,
            face_landmarker=options.face_landmarker,
            ict_facekit=options.ict_facekit,
            flame=options.flame,
            deca=options.deca,
            emoca=options.emoca,
        )
        settings = {name: value for name, value in vars(options).items() if name not in ("run", "quiet", "words")}
        config = pipeline.model.config
        try:
            result = pipeline.reconstruct(
                video,
                faces=options.faces,
                neutral=options.neutral,
                au_labels=options.au_labels,
                appearance=any(name in NEED_APPEARANCE for name in formats),
                progress=progress,
            )
        except NoFaceError as error:
            if error.timestamps is not None:  # the frames were looked at: say of each that there was nobody
                write_outputs(
                    [],
                    options.output,
                    "csv",
                    None,
                    error.timestamps,
                    config.action_units,
                    intensities=config.predict_intensity,
                )
            raise
        written = write_outputs(
            result.sequences,
            options.output,
            formats,
            {"settings": settings, "warnings": result.warnings, "seconds": result.seconds},
            result.timestamps,
            config.action_units,
            progress=progress,
            per_face=options.faces == "all",
        )
    if not options.quiet:
        _tell(result, written)
    for warning in result.warnings:
        print(f"au-d3dface: warning: {warning}", file=sys.stderr)
    return 0


def _add_assets(commands) -> None:
    assets = commands.add_parser(
        "assets",
        help="fetch public files that the package does not carry, or convert licensed ones that you have",
        description="Files of other models, which the package does not carry.",
    )
    kinds = assets.add_subparsers(title="what", required=True, metavar="WHAT")
    command = kinds.add_parser(
        "ict-facekit",
        help="fetch the face model ICT-FaceKit, about 400 MB, MIT licence",
        description="Fetches ICT-FaceKit from its public repository, checks each file against its SHA-256 and "
        "continues where an earlier run stopped. About 400 MB, MIT licence.",
    )
    command.add_argument("-o", "--output", metavar="DIR", help="folder for the files (default: the Hugging Face cache)")
    command.add_argument(
        "--base-url",
        metavar="URL",
        default=os.environ.get("AU_D3DFACE_ASSETS_URL"),
        help="address of a mirror that has the same files (default: what AU_D3DFACE_ASSETS_URL names, else GitHub)",
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar and no report")
    command.set_defaults(run=_fetch_ict_facekit)
    add_convert(kinds)
    masks = kinds.add_parser(
        "masks",
        help="draw a face model's regions of action units",
        description="Draws the region of each action unit, M of Eq. 7, on a face model: the bundled one, or one of "
        "your own files.",
    )
    masks.add_argument("--face-model", default="facemesh", metavar="NAME", help="facemesh, ict or flame")
    masks.add_argument("--path", metavar="PATH", help="its files (default: where they are found)")
    masks.add_argument("-o", "--output", default="au_masks.png", metavar="FILE", help="default: %(default)s")
    masks.set_defaults(run=_draw_masks)


def _draw_masks(options: argparse.Namespace) -> int:
    from PIL import Image

    from .export.files import atomic_path, output_errors
    from .face_models import load_face_model
    from .rendering.mask_sheet import draw_au_masks

    if Path(options.output).suffix.lower() not in (".png", ".jpg"):
        raise UsageError(f"{options.output} must end in .png or .jpg")
    picture = draw_au_masks(load_face_model(options.face_model, options.path))
    with output_errors(options.output), atomic_path(options.output) as temporary:
        Image.fromarray(picture).save(temporary, "jpeg" if str(options.output).lower().endswith("jpg") else "png")
    print(options.output)
    return 0


def _fetch_ict_facekit(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .assets import ict_facekit
    from .assets.download import fetch

    asset = ict_facekit()
    folder = Path(options.output).expanduser() if options.output else asset.cache_folder
    # disable=None is tqdm's word for: only where standard error is a terminal.
    hidden = True if options.quiet else None
    with tqdm(desc=asset.name, total=asset.size, unit="B", unit_scale=True, disable=hidden, leave=False) as bar:
        fetched = fetch(asset, folder, options.base_url, lambda done, total: bar.update(done - bar.n))
    if not options.quiet:
        print(f"{asset.name}: {len(asset.files)} files in {folder}, {len(fetched)} of them fetched now")
        print(f"licence: {asset.licence} ({folder / 'LICENSE'})")
    return 0


def _tell(result, written: list[Path]) -> None:
    frames = len(result.timestamps)
    seconds = sum(result.seconds.values())
    people = "1 face" if result.num_people == 1 else f"{result.num_people} faces"
    print(
        f"{frames} frames, {people}, {seconds:.1f} s ({frames / max(seconds, 1e-9):.0f} frames a second before export)"
    )
    for sequence in result.sequences:
        found = [f"{event.action_unit}" for event in sequence.events()]
        units = ", ".join(f"AU{number}" for number in sorted({int(number) for number in found})) or "none"
        print(f"face {sequence.face_id}: seen in {int(sequence.valid.sum())} frames; action units seen: {units}")
    for path in written:
        print(f"  {path}")


if __name__ == "__main__":
    sys.exit(main())
