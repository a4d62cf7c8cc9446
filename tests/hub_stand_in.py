"""A stand-in for the Hugging Face Hub on this machine: real HTTP, with folders behind the ids."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@contextmanager
def hub_stand_in(models: dict[str, Path], datasets: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as repositories; yields (address for HF_ENDPOINT, the list of requests that were answered).

    Args:
        models, datasets: id → folder with the repository's files.
    """
    asked: list[str] = []
    repositories = {("models", name): folder for name, folder in models.items()}
    repositories |= {("datasets", name): folder for name, folder in datasets.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}"))

        def _answer(self, body: dict | None = None) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            asked.append(f"{self.command} /{path}")
            for (kind, name), folder in repositories.items():
                for base in (f"api/{kind}/{name}", f"{kind}/{name}" if kind == "datasets" else name):
                    if path == base or path.startswith(f"{base}/"):
                        self._repository(kind, name, folder, path.removeprefix(base).strip("/"), body)
                        return
            self._send(404, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})

        def _repository(self, kind: str, name: str, folder: Path, rest: str, body: dict | None) -> None:
            verb, _, argument = rest.partition("/")
            revision, _, file = argument.partition("/")
            if revision and revision not in ("main", _commit(folder)):
                self._send(404, b'{"error":"Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
            elif verb in ("", "revision"):
                siblings = [{"rfilename": path} for path in _files(folder)]
                about = {"_id": "0" * 24, "id": name, "sha": _commit(folder), "siblings": siblings, "tags": []}
                self._json(about | {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0})
            elif verb == "tree" and (folder / file).is_dir():
                self._json(_listing(folder, file, recursive="recursive=true" in self.path.lower()))
            elif verb == "paths-info":
                wanted = (body or {}).get("paths", [])
                self._json([_entry(folder, path) for path in _files(folder) if path in wanted])
            elif verb == "resolve" and (folder / file).is_file():
                data = (folder / file).read_bytes()
                headers = {"ETag": f'"{_digest(data)}"', "X-Repo-Commit": _commit(folder), "Accept-Ranges": "bytes"}
                self._send(200, data, headers | {"Content-Type": "application/octet-stream"})
            elif verb in ("resolve", "tree"):
                self._send(
                    404,
                    b'{"error":"Entry not found"}',
                    {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": _commit(folder)},
                )
            else:
                self._send(404, b"{}", {})

        def _json(self, value: object) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def _commit(folder: Path) -> str:
    return _digest("\n".join(f"{path} {_digest((folder / path).read_bytes())}" for path in _files(folder)).encode())


def _listing(folder: Path, below: str, *, recursive: bool) -> list[dict]:
    """What lies in a folder of a repository: files and folders."""
    start = folder / below
    found = sorted(start.rglob("*") if recursive else start.iterdir())
    return [
        _entry(folder, path.relative_to(folder).as_posix())
        if path.is_file()
        else {"type": "directory", "path": path.relative_to(folder).as_posix(), "oid": "0" * 40, "size": 0}
        for path in found
    ]


def _entry(folder: Path, path: str) -> dict:
    data = (folder / path).read_bytes()
    return {"type": "file", "path": path, "size": len(data), "oid": _digest(data)}
