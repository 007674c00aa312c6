"""The page in a real browser: a clip goes in; progress, a moving face, the timeline and the files come out."""

import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from chromium import chromium, keep_local
from PIL import Image

pytest.importorskip("gradio", reason="gradio is not installed")

from au_d3dface.assets import sample_video
from au_d3dface.demo.limits import Limits
from au_d3dface.demo.server import serving
from au_d3dface.video import VideoReader, VideoWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # each test starts a browser, the first one the server

SECONDS = 60_000
"""How long a step may take on a loaded machine, milliseconds."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def opened(browser: Any, server: str, width: int = 1300, height: int = 1000) -> Any:
    """A visitor's page; `page.wrong` lists addresses elsewhere that it asked for, and errors of its scripts."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.wrong = keep_local(page)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(server)
    page.wait_for_selector("#run", timeout=SECONDS)
    return page


def upload(page: Any, path: Path) -> None:
    page.set_input_files("#video input[type=file]", path)
    page.wait_for_selector("#video video", timeout=SECONDS, state="attached")


def reached(page: Any, what: str) -> None:
    page.wait_for_selector(f"[data-{what}]", timeout=SECONDS)


def pixels(page: Any, selector: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(int)


def moment(page: Any) -> float:
    return float(page.get_attribute("[data-time]", "data-time"))


def test_from_upload_to_files(browser: Any, server: str, clip: Path, tmp_path: Path) -> None:
    page = opened(browser, server)
    assert "It leaves the browser when you upload" in page.text_content("body")
    upload(page, clip)
    page.click("#run")
    reached(page, "result=first")
    assert "following the face" in page.text_content("#player .stages")
    assert page.locator("#status .progress-text").is_hidden()  # it would lie across the bar
    reached(page, "result=whole")
    reached(page, "stage=done")
    assert "✓ files" in page.text_content("#player .stages")

    # The face is drawn, moves while the video plays, and is where the video is.
    face = "#player canvas.face"
    while_playing = []
    for _ in range(6):
        while_playing.append(pixels(page, face))
        page.wait_for_timeout(250)
    lit = (while_playing[0].max(-1) > 60).mean()
    assert 0.1 < lit < 0.8
    changes = [np.abs(a - b).mean() for a, b in pairwise(while_playing)]
    assert max(changes) > 0.3, changes
    page.click("#player .play")
    assert page.get_attribute("#player .play", "aria-label") == "Play"
    page.wait_for_timeout(300)
    assert np.array_equal(pixels(page, face), pixels(page, face))

    # A click on the timeline takes video, face and slider to the same moment. The brows are up at 1 s.
    lanes = page.locator("#player .timeline")
    lanes.scroll_into_view_if_needed()
    box = lanes.bounding_box()
    gutter, room = 190, box["width"] - 198
    before = pixels(page, face)
    lanes.click(position={"x": gutter + room * 1.0 / 1.9667, "y": 10})
    page.wait_for_timeout(500)
    assert abs(moment(page) - 1.0) < 0.05
    assert abs(page.evaluate("document.querySelector('#player video').currentTime") - 1.0) < 0.05
    assert np.abs(pixels(page, face) - before).mean() > 0.3
    assert "AU01 inner brow raiser" in page.text_content("#player .now")
    heat = pixels(page, face)
    assert ((heat[..., 0] > 150) & (heat[..., 0] > heat[..., 2] + 30)).sum() > 200, "the raised brows are not hot"

    # Keys, from the timeline on: an arrow is a frame, space plays.
    page.focus("#player .timeline")
    for key, expected in (("Home", 0.0), ("ArrowRight", 1 / 30), ("PageUp", 11 / 30), ("ArrowLeft", 10 / 30)):
        page.keyboard.press(key)
        assert abs(moment(page) - expected) < 0.002, key
    assert page.get_attribute("#player .timeline", "aria-valuetext") == "0.33 seconds"
    page.keyboard.press(" ")
    assert page.get_attribute("#player .play", "aria-label") == "Pause"
    page.keyboard.press(" ")
    assert page.get_attribute("#player .play", "aria-label") == "Play"

    # Zooming shows less time around that moment, and a drag turns the face.
    picture = pixels(page, "#player .timeline")
    page.click("#player .more")
    assert np.abs(pixels(page, "#player .timeline") - picture).mean() > 1
    page.click("#player .all")
    canvas = page.locator(face)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    frontal = pixels(page, face)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 120, middle[1], steps=4)
    page.mouse.up()
    assert np.abs(pixels(page, face) - frontal).mean() > 3
    page.click("#player .front")
    assert np.abs(pixels(page, face) - frontal).mean() < 0.5

    # What is below the names of the active action units stays where it is, however many they are.
    tops = set()
    for share in range(12):
        lanes.click(position={"x": gutter + room * share / 12, "y": 10})
        tops.add(page.evaluate("document.querySelector('#player .lanes').offsetTop"))
    assert len(tops) <= 2, tops  # it may have grown, once
    lanes.click(position={"x": gutter + room * 0.5, "y": 10})
    assert page.evaluate("document.querySelector('#player .lanes').offsetTop") == max(tops)

    # An event of the table goes to its apex, colours its region, and brings both into sight.
    rows = page.locator("#player .events tbody tr")
    assert page.text_content("#player .events .title") == f"What happened: {rows.count()} activations"
    rows.filter(has_text="AU01").last.click()
    page.wait_for_function("document.querySelector('#player .views').getBoundingClientRect().top >= 0", timeout=SECONDS)
    page.wait_for_timeout(400)
    assert moment(page) > 0.1
    assert page.evaluate("document.querySelector('#player .colour').value") == "0"

    # The overlay plays.
    page.click('#player [data-video="overlay"]')
    page.wait_for_function("document.querySelector('#player video').readyState > 1", timeout=SECONDS)
    assert "overlay.mp4" in page.evaluate("document.querySelector('#player video').currentSrc")
    start = page.evaluate("document.querySelector('#player video').currentTime")
    page.click("#player .play")
    page.wait_for_function(
        f"Math.abs(document.querySelector('#player video').currentTime - {start}) > 0.2", timeout=SECONDS
    )

    # The zip opens, and holds what a run of the command line writes.
    with page.expect_download(timeout=SECONDS) as download:
        page.click("#player .files a >> nth=0")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert {"action_units.csv", "sequence.npz", "face.glb", "overlay.mp4", "summary.json"} <= set(
            archive.namelist()
        )
        assert len(archive.read("action_units.csv").splitlines()) == 61
    assert page.wrong == []
    page.close()


