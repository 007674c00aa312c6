"""`au-d3dface demo`: the page on your own computer."""

import argparse
import time
from importlib import import_module

from ..errors import MissingDependencyError, UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this computer reaches."""


def add_demo(commands) -> None:
    """Adds the command."""
    command = commands.add_parser(
        "demo",
        help="a page in the browser: upload or record a video, see the moving face and its action units",
        description="Serves a page on this computer until it is interrupted. Videos and results are deleted at the "
        "end. Needs gradio: pip install 'au-d3dface[demo]'.",
    )
    command.add_argument(
        "--host",
        default=LOOPBACK[0],
        help="where to listen; 0.0.0.0 lets other computers in, whose people cannot choose a checkpoint "
        "(default: %(default)s, this computer only)",
    )
    command.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    command.add_argument("--model", metavar="NAME", help="a folder or Hub id (default: the bundled checkpoint)")
    command.add_argument("--device", default="auto", help="cpu, cuda, ... (default: cuda where there is one, else cpu)")
    command.add_argument(
        "--max-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="of video, with 10 MB a second (default: %(default)s)",
    )
    command.add_argument(
        "--mcp",
        action="store_true",
        help="let language models call it too (Model Context Protocol); needs pip install 'au-d3dface[mcp]'",
    )
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    if options.port is not None and not 0 < options.port < 65536:
        raise UsageError(f"--port must be between 1 and 65535, not {options.port}")
    if not 0 < options.max_seconds < float("inf"):
        raise UsageError(f"--max-seconds must be above 0, not {options.max_seconds}")
    _need("gradio", "the page", "demo")
    if options.mcp:
        _need("mcp", "--mcp", "mcp")
    from .limits import Limits
    from .server import serving

    with serving(
        options.host,
        options.port,
        options.model,
        options.device,
        Limits(max_seconds=options.max_seconds, max_megabytes=max(100, round(10 * options.max_seconds))),
        local=options.host in LOOPBACK,
        mcp=options.mcp,
    ) as address:
        print(f"The page is at {address}  (Ctrl-C ends it)", flush=True)
        if options.mcp:
            print(f"Its tool for language models is at {address}gradio_api/mcp/", flush=True)
        while True:  # an interrupt ends it
            time.sleep(1)


def _need(module: str, what: str, extra: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} needs {module}, which is not installed ({error}): pip install 'au-d3dface[{extra}]'"
        ) from error
