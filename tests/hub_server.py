"""The Hub, small: repositories with commits, branches, tags, large files, tokens, and faults, over real HTTP.

What the client of `huggingface_hub` asks for is answered in the Hub's forms (https://huggingface.co/.well-known/openapi.json),
so that the real client works against it. Large files go through Git LFS's batch API, which the client uses where
HF_HUB_DISABLE_XET=1 is set.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writer", "hf_reader"  # both are the user `owner`; the second may only read
OWNER = "owner"
_LARGE = (".safetensors", ".parquet", ".onnx", ".pt2", ".bin", ".png", ".jpg")


@dataclass
class Commit:
    """A state of a repository: path → (bytes, whether it is a large file)."""

    files: dict[str, tuple[bytes, bool]]
    parent: str | None
    message: str

    @property
    def oid(self) -> str:
        listed = [f"{path} {hashlib.sha1(data).hexdigest()}" for path, (data, _) in sorted(self.files.items())]
        return hashlib.sha1("\n".join([str(self.parent), self.message, *listed]).encode()).hexdigest()


@dataclass
class Repository:
    """A repository with its history."""

    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, tuple[bytes, bool]], message: str) -> str:
        made = Commit(files, self.branches.get(branch), message)
        self.commits[made.oid] = made
        self.branches[branch] = made.oid
        return made.oid

    def at(self, revision: str) -> str | None:
        known = {**self.tags, **self.branches}
        return known.get(revision, revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Content at a revision, without what the Hub itself puts there."""
        files = self.commits[self.at(revision)].files
        return {path: data for path, (data, _) in files.items() if path != ".gitattributes"}


