"""Fetching an asset: every file checked against the manifest, continued where it was cut off, never half-written.

What has arrived of a file lies in `<name>.incomplete` beside it and gets the file's own name when all of it is there
and its SHA-256 is right. No more is written than the manifest says, whatever a server sends.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from ..errors import CheckpointError, MissingDependencyError
from ..export.files import output_errors
from . import Asset, AssetFile

INCOMPLETE = ".incomplete"
TIMEOUT = 20.0
"""Seconds without an answer, or without another byte, after which a connection counts as lost."""

RETRIES = 3
"""Times that a file is continued after a connection broke off or the server was busy."""

Progress = Callable[[int, int], None]
"""Called as progress(bytes there, bytes in all)."""


def fetch(
    asset: Asset,
    folder: Path,
    base_url: str | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    pause: float = 1.0,
) -> list[Path]:
    """Brings what is missing of an asset into a folder.

    Args:
        asset: what to fetch.
        folder: made where it is missing.
        base_url: address that the files' paths are below; None for the asset's own.
        progress: called as bytes arrive.
        timeout: seconds, see TIMEOUT.
        pause: seconds before a broken transfer is first continued; twice as many each further time.

    Returns:
        The files fetched now; those that were there already, and right, are not among them.

    Raises:
        MissingDependencyError: the server cannot be reached or has not the file.
        CheckpointError: what the server sends is not what the manifest says.
        OutputError: the folder cannot be written, or the disk is full.
    """
    base_url = (base_url or asset.url).rstrip("/")
    report = progress or (lambda done, total: None)
    fetched, done = [], 0
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        for file in asset.files:
            path = folder / file.path
            with output_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                if not (path.is_file() and path.stat().st_size == file.size and _sha256(path) == file.sha256):
                    start = done
                    _fetch_file(
                        client,
                        f"{base_url}/{file.path}",
                        file,
                        path,
                        lambda arrived, start=start: report(start + arrived, asset.size),
                        pause,
                    )
                    fetched.append(path)
            done += file.size
            report(done, asset.size)
    return fetched


def _fetch_file(
    client: httpx.Client, url: str, file: AssetFile, path: Path, report: Callable[[int], None], pause: float
) -> None:
    partial = path.with_name(path.name + INCOMPLETE)
    for attempt in range(RETRIES + 1):
        try:
            _continue(client, url, file, partial, report)
            break
        except (httpx.TransportError, httpx.HTTPStatusError, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            if attempt == RETRIES or not _may_pass(error):
                raise MissingDependencyError(
                    f"{url} cannot be fetched ({_reason(error)}): check the network or a proxy's settings and run the "
                    "same command again, which continues where it stopped; or fetch the files by other means and give "
                    "their folder"
                ) from error
            time.sleep(pause * 2**attempt)
    if partial.stat().st_size != file.size or _sha256(partial) != file.sha256:
        partial.unlink()
        raise CheckpointError(
            f"{url} is not the file that was expected (its size or checksum differs), so it was thrown away: run the "
            "command again, and if it says the same, the server or a proxy has another file"
        )
    os.replace(partial, path)


def _continue(client: httpx.Client, url: str, file: AssetFile, partial: Path, report: Callable[[int], None]) -> None:
    """Appends what is missing to the partial file; at most one byte too many, which shows that the size is wrong."""
    have = partial.stat().st_size if partial.exists() else 0
    if have >= file.size:
        return
    # A range counts the bytes of what is sent, so a continued file must come uncompressed; a whole one comes as text
    # compresses, in a quarter of the bytes.
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {}
    with client.stream("GET", url, headers=headers) as response:
        if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink()  # the server's file is shorter than what is here: begin anew, and see what it is
            raise httpx.RemoteProtocolError("the server has less of the file than was fetched earlier")
        response.raise_for_status()
        continued = response.status_code == httpx.codes.PARTIAL_CONTENT
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise httpx.RemoteProtocolError("the server answered with another part than was asked for")
        have = have if continued else 0  # a server that knows no ranges sends everything again
        with open(partial, "ab" if continued else "wb") as stream:
            for data in response.iter_bytes():  # as they arrive: of a broken transfer nothing is lost
                data = data[: file.size + 1 - have]
                stream.write(data)
                have += len(data)
                report(min(have, file.size))
                if have > file.size:
                    return


def _may_pass(error: Exception) -> bool:
    """Whether trying again soon makes sense: not where there is no connection, no such file, or no such address."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS or error.response.is_server_error
    return isinstance(error, httpx.ReadError | httpx.ReadTimeout | httpx.RemoteProtocolError)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answers {error.response.status_code} {error.response.reason_phrase}"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