def test_a_bad_file_gets_the_sentence_of_the_command_line(
    browser: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.mp4").write_bytes(b"this is not a video\n" * 50)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="not a video") as told:
        VideoReader("text.mp4")
    page = opened(browser, server)
    upload(page, tmp_path / "text.mp4")
    page.click("#run")
    page.get_by_text(str(told.value)).first.wait_for(timeout=SECONDS)
    page.close()


def test_cancelling_stops_and_the_next_video_works(browser: Any, server: str, clip: Path) -> None:
    page = opened(browser, server)
    page.click("#sample")
    reached(page, "result=first")
    page.click("#cancel")
    page.get_by_text("Cancelled. Its files were deleted.").wait_for(timeout=SECONDS)
    page.locator("#player .empty").wait_for(timeout=SECONDS)
    page.wait_for_timeout(1000)
    assert page.locator("#player .empty").is_visible()  # nothing of it comes later
    upload(page, clip)
    page.click("#run")
    reached(page, "stage=done")
    page.close()


def test_cancelling_while_files_are_written(browser: Any, server: str, clip: Path) -> None:
    page = opened(browser, server)
    upload(page, clip)
    page.click("#run")
    page.wait_for_selector('#player .stages li:has-text("files: drawing on the video")', timeout=SECONDS)
    folder = Path(unquote(page.evaluate("document.querySelector('#player video').src.split('file=')[1]"))).parent
    assert list(folder.glob("results/.*/action_units.csv"))
    page.click("#cancel")
    page.get_by_text("Cancelled. Its files were deleted.").wait_for(timeout=SECONDS)
    page.locator("#player .empty").wait_for(timeout=SECONDS)
    assert not folder.exists()
    page.close()


def test_everyone(browser: Any, server: str, tmp_path: Path) -> None:
    """The sample twice, side by side, half a second apart: who is who is told as in the overlay and the files."""
    with VideoReader(sample_video()) as reader:
        frames = [frame.image for frame, _ in zip(reader, range(75), strict=False)]
    path = tmp_path / "two.mp4"
    height, width = frames[0].shape[:2]
    with VideoWriter(path, 30, height, 2 * width) as writer:
        for left, right in zip(frames, frames[15:], strict=False):
            writer.write(np.concatenate([left, right], 1))
    page = opened(browser, server)
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Everyone").check()
    upload(page, path)
    page.click("#run")
    reached(page, "stage=done")
    page.click("#player .play")
    names = page.locator("#player .person option").all_text_contents()
    assert sorted(names) == ["face 0 (left)", "face 1 (right)"]
    files = page.text_content("#player .files")
    faces, told = [], []
    for name in names:
        page.select_option("#player .person", label=name)
        page.evaluate("document.querySelector('#player .seek').value = 1.3")
        page.dispatch_event("#player .seek", "input")
        page.wait_for_timeout(300)
        faces.append(pixels(page, "#player canvas.face"))
        told.append(page.text_content("#player .events"))
        assert f"of {name}" in told[-1]
        assert f"face_0{name[5]}/face.glb" in files
    assert np.abs(faces[0] - faces[1]).mean() > 1
    assert told[0] != told[1]
    assert page.wrong == []
    page.close()


def test_two_visitors_at_once(browser: Any, server: str, clip: Path) -> None:
    pages = [opened(browser, server) for _ in range(2)]
    for page in pages:
        upload(page, clip)
    for page in pages:
        page.click("#run")
    links = []
    for page in pages:
        reached(page, "stage=done")
        links.append(page.get_attribute("#player .files a >> nth=0", "href"))
        assert page.wrong == []
    assert links[0] != links[1]
    folder = Path(links[0].split("file=")[1]).parents[1]
    assert folder.is_dir()
    pages[0].close()  # its files go; the other's stay
    deadline = time.monotonic() + 60
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not folder.exists()
    assert Path(links[1].split("file=")[1]).is_file()
    uploads = folder.parent / "uploads"
    assert [path.name for path in uploads.rglob("*.mp4")] == [clip.name]  # both gave the same; one page shows it still
    pages[1].click('#video button[aria-label="Clear"]')
    deadline = time.monotonic() + 60
    while list(uploads.rglob("*.mp4")) and time.monotonic() < deadline:
        pages[1].wait_for_timeout(200)  # the browser's requests go on meanwhile
    assert not list(uploads.rglob("*.mp4"))
    pages[1].close()


def test_a_page_closed_in_the_middle_leaves_nothing_and_blocks_nobody(browser: Any, clip: Path) -> None:
    with serving() as address:
        page = opened(browser, address)
        upload(page, clip)
        page.click("#run")
        reached(page, "result=first")
        folder = Path(page.evaluate("document.querySelector('#player video').src.split('file=')[1]"))
        folder = Path(unquote(str(folder))).parents[1]
        assert folder.is_dir()
        page.close()
        other = opened(browser, address)
        other.click("#sample")
        reached(other, "stage=done")
        deadline = time.monotonic() + 60
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not folder.exists()
        assert not [path for path in (folder.parent / "uploads").rglob("*") if path.is_file()]
        other.close()


def test_a_full_queue_is_told(browser: Any) -> None:
    with serving(limits=Limits(max_waiting=0)) as address:
        page = opened(browser, address)
        page.click("#sample")
        page.get_by_text("0 videos are waiting already. Come back in a few minutes").wait_for(timeout=SECONDS)
        assert page.locator("#player .empty").is_visible()
        page.close()


def test_a_name_is_only_a_name(browser: Any, server: str, clip: Path, tmp_path: Path) -> None:
    """Markup in it is shown, wherever a name is shown."""
    evil = tmp_path / "<img src=x onerror=document.title='broken'>.mp4"
    evil.write_bytes(b"this is not a video\n" * 50)
    page = opened(browser, server)
    upload(page, evil)
    page.click("#run")
    page.get_by_text("is not a video").first.wait_for(timeout=SECONDS)
    page.wait_for_timeout(500)
    assert page.title() == "au-d3dface"
    assert page.locator("img[src=x]").count() == 0
    assert page.wrong == []
    page.close()


def test_a_recording_of_the_webcam(server: str, clip: Path, tmp_path: Path) -> None:
    """Chromium's stand-in for a camera shows the clip; what it records has no length in its header."""
    with VideoReader(clip) as reader, (tmp_path / "camera.mjpeg").open("wb") as camera:
        for frame in reader:
            Image.fromarray(frame.image).save(camera, "jpeg")
    stand_in = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(*stand_in, f"--use-file-for-fake-video-capture={tmp_path / 'camera.mjpeg'}") as browser:
        page = opened(browser, server)
        page.click('#video button[aria-label="Capture from camera"]')
        page.click("#video button:has-text('Webcam')")
        page.click("#video button:has-text('Record')")
        page.wait_for_timeout(2000)
        page.click("#video button:has-text('Stop')")
        page.wait_for_selector("#video video[src], #video video source", timeout=SECONDS, state="attached")
        page.wait_for_timeout(500)
        page.click("#run")
        reached(page, "stage=done")
        shown = float(page.text_content("#player .clock").split("/")[1].removesuffix("s"))
        assert 1 < shown < 6
        page.close()


@pytest.mark.parametrize("sound", [False, True], ids=["silent", "of which it plays the sound"])
def test_a_video_that_browsers_cannot_play(
    browser: Any, server: str, clip: Path, tmp_path: Path, make_video, sound: bool
) -> None:
    """The HEVC of phones: the face comes all the same, and the video with the mesh is shown as soon as there is one."""
    with VideoReader(clip) as reader:
        frames = [frame.image for frame in reader]
    path = make_video(tmp_path / "phone.mp4", frames, codec="libx265", sound_first=sound)
    page = opened(browser, server)
    page.set_input_files("#video input[type=file]", path)
    page.wait_for_timeout(1500)
    page.click("#run")
    reached(page, "result=whole")
    page.get_by_text("This browser cannot play this kind of video").wait_for(timeout=SECONDS)
    reached(page, "stage=done")
    page.wait_for_function("document.querySelector('#player video').currentTime > 0.2", timeout=SECONDS)
    assert "overlay.mp4" in page.evaluate("document.querySelector('#player video').currentSrc")
    assert moment(page) > 0.1
    page.close()


def test_nothing_is_wider_than_a_phone(browser: Any, server: str) -> None:
    page = opened(browser, server, 390, 844)
    page.click("#sample")
    reached(page, "result=whole")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_programs_get_the_same(server: str, clip: Path, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(server, verbose=False, download_files=str(tmp_path))
    packed, summary = client.predict(handle_file(str(clip)), "largest", api_name="/reconstruct")
    with zipfile.ZipFile(packed) as archive:
        assert "face.glb" in archive.namelist()
    assert summary["counts"] == {"frames": 60, "faces": 1, "frames_with_a_face": 60}
    with pytest.raises(Exception, match="must be 'largest' or 'all'"):
        client.predict(handle_file(str(clip)), "tallest", api_name="/reconstruct")


def test_no_file_of_the_server_goes_in_or_out(server: str) -> None:
    """What a page sends is not to be trusted: a path that was never uploaded is refused before anything reads it."""
    private = str(Path(__file__).resolve())
    given = {"path": private, "meta": {"_type": "gradio.FileData"}}
    begun = httpx.post(f"{server}gradio_api/call/reconstruct", json={"data": [given, "largest"]})
    told = httpx.get(f"{server}gradio_api/call/reconstruct/{begun.json()['event_id']}", timeout=60).text
    assert "event: error" in told
    assert "is not a video" not in told  # what it would say had the file been opened
    (own,) = httpx.post(f"{server}gradio_api/upload", files={"files": ("../../../own.txt", b"mine")}).json()
    assert Path(own).name == "own.txt"
    assert Path(own).parents[1].name == "uploads"
    assert httpx.get(f"{server}gradio_api/file={own}").content == b"mine"
    up = "/.." * len(Path(own).parents)
    for way in (private, f"{own}{up}{private}", f"{Path(own).parent}{up}{private}".replace("..", "%2e%2e")):
        answer = httpx.get(f"{server}gradio_api/file={way}")
        assert answer.status_code in (403, 404), way
