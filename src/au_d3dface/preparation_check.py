"""The command line: au-d3dface prepare check NAME DIR; is a copy of a benchmark complete, and what is it like."""

import argparse
import sys
from collections.abc import Sequence

from .errors import InputError

COMMAND = "prepare check"
"""One name of two words: `prepare` takes videos, so that it cannot have commands of its own."""


def add_prepare_check(commands) -> None:
    """Adds `prepare check` to the sub-commands of a parser."""
    command = commands.add_parser(
        COMMAND,
        help="say what a copy of a benchmark holds and lacks",
        description="Looks through a copy of BP4D, DISFA or Multiface, reads every label file, and says which layout "
        "it has, how many frames are labelled in each part beside the published numbers (of Multiface: which subjects, "
        "expressions, cameras and meshes there are), and what is missing or damaged. The exit status is 4 where it "
        "cannot be used as it is. (A video named 'check' is prepared as ./check.)",
    )
    command.add_argument("benchmark", choices=("bp4d", "disfa", "multiface"), help="which benchmark")
    command.add_argument("folder", metavar="DIR", help="the folder of the copy")
    command.add_argument("--camera", choices=("left", "right"), default="left", help="of DISFA (default: %(default)s)")
    command.add_argument(
        "--first-picture",
        type=int,
        choices=(0, 1),
        help="number of the first picture of a dump of DISFA (default: seen)",
    )
    command.add_argument(
        "--missing",
        choices=("error", "skip"),
        default="error",
        help="whether a copy that lacks sequences is unusable, or is used without them (default: %(default)s)",
    )
    command.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    if options.benchmark == "multiface":
        return _check_multiface(options)
    from .data.benchmark_check import check_benchmark

    check = check_benchmark(options.benchmark, options.folder, options.camera, options.first_picture, options.missing)
    print(f"{options.benchmark} in {options.folder}:")
    for sentence in check.found:
        print(f"  {sentence}")
    for sentence in check.lacking:
        print(f"  lacking: {sentence}")
    return _verdict(options.folder, check.problems)


def _check_multiface(options: argparse.Namespace) -> int:
    from .data.multiface import check_multiface

    report = check_multiface(options.folder)
    for sentence in report.found():
        print(sentence)
    return _verdict(options.folder, report.problems)


def _verdict(folder: str, problems: Sequence[str]) -> int:
    """Prints whether a copy can be used; InputError where it cannot."""
    if not problems:
        print("it can be used")
        return 0
    for sentence in problems:
        print(f"au-d3dface: problem: {sentence}", file=sys.stderr)
    things = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise InputError(f"{folder} cannot be used as it is: {things} (see above)")
