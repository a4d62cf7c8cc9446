"""A small MLflow tracking server that can be killed and started again: as much of its REST interface as a run needs."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_API = "/api/2.0/mlflow/"


class MlflowStandIn:
    """What it knows outlives its being dead.

    Args:
        folder: where artifacts lie; clients write there themselves.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                address = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                given = json.loads(self.rfile.read(length)) if length else {}
                given |= {key: values[0] for key, values in parse_qs(address.query).items()}
                status, value = stand_in.handle(address.path.removeprefix(_API), given)
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *arguments: Any) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, method: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests += 1
        match method:
            case "experiments/get-by-name":
                name = given["experiment_name"]
                if name not in self.experiments:
                    return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": name}
                return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name}}
            case "experiments/create":
                self.experiments[given["name"]] = str(len(self.experiments) + 1)
                return 200, {"experiment_id": self.experiments[given["name"]]}
            case "runs/search":
                key, value = re.fullmatch(r"tags\.`(.+)` = '(.*)'", given["filter"]).groups()
                found = [run for run in self.runs.values() if run["tags"].get(key) == value]
                return 200, {"runs": [self._shown(run) for run in found]}
            case "runs/create":
                number = f"{len(self.runs):032x}"
                tags = {tag["key"]: tag["value"] for tag in given["tags"]}
                self.runs[number] = {"id": number, "tags": tags, "params": {}, "metrics": set(), "status": "RUNNING"}
                return 200, {"run": self._shown(self.runs[number])}
            case "runs/get":
                return 200, {"run": self._shown(self.runs[given["run_id"]])}
            case "runs/update":
                self.runs[given["run_id"]]["status"] = given["status"]
                return 200, {"run_info": self._shown(self.runs[given["run_id"]])["info"]}
            case "runs/log-batch":
                run = self.runs[given["run_id"]]
                for kind in ("params", "tags"):
                    run[kind] |= {entry["key"]: entry["value"] for entry in given.get(kind, [])}
                for entry in given.get("metrics", []):
                    point = (entry["key"], int(entry["step"]), int(entry["timestamp"]), float(entry["value"]))
                    run["metrics"].add(point)
                return 200, {}
            case "runs/set-tag":
                self.runs[given["run_id"]]["tags"][given["key"]] = given["value"]
                return 200, {}
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": method}

    def _shown(self, run: dict[str, Any]) -> dict[str, Any]:
        info = {"run_id": run["id"], "run_uuid": run["id"], "experiment_id": "1", "status": run["status"]}
        info |= {"artifact_uri": (self.folder / run["id"]).as_uri(), "start_time": 1, "lifecycle_stage": "active"}
        listed = {kind: [{"key": key, "value": run[kind][key]} for key in run[kind]] for kind in ("params", "tags")}
        return {"info": info, "data": listed}
