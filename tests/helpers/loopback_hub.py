"""A small Hugging Face Hub on this computer: enough of its HTTP interface to push repositories and to load them back.

Repositories are kept in memory: `hub.files("models", "me/face")` is a dict of paths and bytes. Small text files are
committed as they are, others through git LFS. The card of every commit is checked as the Hub does (validate-yaml).
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_loopback"
USER, ORGANISATION, STRANGER = "me", "my-group", "somebody-else"
KINDS = ("models", "datasets", "spaces")

LICENCES = {"apache-2.0", "mit", "cc-by-nc-4.0", "other"}
"""Identifiers of the Hub's list, as many as the project uses."""

PIPELINE_TAGS = {"image-to-3d", "video-classification"}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def card_errors(content: str, kind: str) -> list[str]:
    """What the Hub would refuse of a card: `kind` is "model", "dataset" or "space"."""
    parts = content.split("---\n")
    if len(parts) < 3 or parts[0].strip():
        return ["there is no front matter"]
    front = yaml.safe_load(parts[1])
    if not isinstance(front, dict):
        return ["the front matter holds no names and values"]
    errors = []
    if front.get("license") not in LICENCES:
        errors.append(f"license: {front.get('license')!r} is not of the list")
    if front.get("license") == "other" and not front.get("license_name"):
        errors.append("license_name: is needed where license is other")
    for name in ("tags", "datasets", "task_categories", "size_categories"):
        values = front.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            errors.append(f"{name}: must be a list of strings")
    if kind == "model" and front.get("pipeline_tag", "image-to-3d") not in PIPELINE_TAGS:
        errors.append(f"pipeline_tag: {front['pipeline_tag']!r} is not of the list")
    for model in front.get("model-index", []):
        for result in model["results"]:
            named = {"task": ("type",), "dataset": ("type", "name")}
            missing = [f"{part}.{name}" for part, names in named.items() for name in names if name not in result[part]]
            missing += [
                f"metrics.{name}" for each in result["metrics"] for name in ("type", "value") if name not in each
            ]
            errors += [f"model-index: {name} is missing" for name in missing]
    if kind == "space":
        if front.get("sdk") not in ("gradio", "docker", "static") or not str(front.get("app_file", "")):
            errors.append("sdk, app_file: a Space needs them")
        errors += [f"{name}: not a colour" for name in ("colorFrom", "colorTo") if front.get(name) not in COLOURS]
        if len(front.get("short_description", "")) > 60:
            errors.append("short_description: longer than 60 characters")
    return errors


