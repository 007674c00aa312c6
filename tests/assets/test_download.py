"""Fetching files from a server on this machine: whole, continued, wrong, absent, interrupted."""

import gzip
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from au_d3dface.assets import Asset, AssetFile
from au_d3dface.assets.download import INCOMPLETE, RETRIES, fetch
from au_d3dface.cli import main
from au_d3dface.errors import CheckpointError, MissingDependencyError, OutputError

CONTENT = {
    "LICENSE": b"MIT\n",
    "folder/a.obj": np.random.default_rng(0).bytes(300_000),
    "folder/b.obj": b"v 1 2 3\n" * 40_000,
}


class Server(ThreadingHTTPServer):
    """Serves CONTENT with ranges and gzip, as public file servers do, and misbehaves where told to.

    Attributes:
        content: what it serves.
        requests: (path, Range header or None) in order.
        cut: bytes after which the next answers break off, one entry an answer.
        statuses: statuses of the next answers, one entry an answer.
        ranges: whether it knows ranges.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.requests = dict(CONTENT), []
        self.cut, self.statuses, self.ranges = [], [], True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/repository/commit"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        path = self.path.removeprefix("/repository/commit/")
        asked = self.headers["Range"]
        self.server.requests.append((path, asked))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status != 200 or path not in self.server.content:
            self.send_response(404 if status == 200 else status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.server.content[path]
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        body = body[start:]
        if "gzip" in self.headers["Accept-Encoding"]:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cut:
            body = body[: self.server.cut.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def asset() -> Asset:
    files = (AssetFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items())
    return Asset("Test Kit", "owner/kit", "f" * 40, "MIT, nobody", tuple(files))


def check_complete(folder: Path) -> None:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == CONTENT


def test_everything_and_then_nothing_more(server: Server, asset: Asset, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = tmp_path / "new" / "kit"
    fetched = fetch(asset, folder, server.url, lambda *progress: told.append(progress))
    check_complete(folder)
    assert fetched == [folder / name for name in CONTENT]
    done = [there for there, _ in told]
    assert done == sorted(done)
    assert told[-1] == (asset.size, asset.size)
    assert fetch(asset, folder, server.url) == []
    assert len(server.requests) == 3
    assert not any(asked for _, asked in server.requests)


def test_a_damaged_file_is_fetched_again(server: Server, asset: Asset, tmp_path: Path) -> None:
    fetch(asset, tmp_path, server.url)
    (tmp_path / "folder/b.obj").write_bytes(CONTENT["folder/b.obj"].replace(b"1", b"7"))
    assert fetch(asset, tmp_path, server.url) == [tmp_path / "folder/b.obj"]
    check_complete(tmp_path)


def test_a_cut_connection_is_continued(server: Server, asset: Asset, tmp_path: Path) -> None:
    server.cut = [2**20, 200_000, 50_000]
    fetch(asset, tmp_path, server.url, pause=0)
    check_complete(tmp_path)
    ranges = [int(asked[6:-1]) for path, asked in server.requests if path == "folder/a.obj" and asked]
    assert len(ranges) == 2
    assert 0 < ranges[0] < ranges[1] < 300_000


def test_a_later_run_continues_an_earlier_one(server: Server, asset: Asset, tmp_path: Path) -> None:
    server.cut = [2**20] + [50_000] * (RETRIES + 1)
    with pytest.raises(MissingDependencyError, match="continues where it stopped"):
        fetch(asset, tmp_path, server.url, pause=0)
    assert not (tmp_path / "folder/a.obj").exists()
    have = (tmp_path / f"folder/a.obj{INCOMPLETE}").stat().st_size
    assert 0 < have < 300_000
    server.requests.clear()
    fetch(asset, tmp_path, server.url)
    check_complete(tmp_path)
    assert server.requests[0] == ("folder/a.obj", f"bytes={have}-")


def test_a_server_without_ranges_sends_all_again(server: Server, asset: Asset, tmp_path: Path) -> None:
    server.cut, server.ranges = [2**20, 100_000], False
    fetch(asset, tmp_path, server.url, pause=0)
    check_complete(tmp_path)


def test_a_busy_server_is_asked_again(server: Server, asset: Asset, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    fetch(asset, tmp_path, server.url, pause=0)
    check_complete(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda data: data[:-1] + b"?", id="another byte"),
        pytest.param(lambda data: data * 3, id="too long"),
        pytest.param(lambda data: b"<html>Please log in</html>", id="a page instead"),
    ],
)
def test_wrong_content_never_gets_the_name(
    wrong: Callable[[bytes], bytes], server: Server, asset: Asset, tmp_path: Path
) -> None:
    server.content["folder/b.obj"] = wrong(CONTENT["folder/b.obj"])
    with pytest.raises(CheckpointError, match=r"folder/b\.obj is not the file"):
        fetch(asset, tmp_path, server.url)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.obj"]
    server.content = dict(CONTENT)
    fetch(asset, tmp_path, server.url)
    check_complete(tmp_path)


def test_no_more_is_written_than_the_manifest_says(server: Server, asset: Asset, tmp_path: Path) -> None:
    server.content["folder/b.obj"] = CONTENT["folder/b.obj"] * 100
    sizes = []

    def watch(done: int, total: int) -> None:
        sizes.extend(path.stat().st_size for path in tmp_path.rglob(f"*{INCOMPLETE}"))

    with pytest.raises(CheckpointError):
        fetch(asset, tmp_path, server.url, watch)
    assert max(sizes) <= len(CONTENT["folder/b.obj"]) + 1


def test_a_server_whose_file_is_shorter_than_what_is_here(server: Server, asset: Asset, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / f"folder/a.obj{INCOMPLETE}").write_bytes(CONTENT["folder/a.obj"][:200_000])
    server.statuses = [200, 416]
    fetch(asset, tmp_path, server.url, pause=0)
    check_complete(tmp_path)


def test_a_partial_file_of_something_else_is_thrown_away(server: Server, asset: Asset, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / f"folder/a.obj{INCOMPLETE}").write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointError, match="checksum"):
        fetch(asset, tmp_path, server.url)
    fetch(asset, tmp_path, server.url)
    check_complete(tmp_path)


def test_a_file_that_the_server_has_not(server: Server, asset: Asset, tmp_path: Path) -> None:
    del server.content["folder/b.obj"]
    with pytest.raises(MissingDependencyError, match="404"):
        fetch(asset, tmp_path, server.url)
    assert len(server.requests) == 3  # asked for once
    assert (tmp_path / "folder/a.obj").is_file()  # what came before stays


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_nobody_answers(asset: Asset, tmp_path: Path) -> None:
    for url in (f"http://127.0.0.1:{closed_port()}", "http://nowhere.invalid", "no address at all", "ftp://127.0.0.1"):
        with pytest.raises(MissingDependencyError, match="cannot be fetched") as caught:
            fetch(asset, tmp_path, url)
        assert "\n" not in str(caught.value)


def test_a_server_that_never_answers(asset: Asset, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(MissingDependencyError, match="no answer in time"):
            fetch(asset, tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.05, pause=0)


def test_a_folder_that_cannot_be_written(server: Server, asset: Asset, tmp_path: Path) -> None:
    (tmp_path / "kit").write_text("mine")
    with pytest.raises(OutputError, match="kit"):
        fetch(asset, tmp_path / "kit", server.url)
    assert (tmp_path / "kit").read_text() == "mine"


def test_a_full_disk(server: Server, asset: Asset) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match="disk is full"):
        _fetch_to_device(server, asset, full)


def _fetch_to_device(server: Server, asset: Asset, device: Path) -> None:
    """As a download does, with its partial file on a device that is always full."""
    import httpx

    from au_d3dface.assets.download import _continue
    from au_d3dface.export.files import output_errors

    with httpx.Client() as client, output_errors(device):
        _continue(client, f"{server.url}/{asset.files[1].path}", asset.files[1], device, lambda done: None)


def test_interrupted_in_the_middle(server: Server, asset: Asset, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(asset, tmp_path, server.url, stop)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["LICENSE", f"a.obj{INCOMPLETE}"]
    fetch(asset, tmp_path, server.url)
    check_complete(tmp_path)


@pytest.fixture
def command(server: Server, asset: Asset, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("au_d3dface.assets.ict_facekit", lambda: asset)
    return ["assets", "ict-facekit", "--base-url", server.url]


def test_the_command(command: list[str], asset: Asset, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*command, "--output", str(tmp_path / "kit")]) == 0
    check_complete(tmp_path / "kit")
    shown = capsys.readouterr().out
    assert "3 files" in shown
    assert "MIT, nobody" in shown
    assert str(tmp_path / "kit") in shown


def test_the_command_fills_the_hugging_face_cache(
    command: list[str], asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert main([*command, "--quiet"]) == 0
    check_complete(tmp_path / "models--owner--kit" / "snapshots" / asset.revision)


@pytest.mark.parametrize(("trouble", "status"), [("404", 7), ("checksum", 6), ("folder", 5)])
def test_statuses_of_the_command(
    trouble: str, status: int, command: list[str], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if trouble == "404":
        server.content.clear()
    elif trouble == "checksum":
        server.content["LICENSE"] = b"MID\n"
    else:
        (tmp_path / "kit").write_text("a file")
    assert main([*command, "-o", str(tmp_path / "kit")]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("au-d3dface: error: ")
