"""Jobs of the page over real clips: results come in stages, cancelling stops, errors are the command line's."""

import copy
import os
import shutil
import sys
import time
import traceback
import zipfile
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from au_d3dface.demo.jobs import Cancelled, Job, described
from au_d3dface.demo.limits import Limits
from au_d3dface.demo.live import tapped
from au_d3dface.demo.visits import link_or_copy
from au_d3dface.errors import InputError, NoFaceError
from au_d3dface.export.files import TEMPORARY_PREFIX
from au_d3dface.export.formats import FORMATS
from au_d3dface.pipeline_au_d3dface import AUD3DFacePipeline


@pytest.fixture(scope="module")
def pipeline():
    return AUD3DFacePipeline.from_pretrained(device="cpu")


@pytest.fixture
def make_job(tmp_path, pipeline):
    def make(video, **options):
        folder = tmp_path / "job"
        folder.mkdir()
        return Job(link_or_copy(video, folder), folder, lambda: pipeline, Limits(), **options)

    return make


def test_results_come_in_stages(make_job, clip):
    finished = []
    job = make_job(clip, formats=("texture",), finished=finished.append)
    job.start()
    states = list(job.states())
    assert job.join(10)
    assert finished == [job]
    stages = list(dict.fromkeys(state["stage"] for state in states))
    assert [name for name in stages if name in ("tracking", "network", "appearance", "overlay", "done")] == [
        "tracking",
        "network",
        "appearance",
        "overlay",
        "done",
    ]
    live = [state for state in states if state["live"]]
    assert live, "no result came while the face was followed"
    assert live[0]["scene"] is None
    whole = next(state for state in states if state["scene"])
    assert not whole["downloads"]
    last = states[-1]
    assert 0 < last["seconds"]["first"] <= last["seconds"]["whole"] <= last["seconds"]["all"]
    names = {file["name"] for file in last["downloads"]}
    assert {"au-d3dface.zip", "action_units.csv", "face.glb", "overlay.mp4", "texture.png", "summary.json"} <= names
    with zipfile.ZipFile(job.folder / "au-d3dface.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == names - {"au-d3dface.zip"}
    assert all(file["what"] for file in last["downloads"])


def test_a_cancelled_job_stops_at_once_and_leaves_nothing(make_job, clip):
    job = make_job(clip)
    job.start()
    states = job.states()
    while next(states)["stage"] != "tracking":
        pass
    job.cancel()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        for _ in states:
            pass
    assert time.monotonic() - began < 2
    assert job.join(10)
    assert not job.folder.exists()


@pytest.mark.parametrize(
    ("stage", "look"),
    [("tracking", 20), ("appearance", 62), ("obj", 20), ("strip", 20), ("overlay", 20), ("render", 20), ("zip", 5)],
)
def test_cancelled_in_the_middle_of_a_long_stage(make_job, clip, stage, look):
    job = make_job(clip, formats=("obj", "strip", "texture", "render"))
    tell, looks = job._tell, []

    def told(name, done, total, force=False):
        looks.append(name)
        if looks.count(stage) == look:
            job.cancel()
        tell(name, done, total, force)

    job._tell = told
    job.start()
    with pytest.raises(Cancelled):
        list(job.states())
    assert job.join(20)
    assert looks.count(stage) == look  # the very look that came after it
    assert looks[-1] == stage
    assert not job.folder.exists()


@pytest.mark.parametrize("kind", ["npz", "glb"])
def test_cancelled_in_the_middle_of_a_file(make_job, clip, kind):
    job = make_job(clip)
    check, half, looks = job._check, [], []

    def checked():
        if half:
            looks.append(job.state.stage)
        else:
            half.extend(job.folder.rglob(f"{TEMPORARY_PREFIX}*/{TEMPORARY_PREFIX}*.{kind}"))
            if half:
                return job.cancel()  # only the next look may notice
        return check()

    job._check = checked
    job.start()
    with pytest.raises(Cancelled):
        list(job.states())
    assert job.join(20)
    assert half, "no file was being written"
    assert looks == [kind]
    assert not job.folder.exists()


def test_cancelled_while_the_dense_face_is_fitted(make_job, clip, kit_path):
    """Two looks at least: at the network's samples, and at all frames."""
    dense = AUD3DFacePipeline.from_pretrained(device="cpu", face_model="ict", ict_facekit=kit_path)
    job = make_job(clip)
    job._pipeline = lambda: dense
    check, looks = job._check, []

    def checked():
        if any(frame.name == "_fit" for frame in traceback.extract_stack()):
            looks.append(job.state.stage)
            if len(looks) == 2:
                job.cancel()
        check()

    job._check = checked
    job.start()
    with pytest.raises(Cancelled):
        list(job.states())
    assert job.join(20)
    assert looks == ["network", "network"]
    assert not job.folder.exists()


def test_no_stage_goes_on_for_long_without_looking(make_job, clip):
    """Seconds that the job's own thread computes between two looks; on a loaded machine the clock would say more."""
    for name in ("glb", "timeline", "strip"):  # a server has loaded their libraries before the first visitor
        import_module(f"au_d3dface.export.{name}")
    job = make_job(clip, formats=("obj", "texture", "render", "strip"))
    check, looks = job._check, []

    def checked():
        looks.append((time.thread_time(), job.state.stage))
        check()

    job._check = checked
    job.start()
    list(job.states())
    gaps = [(after - before, stage) for (before, stage), (after, _) in pairwise(looks)]
    assert len(gaps) > 300  # of 60 frames, five stages tell each
    assert max(gaps)[0] < 3, max(gaps)  # about half a second on an idle core: the strip's colouring and layout


def test_one_whose_visitor_has_left_is_cancelled_and_not_wrong(make_job, clip, caplog):
    """Closing the page deletes the files under its hands."""
    job = make_job(clip)
    job.start()
    states = job.states()
    while next(states)["stage"] != "csv":
        pass
    job.cancel()
    shutil.rmtree(job.folder, ignore_errors=True)
    with pytest.raises(Cancelled):
        list(states)
    assert job.join(20)
    assert not job.folder.exists()
    assert not caplog.records


def test_memory_goes_back(make_job, clip):
    """More of them in tests/benchmarks/page_speed.py. Arrays that were kept would be some 15 MB a video."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    resident = []
    for _ in range(6):
        job = make_job(clip)
        job.start()
        for _ in job.states():
            pass
        assert job.join(20)
        shutil.rmtree(job.folder)
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    assert max(resident[2:]) - resident[1] < 25, resident


def test_a_bad_file_is_named_without_the_servers_folder(make_job, tmp_path):
    bad = tmp_path / "text.mp4"
    bad.write_bytes(b"this is not a video\n" * 50)
    job = make_job(bad)
    job.start()
    with pytest.raises(InputError, match=r"^text\.mp4 is not a video") as told:
        list(job.states())
    assert str(tmp_path) not in str(told.value)
    assert job.join(10)
    assert not job.folder.exists()


def test_no_face_is_told(make_job, tmp_path, make_video):
    job = make_job(make_video(tmp_path / "empty.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 5))
    job.start()
    with pytest.raises(NoFaceError, match=r"any of the 5 frames of empty\.mp4"):
        list(job.states())


def test_the_shared_pipeline_stays_as_it_is(pipeline):
    """Also where there are no live results, as with DECA."""
    for one in (pipeline, copy.copy(pipeline)):
        if one is not pipeline:
            one.coarse = SimpleNamespace(name="deca")
        before = dict(vars(one))
        other = tapped(one, lambda scene: None)
        assert (other.tracker is one.tracker) == (one is not pipeline)
        other.reader = None
        assert vars(one) == before


def test_every_kind_of_file_is_described():
    for text in FORMATS.values():
        name = text.partition(": ")[0]
        if "/" not in name:
            assert described(name), name
    assert described("sequence_002.npz") == described("sequence.npz")