class LoopbackHub:
    """The server; its address is `endpoint`."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], dict[str, bytes]] = {("models", f"{STRANGER}/face"): {}}
        self.settings: dict[tuple[str, str], dict] = {}
        self.messages: dict[tuple[str, str], list[str]] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.full = False  # whether large files are refused
        hub = self

        class Handler(_Handler):
            server_of = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def files(self, kind: str, repo_id: str) -> dict[str, bytes]:
        return self.repositories[kind, repo_id]

    def commit_of(self, key: tuple[str, str]) -> str:
        digest = hashlib.sha1()
        for path, content in sorted(self.repositories[key].items()):
            digest.update(path.encode() + b"\0" + hashlib.sha256(content).digest())
        return digest.hexdigest()


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    """A running Hub."""
    hub = LoopbackHub()
    thread = threading.Thread(target=hub.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str) -> bool:
    return not path.endswith((".md", ".json", ".py", ".txt", "NOTICE"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: LoopbackHub

    def log_message(self, *_) -> None:
        pass

    def _answer(self, status: int, content: object = None, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, why: str, code: str | None = None) -> None:
        headers = {"X_Error_Message": why} | ({"X_Error_Code": code} if code else {})
        self._answer(status, {"error": why}, **headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _may_write(self, repo_id: str) -> bool:
        return self._known and repo_id.split("/")[0] in (USER, ORGANISATION)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server_of, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        if path == "/api/whoami-v2":
            if not self._known:
                return self._refuse(401, "Invalid username or password.")
            return self._answer(200, {"type": "user", "name": USER, "orgs": [{"name": ORGANISATION}]})
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            return self._about(parts[1], "/".join(parts[2:4]), parts[4:])
        kind = parts.pop(0) if parts[0] in KINDS else "models"
        repo_id, verb, _, *rest = "/".join(parts[:2]), parts[2], parts[3], *parts[4:]
        files = hub.repositories.get((kind, repo_id))
        if files is None or verb not in ("resolve", "raw"):
            return self._refuse(404, "Repository not found", "RepoNotFound")
        commit = hub.commit_of((kind, repo_id))
        name = "/".join(rest)
        if name not in files:
            return self._refuse_entry(commit)
        etag = hashlib.sha256(files[name]).hexdigest() if is_large(name) else blob_id(files[name])
        linked = {"X_Linked_Etag": f'"{etag}"', "X_Linked_Size": str(len(files[name]))} if is_large(name) else {}
        return self._answer(
            200, files[name], ETag=f'"{etag}"', X_Repo_Commit=commit, Content_Type="application/octet-stream", **linked
        )

    def _refuse_entry(self, commit: str) -> None:
        self._answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)

    def _about(self, kind: str, repo_id: str, rest: list[str]) -> None:
        hub, key = self.server_of, (kind, repo_id)
        if key not in hub.repositories:
            return self._refuse(404, "Repository not found", "RepoNotFound")
        files = hub.repositories[key]
        if rest[:1] == ["tree"]:
            folder = "".join(f"{part}/" for part in rest[2:])
            found = [self._entry(name, content) for name, content in files.items() if name.startswith(folder)]
            return self._answer(200, found)
        front = yaml.safe_load(files["README.md"].decode().split("---\n")[1]) if "README.md" in files else {}
        return self._answer(
            200,
            {
                "id": repo_id, "modelId": repo_id, "sha": hub.commit_of(key), "private": False, "tags": [],
                "siblings": [{"rfilename": name} for name in files], "cardData": front,
                "pipeline_tag": front.get("pipeline_tag"), "library_name": front.get("library_name"),
            },
        )  # fmt: skip

    @staticmethod
    def _entry(name: str, content: bytes) -> dict:
        entry = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
        if is_large(name):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        return entry

    def do_PUT(self) -> None:
        hub, body = self.server_of, self._body()
        digest = urlsplit(self.path).path.rsplit("/", 1)[1]
        hub.requests.append(f"PUT {digest}")
        if hub.full:
            return self._refuse(413, "there is no room for this file")
        if hashlib.sha256(body).hexdigest() != digest:
            return self._refuse(422, "the content has another SHA-256")
        hub.objects[digest] = body
        return self._answer(200, {})

    def do_POST(self) -> None:
        hub, body = self.server_of, self._body()
        url = urlsplit(self.path)
        path = unquote(url.path)
        hub.requests.append(f"POST {path}")
        if not self._known:
            return self._refuse(401, "Invalid username or password.")
        parts = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            asked = json.loads(body)
            errors = card_errors(asked["content"], asked["repoType"])
            return self._answer(
                400 if errors else 200, {"errors": [{"message": one} for one in errors], "warnings": []}
            )
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for one in objects:
                if one["oid"] not in hub.objects:
                    one["actions"] = {"upload": {"href": f"{hub.endpoint}/lfs/{one['oid']}"}}
            return self._answer(200, {"transfer": "basic", "objects": objects})
        kind, repo_id, verb = parts[1], "/".join(parts[2:4]), parts[4]
        if (kind, repo_id) not in hub.repositories:
            return self._refuse(404, "Repository not found", "RepoNotFound")
        proposed = parse_qs(url.query).get("create_pr") == ["1"]
        if not self._may_write(repo_id) and not proposed:
            return self._refuse(403, f"You have no write access to {repo_id}")
        if verb == "preupload":
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if is_large(one["path"]) else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": modes})
        if verb == "branch":
            return self._answer(200, {})
        assert verb == "commit", path
        return self._commit((kind, repo_id), [json.loads(line) for line in body.splitlines() if line], proposed)

    def _create(self, asked: dict) -> None:
        hub = self.server_of
        repo_id = f"{asked.get('organization') or USER}/{asked['name']}"
        key = (f"{asked.get('type') or 'model'}s", repo_id)
        if not self._may_write(repo_id):
            return self._refuse(403, f"You don't have the rights to create a {key[0]} under {repo_id.split('/')[0]}")
        prefix = "" if key[0] == "models" else f"{key[0]}/"
        told = {"url": f"{hub.endpoint}/{prefix}{repo_id}", "id": repo_id, "name": repo_id}
        if key in hub.repositories:
            return self._answer(409, told | {"error": "You already created this repo"})
        hub.repositories[key], hub.settings[key] = {}, asked
        return self._answer(200, told)

    def _commit(self, key: tuple[str, str], lines: list[dict], proposed: bool) -> None:
        hub = self.server_of
        prefix = "" if key[0] == "models" else f"{key[0]}/"
        where = f"{hub.endpoint}/{prefix}{key[1]}"
        if proposed:  # a pull request changes nothing yet
            told = {"commitOid": "0" * 40, "commitUrl": f"{where}/commit/{'0' * 40}"}
            return self._answer(200, told | {"pullRequestUrl": f"{where}/discussions/1"})
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                hub.messages.setdefault(key, []).append(value["summary"])
            elif line["key"] == "file":
                hub.repositories[key][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                hub.repositories[key][value["path"]] = hub.objects[value["oid"]]
            else:
                return self._refuse(400, f"unknown operation {line['key']}")
        commit = hub.commit_of(key)
        return self._answer(200, {"success": True, "commitOid": commit, "commitUrl": f"{where}/commit/{commit}"})
