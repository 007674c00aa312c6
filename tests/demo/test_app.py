"""What the page does with what a browser sends, without a browser."""

from types import SimpleNamespace

import pytest

pytest.importorskip("gradio", reason="gradio is not installed")

import gradio as gr

from au_d3dface.demo.app import build_app
from au_d3dface.demo.limits import Limits
from au_d3dface.demo.pipelines import Pipelines
from au_d3dface.demo.visits import Visits
from au_d3dface.errors import CheckpointError


class Asked(Pipelines):
    """Notes what is asked for, and has nothing."""

    def __call__(self, model, face_model):
        self.model, self.face_model = model, face_model
        raise CheckpointError("there is no checkpoint in this test")


@pytest.fixture
def visits(tmp_path):
    made = Visits(keep_seconds=1000, root=tmp_path / "root")
    yield made
    made.close()


def handler(page: gr.Blocks, name: str):
    return next(fn.fn for fn in page.fns.values() if fn.api_name == name)


@pytest.mark.parametrize(("local", "named"), [(True, "my/checkpoint"), (False, None)])
def test_only_this_computers_people_name_a_checkpoint(visits, local, named):
    """The text box is hidden from others; what counts is that the server does not believe their browsers."""
    asked = Asked()
    page = build_app(visits, Limits(), asked, local)
    run = handler(page, "sample")("Everyone", "ict", [], " my/checkpoint ", SimpleNamespace(session_hash="me"))
    with pytest.raises(gr.Error, match="no checkpoint in this test"):
        list(run)
    assert (asked.model, asked.face_model) == (named, "ict")


def test_without_a_video_it_says_what_to_do(visits):
    page = build_app(visits, Limits(), Asked(), True)
    run = handler(page, "page")(None, "Everyone", "facemesh", [], "", SimpleNamespace(session_hash="me"))
    with pytest.raises(gr.Error, match="upload one, record one, or take the sample"):
        next(run)


def test_a_video_that_was_deleted_meanwhile_is_asked_for_again(visits, tmp_path):
    page = build_app(visits, Limits(), Asked(), True)
    gone = str(tmp_path / "gone.mp4")
    run = handler(page, "page")(gone, "Everyone", "facemesh", [], "", SimpleNamespace(session_hash="me"))
    with pytest.raises(gr.Error, match="was deleted meanwhile"):
        next(run)


def test_an_error_leaves_no_files_and_an_empty_player(visits):
    page = build_app(visits, Limits(max_seconds=1), Asked(), True)
    run = handler(page, "sample")("Largest face", "facemesh", [], "", SimpleNamespace(session_hash="me"))
    shown = []
    with pytest.raises(gr.Error, match=r"^'?sample\.mp4 lasts about 8 seconds, and this page takes up to 1"):
        shown.extend(run)
    assert '"job": ""' in shown[-1][0]
    assert not [path for path in visits.root.rglob("*") if path.is_file()]
