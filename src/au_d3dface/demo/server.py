"""Serving the page: the Space's demo/app.py and `au-d3dface demo` both call `serving`."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from ..assets import sample_video
from ..errors import AUD3DFaceError, UsageError
from ..video import VideoReader, VideoWriter
from .app import build_app
from .jobs import Cancelled, Job
from .limits import Limits
from .pipelines import Pipelines
from .visits import Visits
from .zero_gpu import zero_gpu

UPLOADS = "GRADIO_TEMP_DIR"
"""Environment variable with the folder of uploads, which gradio reads as a page is built."""

STYLE = Path(__file__).with_name("page.css")


@contextmanager
def serving(
    host: str = "127.0.0.1",
    port: int | None = None,
    model: str | None = None,
    device: str = "auto",
    limits: Limits | None = None,
    local: bool = True,
    mcp: bool = False,
) -> Iterator[str]:
    """The page while the block runs, at the address that is given; every file is deleted at the end.

    Args:
        host, port: where to listen; without a port, the first free one from 7860 on.
        model, device: as `Pipelines`.
        limits: the default ones where not given.
        local: as `build_app`.
        mcp: whether language models may call it too, with the Model Context Protocol at /gradio_api/mcp/; where the
            page is local they name files by their paths.

    Raises:
        UsageError: the port is taken, or the host is not this machine's.
        AUD3DFaceError: the checkpoint or device cannot be had.
    """
    limits = limits or Limits()
    lend = zero_gpu()
    pipelines = Pipelines(model, device if lend is None else "cpu")  # the server of such a Space has no GPU itself
    pipelines(None, None)  # a checkpoint that cannot be loaded is told now
    visits = Visits(limits.keep_seconds)
    page = None
    uploads = os.environ.get(UPLOADS)
    os.environ[UPLOADS] = str(visits.uploads)
    folder = visits.new_folder("warm-up")
    warm_up = threading.Thread(target=_warm_up, args=(pipelines, visits, limits, folder), name="warm-up", daemon=True)
    warm_up.start()
    try:
        page = build_app(visits, limits, pipelines, local, lend, by_path=mcp and local)
        try:
            # Its own refusal has no words of ours; the page refuses before, and this is for programs.
            _, address, _ = page.queue(max_size=2 * limits.max_waiting + 8, default_concurrency_limit=1).launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                run_history=False,
                mcp_server=mcp,
                footer_links=["api", "gradio"],
                max_file_size=f"{limits.max_megabytes}mb",
                allowed_paths=[str(visits.root)],
                theme=_theme(),
                # gradio's own `css` reaches only what is inside its columns.
                head=f"<style>{STYLE.read_text()}</style>",
            )
        except OSError as error:
            raise UsageError(f"the page cannot be served at {host}:{port or 7860}: {error}") from error
        yield address
    finally:
        if page is not None:
            page.close(verbose=False)
        visits.close()
        os.environ.pop(UPLOADS)
        if uploads is not None:
            os.environ[UPLOADS] = uploads


def _warm_up(pipelines: Pipelines, visits: Visits, limits: Limits, folder: Path) -> None:
    """A short clip through everything, so that the first visitor does not wait for imports and first calls."""
    clip = folder / "warm-up.mp4"
    try:
        with VideoReader(sample_video()) as reader, VideoWriter(clip, 30.0, reader.height, reader.width) as writer:
            for frame in reader:
                if frame.index == 6:
                    break
                writer.write(frame.image)
        job = Job(clip, folder, lambda: pipelines(None, None), limits)
        visits.begin("warm-up", job)
        job.start()
        for _ in job.states():
            pass
    except (Cancelled, KeyError):  # the server is closed already
        pass
    except AUD3DFaceError as error:  # visitors will be told the same; the page itself works
        logging.getLogger(__name__).warning("the page could not be warmed up: %s", error)
    finally:
        visits.leave("warm-up")


def _theme() -> gr.Theme:
    fonts = ("system-ui", "sans-serif")  # of the visitor's own system: nothing is fetched from elsewhere
    return gr.themes.Default(primary_hue="blue", font=fonts, font_mono=("ui-monospace", "monospace"))
