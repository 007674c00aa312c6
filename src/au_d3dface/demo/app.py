"""The page itself, in gradio: what people choose on the left, the player with everything else beside it."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..assets import sample_video
from ..errors import AUD3DFaceError, CheckpointError
from ..face_models import find_ict_facekit
from ..pipeline_au_d3dface import AUD3DFacePipeline
from .jobs import Cancelled, Job
from .limits import Limits
from .pipelines import Pipelines
from .scene import events_of
from .visits import PATIENCE, Visits, link_or_copy
from .zero_gpu import Lend

HERE = Path(__file__).parent

NOTHING = json.dumps({"job": "", "stage": "nothing"})
"""What empties the player."""

CANCELLED = "Cancelled. Its files were deleted."
CANCELLING = "Cancelled. Its files go as soon as the step that is being computed has ended."
NOT_RUNNING = "Nothing is being computed for you."

EXTRAS = {
    "Pictures of six moments (strip)": "strip",
    "One mesh a frame (obj)": "obj",
    "Skin colours (texture)": "texture",
    "Rendered face beside the video (render)": "render",
}

STAGES = {
    "waiting": "Waiting for the video before yours",
    "loading": "Loading the checkpoint",
    "tracking": "Following the face",
    "fitting": "Fitting the 3D face",
    "pictures": "Looking at the pictures again",
    "network": "Refining and reading action units",
    "appearance": "Estimating skin colours",
    "files": "Writing files",
    "csv": "Writing the table",
    "npz": "Writing the arrays",
    "obj": "Writing the meshes",
    "glb": "Writing the animated face",
    "strip": "Drawing the strip",
    "texture": "Drawing the skin colours",
    "timeline": "Drawing the timeline",
    "overlay": "Drawing on the video",
    "render": "Rendering the face",
    "zip": "Packing all files",
    "done": "Done",
}
"""What a stage of the pipeline or of the exports is called on the page."""

UNITS = {"fitting": "people", "network": "people", "npz": "MB"}
"""What a stage counts, where that is not frames; a screen reader says it."""


def build_app(
    visits: Visits,
    limits: Limits,
    pipelines: Pipelines,
    local: bool,
    lend: Lend | None = None,
    by_path: bool = False,
) -> gr.Blocks:
    """The page.

    Args:
        visits: where files go.
        limits: what is taken.
        pipelines: gives the networks.
        local: whether only this computer's own people reach the page, who may name any checkpoint; to others a text
            box for a folder or Hub id would be a way to read this machine's folders or to fill its disk.
        lend: as `Job`.
        by_path: whether programs may name a file of this machine instead of uploading it.
    """

    def begun(
        session: str,
        video: str,
        pipeline: Callable[[], AUD3DFacePipeline],
        faces: str,
        formats: tuple[str, ...] = (),
    ) -> Job:
        folder = visits.new_folder(session)
        job = Job(
            link_or_copy(video, folder),
            folder,
            pipeline,
            limits,
            faces,
            formats,
            lend,
            finished=lambda job: visits.end(session, job),
        )
        visits.begin(session, job)
        job.start()
        return job

    def reconstruct(
        video: str | None,
        faces: str,
        face_model: str,
        extras: list[str],
        model: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # gradio finds it by its default
    ) -> Iterator[tuple[str, str]]:
        if video is None:
            raise gr.Error("Give a video first: upload one, record one, or take the sample.", print_exception=False)
        if not Path(video).is_file():
            raise gr.Error("That video was deleted meanwhile. Give it again.", print_exception=False)
        # Not only hidden from others: what a browser sends is not to be trusted.
        named = ((model or "").strip() or None) if local else None
        job = begun(
            str(request.session_hash),
            video,
            lambda: pipelines(named, None if face_model == "facemesh" else face_model),
            "all" if faces == "Everyone" else "largest",
            tuple(EXTRAS[extra] for extra in extras),
        )
        try:
            for state in job.states():
                words = STAGES.get(state["stage"], state["stage"])
                total = state["total"]
                progress(
                    (state["done"], total) if total else None, desc=words, unit=UNITS.get(state["stage"], "frames")
                )
                yield (
                    json.dumps({**state, "words": words}),
                    "" if state["stage"] != "done" else f"Done in {state['seconds']['all']:.1f} s.",
                )
        except Cancelled:
            yield NOTHING, CANCELLED
        except AUD3DFaceError as error:
            yield NOTHING, ""
            raise gr.Error(str(error), duration=None, title="This video", print_exception=False) from error
        except Exception:  # unexpected, or ZeroGPU's quota: gradio tells it
            yield NOTHING, ""
            raise
        finally:
            job.cancel()  # does nothing to one that has ended

    def sample(
        faces: str,
        face_model: str,
        extras: list[str],
        model: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple[str, str]]:
        yield from reconstruct(str(sample_video()), faces, face_model, extras, model, request, progress)

    def cancel(request: gr.Request) -> tuple[Any, str]:
        session = str(request.session_hash)
        if visits.cancel(session, PATIENCE):
            return NOTHING, CANCELLING if visits.under_way(session) else CANCELLED
        return gr.skip(), NOT_RUNNING  # a finished result stays; a video that waits leaves the queue

    def admit() -> None:
        if len(page._queue) >= limits.max_waiting:
            raise gr.Error(
                f"{limits.max_waiting} videos are waiting already. Come back in a few minutes, or run au-d3dface on "
                "your own computer.",
                duration=None,
                title="Busy",
                print_exception=False,
            )

    def show(video: str | None, request: gr.Request) -> None:
        visits.show(str(request.session_hash), None if video is None else Path(video))

    def reconstruct_video(video: str | None, faces: str, request: gr.Request) -> tuple[str, dict[str, Any]]:
        """Reconstructs the moving 3D face of a video and its facial action units.

        Args:
            video: the video file.
            faces: "largest" for the most prominent person, "all" for everyone.

        Returns:
            A zip with the action units of every frame (csv), the animated face (glb), arrays (npz) and the video with
            the mesh drawn on it; and a summary, whose `events` say when each action unit was active: onset, apex and
            offset in seconds, and its peak probability.
        """
        if video is None:
            raise gr.Error("a video is needed", print_exception=False)
        session = str(request.session_hash)
        visits.show(session, Path(video))
        job = begun(session, video, lambda: pipelines(None, None), faces)
        try:
            last = list(job.states())[-1]
        except AUD3DFaceError as error:
            raise gr.Error(str(error), print_exception=False) from error
        finally:
            job.cancel()  # does nothing to one that has ended
        summary = json.loads((job.folder / "results" / "summary.json").read_text())
        events = events_of(Path(last["scene"]).read_bytes())
        return last["downloads"][0]["path"], {**summary, "events": events}

    def reconstruct_file(path: str, faces: str, request: gr.Request) -> tuple[str, dict[str, Any]]:
        if not Path(path).is_file():
            raise gr.Error(f"{path} is not a file on this computer; give its full path", print_exception=False)
        return reconstruct_video(path, faces, request)

    reconstruct_file.__doc__ = (reconstruct_video.__doc__ or "").replace("video: the video file", "path: of the video")

    with gr.Blocks(title="au-d3dface", analytics_enabled=False, fill_width=True) as page:
        gr.HTML((HERE / "header.html").read_text(), padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=300, elem_id="choices"):
                video = gr.Video(
                    label="Your video",
                    sources=["upload", "webcam"],
                    height=300,
                    elem_id="video",
                )
                with gr.Row():
                    run = gr.Button("Reconstruct", variant="primary", min_width=110, elem_id="run")
                    stop = gr.Button("Cancel", min_width=90, scale=0, elem_id="cancel")
                try_sample = gr.Button("Try the sample clip", size="sm", elem_id="sample")
                status = gr.Markdown("", elem_id="status", min_height=64)
                with gr.Accordion("Options", open=False):
                    faces = gr.Radio(["Largest face", "Everyone"], value="Largest face", label="Whose face")
                    face_model = gr.Radio(
                        _face_models(), value="facemesh", label="Face model", info=_about_face_models()
                    )
                    extras = gr.CheckboxGroup(list(EXTRAS), label="More files", info="Each takes more time.")
                    model = gr.Textbox(
                        label="Checkpoint: a folder or Hub id",
                        placeholder=pipelines.model or "the one in the package",
                        visible=local,
                    )
                gr.HTML(_privacy(limits, local), padding=False)
            with gr.Column(scale=3, min_width=320):
                player = gr.HTML(
                    "",
                    html_template=_player(),
                    css_template=(HERE / "player.css").read_text(),
                    js_on_load="\n".join(
                        (HERE / name).read_text() for name in ("player_face.js", "player_timeline.js", "player.js")
                    ),
                    apply_default_css=False,
                    elem_id="player",
                )
        choices = [faces, face_model, extras, model]
        asked: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        # Through the queue, without which gradio does not show what went wrong, but past all who wait in it.
        at_once: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        shown: dict[str, Any] = {
            "outputs": [player, status],
            "concurrency_limit": 1,
            "concurrency_id": "heavy",
            "show_progress": "full",
            "show_progress_on": status,
            "api_visibility": "private",
        }
        events = [
            run.click(admit, **at_once).success(reconstruct, [video, *choices], api_name="page", **shown),
            try_sample.click(admit, **at_once).success(sample, choices, api_name="sample", **shown),
        ]
        video.change(show, video, **asked)
        stop.click(cancel, None, [player, status], cancels=events, queue=False, api_visibility="private")
        with gr.Column(visible=False):  # the programs' way in: gradio_client finds it by its name
            whom, packed, said = gr.Textbox("largest"), gr.File(), gr.JSON()
            ways = {"reconstruct": (reconstruct_video, gr.Video(sources=["upload"]))}
            if by_path:
                ways["reconstruct_file"] = (reconstruct_file, gr.Textbox())
            for name, (way, given) in ways.items():
                gr.Button().click(
                    way, [given, whom], [packed, said], api_name=name, concurrency_limit=1, concurrency_id="heavy"
                )
        page.unload(_leave(visits))
    return page


def _leave(visits: Visits) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        visits.leave(str(request.session_hash))

    return leave


def _face_models() -> list[str]:
    """Those that this machine has the files of."""
    try:
        find_ict_facekit()
    except CheckpointError:
        return ["facemesh"]
    return ["facemesh", "ict"]


def _about_face_models() -> str:
    if "ict" in _face_models():
        return "facemesh has 468 vertices, ict 9,409; the action units are the same."
    return (
        "facemesh has 468 vertices. The dense face, ict with 9,409, needs files that are not on this machine; "
        "au-d3dface assets ict-facekit fetches them."
    )


def _player() -> str:
    """The player's page, with its picture inside."""
    picture = base64.b64encode((HERE / "preview.jpg").read_bytes()).decode()
    return (HERE / "player.html").read_text().replace("PREVIEW", f"data:image/jpeg;base64,{picture}")


def _privacy(limits: Limits, local: bool) -> str:
    minutes = f"{limits.keep_seconds / 60:.0f} minutes"
    where = "to the program on this computer, and nowhere else" if local else "to this server, and nowhere else"
    return (
        f'<div class="aud3-privacy"><b>What it takes.</b> Up to {limits.max_seconds:g} seconds and '
        f"{limits.max_megabytes} MB of video in which a face is seen; one video is computed at a time.<br>"
        f"<b>What happens to the video.</b> It leaves the browser when you upload or record it, and goes {where}. It "
        "is deleted when you remove or replace it; the results, which show it, when you start another video or cancel; "
        f"both when you close this page, and {minutes} after you last used it if you never do. No history is kept. "
        "Faces are personal data: upload only people who agree.</div>"
    )