@dataclass
class Fault:
    """What goes wrong, and how often: a status, a connection that ends after some bytes of the request or answer, a wait."""

    method: str
    path: str  # a regular expression
    status: int | None = None
    after: int | None = None
    wait: float | None = None
    times: int = 1_000_000
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Hub:
    """The state of the server, for tests to look at and to spoil."""

    address: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    large_suffixes: tuple[str, ...] = _LARGE
    garbled: dict[str, bytes] = field(default_factory=dict)  # path → what arrives in the place of its content
    lock: threading.RLock = field(default_factory=threading.RLock)

    def model(self, name: str) -> Repository:
        return self.repositories["models", name]

    def dataset(self, name: str) -> Repository:
        return self.repositories["datasets", name]

    def create(
        self, kind: str, name: str, *, private: bool = False, files: dict[str, bytes] | None = None
    ) -> Repository:
        made = self.repositories[kind, name] = Repository(kind, name, private)
        content = {path: (data, path.endswith(_LARGE)) for path, data in (files or {}).items()}
        made.commit("main", {".gitattributes": (b"*.safetensors filter=lfs\n", False)} | content, "initial commit")
        return made

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A Hub without repositories, on a port of its own; `address` is for HF_ENDPOINT."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked.append(f"{self.command} /{path}")
        length = int(self.headers.get("Content-Length") or 0)
        fault = self.hub.fault(self.command, path)
        if fault is not None and fault.wait is not None:
            time.sleep(fault.wait)
            fault = None
        if fault is not None and fault.status is None and self.command in ("POST", "PUT"):
            self.rfile.read(min(fault.after or 0, length))
            self._hang_up()
            return
        body = self.rfile.read(length) if not self._chunked() else self._read_chunks()
        self._cut_after = fault.after if fault is not None and fault.status is None else None
        if fault is not None and fault.status is not None:
            self._error(fault.status, "made to fail", **fault.headers)
            return
        with self.hub.lock:
            self._route(path, body)

    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _read_chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    @property
    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _route(self, path: str, body: bytes) -> None:
        if self._token not in (None, WRITER, READER):
            self._error(
                401, "Invalid credentials in Authorization header", None, "Invalid credentials in Authorization header"
            )
        elif path.startswith("large/"):
            self._large(path.removeprefix("large/"), body)
        elif path == "api/repos/create":
            self._create(json.loads(body))
        elif path == "api/validate-yaml":
            self._validate(json.loads(body))
        elif path == "api/whoami-v2":
            self._json({"name": OWNER, "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}})
        else:
            self._find(path, body)

    def _find(self, path: str, body: bytes) -> None:
        for (kind, name), repository in self.hub.repositories.items():
            own = f"{kind}/{name}" if kind == "datasets" else name
            for base in (f"api/{kind}/{name}", own, f"{own}.git"):
                if path == base or path.startswith(f"{base}/"):
                    if repository.private and self._token is None:
                        break
                    self._repository(repository, path.removeprefix(base).strip("/"), body)
                    return
        self._error(401 if self._token is None else 404, "Repository not found", "RepoNotFound")

    def _repository(self, repository: Repository, rest: str, body: bytes) -> None:
        verb, _, argument = rest.partition("/")
        if self.command == "POST" and verb != "paths-info":
            self._write(repository, verb, argument, body)
            return
        if verb == "refs":
            named = {"branches": repository.branches, "tags": repository.tags}
            prefix = {"branches": "refs/heads", "tags": "refs/tags"}
            refs = {
                key: [{"name": n, "ref": f"{prefix[key]}/{n}", "targetCommit": oid} for n, oid in entries.items()]
                for key, entries in named.items()
            }
            self._json(refs | {"converts": []})
            return
        revision, file = self._revision(repository, argument or "main")
        commit = repository.at(revision)
        if commit is None:
            self._error(404, "Invalid rev id", "RevisionNotFound")
            return
        files = repository.commits[commit].files
        if verb in ("", "revision"):
            about = {"_id": "0" * 24, "id": repository.name, "sha": commit, "private": repository.private, "tags": []}
            siblings = [{"rfilename": path} for path in sorted(files)]
            self._json(about | {"siblings": siblings, "gated": False, "disabled": False, "downloads": 0, "likes": 0})
        elif verb == "tree":
            self._json(_listing(files, file, "recursive=true" in self.path.lower()))
        elif verb == "paths-info":
            wanted = json.loads(body or b"{}").get("paths", [])
            self._json([_entry(path, files[path]) for path in wanted if path in files])
        elif verb == "resolve" and file in files:
            data, large = files[file]
            headers = {"ETag": f'"{_oid(data, large)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            data = self.hub.garbled.get(file, data)
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if asked:
                start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
                headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
                data = data[start : end + 1]
            self._send(206 if asked else 200, data, headers | {"Content-Type": "application/octet-stream"})
        else:
            self._error(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit})

    def _revision(self, repository: Repository, argument: str) -> tuple[str, str]:
        """Revision and path; a branch's name may have slashes."""
        names = sorted([*repository.branches, *repository.tags], key=len, reverse=True)
        for name in names:
            if argument == name or argument.startswith(f"{name}/"):
                return name, argument.removeprefix(name).strip("/")
        revision, _, file = argument.partition("/")
        return revision, file

    def _may_write(self) -> bool:
        if self._token is None:
            self._error(401, "Invalid username or password.")
        elif self._token != WRITER:
            self._error(403, "You don't have the rights to write", None, "you need write access")
        else:
            return True
        return False

    def _create(self, wanted: dict[str, Any]) -> None:
        if not self._may_write():
            return
        owner = wanted.get("organization") or OWNER
        if owner != OWNER:
            self._error(403, f"You don't have the rights to create a repository under {owner}", None, "no rights")
            return
        kind, name = f"{wanted.get('type', 'model')}s", f"{owner}/{wanted['name']}"
        url = f"{self.hub.address}/{'datasets/' if kind == 'datasets' else ''}{name}"
        if (kind, name) in self.hub.repositories:
            self._json({"error": "You already created this repo", "url": url}, 409)
            return
        self.hub.create(kind, name, private=wanted.get("visibility") == "private" or wanted.get("private") is True)
        self._json({"url": url, "name": name, "id": "0" * 24})

    def _validate(self, wanted: dict[str, Any]) -> None:
        import yaml

        front = yaml.safe_load(wanted["content"].split("---")[1]) if wanted["content"].startswith("---") else {}
        if not re.fullmatch(r"[a-z0-9.-]+", str(front.get("license", "unknown"))):
            self._json({"errors": [{"message": '"license" must be one of […]'}], "warnings": []}, 400)
        else:
            self._json({"errors": [], "warnings": []})

    def _write(self, repository: Repository, verb: str, argument: str, body: bytes) -> None:
        if not self._may_write():
            return
        if verb == "info" and argument.endswith("objects/batch"):
            self._batch(json.loads(body))
        elif verb == "branch":
            if argument in repository.branches:
                self._error(409, "Reference already exists")
                return
            start = json.loads(body or b"{}").get("startingPoint", "main")
            repository.branches[argument] = repository.at(start)
            self._json({})
        elif verb == "tag":
            tag = json.loads(body)["tag"]
            if tag in repository.tags:
                self._error(409, "Tag reference exists already")
                return
            repository.tags[tag] = repository.at(argument)
            self._json({})
        elif verb == "preupload":
            self._preupload(repository, argument, json.loads(body))
        elif verb == "commit":
            self._commit(repository, argument, body)
        else:
            self._error(404, f"{verb} is not offered")

    def _preupload(self, repository: Repository, branch: str, wanted: dict[str, Any]) -> None:
        there = repository.commits[repository.branches[branch]].files
        answers = []
        for file in wanted["files"]:
            path = file["path"]
            large = path.endswith(self.hub.large_suffixes) or file["size"] > 10_000_000
            known = {"oid": _oid(*there[path])} if path in there else {}
            mode = "lfs" if large else "regular"
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False} | known)
        self._json({"files": answers})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = []
        for item in wanted["objects"]:
            upload = {"href": f"{self.hub.address}/large/{item['oid']}"}
            actions = {} if item["oid"] in self.hub.large else {"actions": {"upload": upload}}
            objects.append({"oid": item["oid"], "size": item["size"]} | actions)
        self._json({"transfer": "basic", "objects": objects})

    def _large(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self._error(400, "The content is not what was announced")
            return
        self.hub.large[oid] = body
        self.hub.uploaded.append(oid)
        self._json({})

    def _commit(self, repository: Repository, branch: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        head = repository.branches[branch]
        if header.get("parentCommit") not in (None, head):
            self._error(412, "The expected parent commit is not the branch's tip")
            return
        files = dict(repository.commits[head].files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = (base64.b64decode(value["content"]), False)
            elif line["key"] == "lfsFile":
                files[value["path"]] = (self.hub.large[value["oid"]], True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(branch, files, header["summary"])
        self._json(
            {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.address}/{repository.name}/commit/{oid}"}
        )

    def _json(self, value: object, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, message: str, code: str | None = None, said: str | None = None, **more: str) -> None:
        headers = {"Content-Type": "application/json"} | more
        headers |= {"X-Error-Code": code} if code else {}
        headers |= {"X-Error-Message": said} if said else {}
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        cut = getattr(self, "_cut_after", None)
        if self.command != "HEAD":
            self.wfile.write(data if cut is None else data[:cut])
        if cut is not None:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def _oid(data: bytes, large: bool) -> str:
    """A large file's sha256, else what `git hash-object` says."""
    if large:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, file: tuple[bytes, bool]) -> dict[str, Any]:
    data, large = file
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _oid(data, False)}
    if large:
        entry["lfs"] = {"oid": _oid(data, True), "size": len(data), "pointerSize": 134}
    return entry


def _listing(files: dict[str, tuple[bytes, bool]], below: str, recursive: bool) -> list[dict[str, Any]]:
    start = f"{below}/" if below else ""
    entries: list[dict[str, Any]] = []
    folders: set[str] = set()
    for path, file in sorted(files.items()):
        if not path.startswith(start):
            continue
        parts = path.removeprefix(start).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            folders.add(start + "/".join(parts[:depth]))
        if recursive or len(parts) == 1:
            entries.append(_entry(path, file))
    return entries + [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
