"""Weights & Biases: offline unless there is an API key; `wandb sync` sends an offline run later."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.hashing import sha256_bytes, sha256_file
from clip_har.tracking.tracker import PROJECT, RunIdentity, table_json
from clip_har.tracking.wandb_file import WandbRun, count_rows, is_ended, runs_in

if TYPE_CHECKING:
    import wandb

TAG = "tags/"
"""Before a tag's name, in the run's config: W&B's own tags have no values."""
DIGEST = "sha256/"
"""Before a kept file's path, in the run's summary."""
_LOCK = "clip-har.lock"
_RETRIES = 4
_SECONDS_TO_WRITE = 5.0
_LONGEST_NAME = 128


class WandbTracker:
    """Records a run in W&B. No global run is set, nothing is printed and nothing is asked.

    W&B cannot go on with an offline run. Where there is one of the same id (another process recorded the run's beginning, or
    was killed), what it holds is taken over into the new one, so that the newest always has everything.

    Args:
        folder: where W&B keeps its runs.
        project: the run's own if None.
        api_key: for the server; None takes the one in WANDB_API_KEY, and without any the run is offline.
        base_url: of the server; None: W&B's own, or WANDB_BASE_URL.
    """

    def __init__(
        self,
        folder: Path,
        project: str | None = None,
        entity: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
    ) -> None:
        self._folder, self._project, self._entity = Path(folder).absolute(), project, entity
        self._api_key = api_key or os.environ.get("WANDB_API_KEY") or None
        self._base_url = base_url
        self._run: wandb.Run | None = None
        self._lock: int | None = None
        self._superseded: list[Path] = []
        self._recorded: set[int] = set()
        self._shown: set[tuple[str, str]] = set()
        self._config: dict[str, Any] = {}
        self._parts: set[str] = set()
        self._rows = 0
        self._ended: float | None = None

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> WandbTracker:
        """The tracker that a stack's settings describe: `project_name`, `entity`, `api_key`, `base_url`, `folder`; all optional."""
        return cls(
            Path(settings.get("folder") or "wandb"),
            settings.get("project_name") or None,
            settings.get("entity") or None,
            settings.get("api_key") or None,
            settings.get("base_url") or None,
        )

    @property
    def online(self) -> bool:
        """Whether there is a key, and WANDB_MODE does not say otherwise."""
        return self._api_key is not None and os.environ.get("WANDB_MODE", "online") not in (
            "offline",
            "dryrun",
            "disabled",
        )

    def start(self, run: RunIdentity) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # an offline run tells nobody anything
        import wandb

        self._place.mkdir(parents=True, exist_ok=True)
        earlier = runs_in(self._place, run.id)
        while earlier and time.strftime("%Y%m%d_%H%M%S") in earlier[-1].folder.name:
            time.sleep(0.1)  # W&B would write into the same folder
        settings: dict[str, Any] = {
            "mode": "online" if self.online else "offline",
            "root_dir": str(self._place.parent),
            "run_id": run.id,
            "run_name": run.name[:_LONGEST_NAME],
            "project": self._project or run.project or PROJECT,
            "reinit": "create_new",
            "silent": True,
            "quiet": True,
            "console": "off",
            "disable_git": True,
            "disable_code": True,
            "save_code": False,
            "x_disable_stats": True,
            "x_disable_meta": True,
            "x_disable_machine_info": True,
            "x_save_requirements": False,
            "symlink": False,
            "init_timeout": 30.0,
            "x_graphql_retry_max": _RETRIES,
            "x_file_stream_retry_max": _RETRIES,
            "x_file_transfer_retry_max": _RETRIES,
        }
        if self.online:
            settings |= {"api_key": self._api_key, "resume": "allow"}
        if run.parent is not None:
            settings |= {"run_group": run.parent, "run_job_type": "trial"}
        settings |= {
            name: value for name, value in (("entity", self._entity), ("base_url", self._base_url)) if value is not None
        }
        self._run = wandb.init(settings=wandb.Settings(**settings))
        try:
            self._lock = os.open(self._own / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in earlier:
                self._take_over(part)
        except BaseException:  # it is tried again, and W&B has a run of an id once only
            self._run.finish(exit_code=1)
            raise

    @property
    def _place(self) -> Path:
        """The folder of W&B's that is named "wandb" in any case."""
        return self._folder if self._folder.name == "wandb" else self._folder / "wandb"

    @property
    def _own(self) -> Path:
        """W&B's folder of this run."""
        return Path(self._run.dir).parent

    def _take_over(self, part: WandbRun) -> None:
        """Record again what an earlier process recorded of this run."""
        for row in part.history:
            self._note(row)
        if self.online:  # the server has it, and goes on with the run
            self._config |= part.config
            return
        self._update_config(part.config)
        for path in part.files:
            if (part.folder / "files" / path).is_file():
                self._keep(part.folder / "files" / path, path)
        for row in part.history:
            self._log({key: value for key, value in row.items() if key not in ("_step", "_runtime")})
        self._superseded.append(part.folder)

    def _note(self, row: dict[str, Any]) -> None:
        """Remember what is recorded already, in order not to do it again."""
        self._recorded.add(_identity_of(row))
        for key, value in row.items():
            if isinstance(value, dict):
                self._shown.add((key, str(value.get("sha256"))))

    def params(self, values: dict[str, Any]) -> None:
        self._update_config({key: value for key, value in values.items() if key not in self._config})

    def _update_config(self, values: dict[str, Any]) -> None:
        if values:
            self._config |= values
            self._run.config.update(values, allow_val_change=True)

    def metrics(self, values: dict[str, float], step: int, time: float) -> None:
        row = values | {_step_key(key): step for key in values} | {"_timestamp": time}
        if _identity_of(row) not in self._recorded:
            self._note(row)
            self._log(row)

    def _log(self, row: dict[str, Any]) -> None:
        self._define(key for key, value in row.items() if not key.startswith("_") and not isinstance(value, dict))
        self._log_row(row)

    def _log_row(self, row: dict[str, Any]) -> None:
        self._rows += 1
        self._run.log(row)

    def _define(self, keys: Iterable[str]) -> None:
        """Have W&B draw each part's figures over the part's own step: steps of several parts do not grow in one row."""
        for key in keys:
            step = _step_key(key)
            name = f"{step.removesuffix('step')}*" if "/" in key else key
            if name not in self._parts and name != step:
                self._parts.add(name)
                self._run.define_metric(step, hidden=True)
                self._run.define_metric(name, step_metric=step)

    def figure(self, name: str, png: bytes) -> None:
        import wandb

        digest = sha256_bytes(png)
        path = self._write(f"figures/{name}.png", png, digest)
        if self._is_new(name, digest):
            self._log_row({name: wandb.Image(str(path))})

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        content = table_json(columns, rows)
        digest = sha256_bytes(content)
        self._write(f"tables/{name}.json", content, digest)
        if self._is_new(name, digest):  # as wandb.Table says it, but that keeps its content outside of the run's folder
            shown = f"media/table/{name}_{digest[:20]}.table.json"
            self._write(shown, content, digest)
            sizes = {"size": len(content), "ncols": len(columns), "nrows": len(rows)}
            self._log_row({name: {"_type": "table-file", "path": shown, "sha256": digest, **sizes}})

    def _is_new(self, name: str, digest: str) -> bool:
        """Whether a picture or a table is not on the run's page yet."""
        known = (name, digest) in self._shown
        self._shown.add((name, digest))
        return not known

    def artifact(self, path: Path, folder: str = "") -> None:
        name = f"{folder}/{path.name}".lstrip("/")
        if path.is_dir():
            self._keep_folder(path, name)
        else:
            self._keep(path, name)

    def tags(self, values: dict[str, str]) -> None:
        changed = {TAG + key: value for key, value in values.items() if self._config.get(TAG + key) != value}
        self._update_config(changed)

    def model(self, path: Path, name: str) -> None:
        self._keep_folder(path, f"models/{name}")

    def _keep_folder(self, path: Path, name: str) -> None:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                self._keep(file, f"{name}/{file.relative_to(path).as_posix()}")

    def _write(self, name: str, content: bytes, digest: str) -> Path:
        place = self._free(name)
        place.write_bytes(content)
        self._save(place, name, digest)
        return place

    def _keep(self, path: Path, name: str) -> None:
        place = self._free(name)
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)
        self._save(place, name, sha256_file(place))

    def _free(self, name: str) -> Path:
        """Where a file of the run is to lie; an older one there is taken away, not written into: it may be a link."""
        place = Path(self._run.dir) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        return place

    def _save(self, place: Path, name: str, digest: str) -> None:
        self._run.save(str(place), base_path=self._run.dir, policy="now", glob=False)
        self._run.summary[f"{DIGEST}{name}"] = digest

    def finish(self, succeeded: bool = True) -> None:
        self._end(0 if succeeded else 1)

    def leave(self) -> None:
        """Write everything out, and let another process go on."""
        self._end(0)

    def _end(self, exit_code: int) -> None:
        if self._ended is None:
            self._ended = time.monotonic()
            self._run.finish(exit_code=exit_code)
            os.close(self._lock)
        self._check(self._ended + _SECONDS_TO_WRITE)
        for folder in self._superseded:
            if not _in_use(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _check(self, until: float) -> None:
        """See that W&B wrote what it was told: with a full disk it says nothing.

        Raises:
            OSError: if something is missing when the clock says `until`.
        """
        file = self._own / f"run-{self._run.id}.wandb"
        while not (ended := is_ended(file)) and time.monotonic() < until:
            time.sleep(0.1)
        if (missing := self._rows - count_rows(file)) > 0 or not ended:
            raise OSError(f"W&B did not write {max(missing, 0)} of {self._rows} rows into {file}; is the disk full?")

    def link(self) -> str | None:
        if self._run is None:
            return None
        return self._run.url if self.online else f"wandb sync {self._own}"


def _step_key(key: str) -> str:
    """The metric that holds the step of another: that of its part, the text before the first slash."""
    part, slash, _ = key.partition("/")
    return f"{part}/step" if slash else "step"


def _identity_of(row: dict[str, Any]) -> int:
    """A number for a row's keys, steps and time."""
    keys = sorted(key for key in row if not key.startswith("_"))
    steps = {key: row[key] for key in keys if _step_key(key) == key}
    return hash((*keys, *steps.items(), row.get("_timestamp")))


def _in_use(folder: Path) -> bool:
    """Whether a living process records there."""
    with suppress(FileNotFoundError):
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
