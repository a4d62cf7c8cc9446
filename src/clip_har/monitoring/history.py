"""What monitoring has found so far: a row a run, and the state of each model.

    <workspace>/monitoring/
      history/<run>.json   the run's DriftReport without pictures, with `run`, `number`, `time`, `retraining`, `state_after`
      state.json           the state of each model: what the decision on the next window begins from
      history.lock         held by the one process that writes

Writing a row is the one step that makes a window count. `state.json` follows it; a row that it has not taken in yet, because
its writer was killed in between, is taken in by the next who reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from clip_har.component import ComponentConfig
from clip_har.monitoring.config import DecisionConfig
from clip_har.monitoring.decision import MonitoringState, decide
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.report import DriftReport
from clip_har.storage import exclusive, write_json

FOLDER = "monitoring"
_STATE, _ROWS, _LOCK = "state.json", "history", "history.lock"
_OWN = ("run", "number", "time", "retraining", "state_after")
_MODELS = 50  # whose states are kept
_CLOCK_SECONDS = 5.0  # by which times of files may be wrong


class Retraining(ComponentConfig):
    """What came of a wish to train again."""

    outcome: Literal["promoted", "kept", "labels wanted", "not possible", "failed"] = Field(
        description="promoted: the new model is the champion; kept: the old one is; labels wanted: too few are there."
    )
    said: tuple[str, ...] = Field((), description="What happened, in sentences.")
    labels: int = Field(0, ge=0, description="Labelled pictures that were not trained on before.")
    wanted: int = Field(0, ge=0, description="How many are asked for.")
    sheet: str | None = Field(None, description="Folder of the labelling sheet that was made.")
    data_before: str | None = Field(None, description="Version of the data that the model was trained on.")
    data: str | None = Field(None, description="The new version.")
    model_before: str | None = Field(None, description="The champion before.")
    model: str | None = Field(None, description="The new model.")
    runs: dict[str, str] = Field({}, description="Pipeline → its run.")
    figures: dict[str, float | None] = Field({}, description="Of the comparison with the champion.")


class HistoryRow(ComponentConfig):
    """One run of `monitor`."""

    run: str = Field(description="Its name.")
    number: int = Field(ge=1, description="In order, from 1 on.")
    time: str = Field(description="When it was decided; ISO 8601 in UTC.")
    report: DriftReport = Field(description="What was found, without pictures.")
    retraining: Retraining | None = Field(None, description="What came of it, where it was to train again.")
    state_after: MonitoringState = Field(description="The model's state after this window.")


class _States(ComponentConfig):
    number: int = Field(0, ge=0, description="Of the last row that is in it.")
    models: tuple[MonitoringState, ...] = Field((), description="A state a model; the last looked at is last.")

    def of(self, model_id: str) -> MonitoringState | None:
        """A model's state."""
        return next((state for state in self.models if state.model_id == model_id), None)

    def without(self, model_id: str | None) -> _States:
        """All but a model's state."""
        return self.model_copy(update={"models": tuple(one for one in self.models if one.model_id != model_id)})


class History:
    """The history in a workspace. Nothing is made on disk before the first window is decided."""

    def __init__(self, workspace: str | Path) -> None:
        self.folder = Path(workspace).absolute() / FOLDER

    def state(self, model_id: str) -> MonitoringState | None:
        """The state of a model; None if no window of it was decided."""
        return self._states().of(model_id)

    def rows(self, model_id: str | None = None, most: int | None = None) -> list[HistoryRow]:
        """The runs, the oldest first.

        Args:
            model_id: only this model's.
            most: so many at most, the latest.
        """
        found = [row for row in map(_read_row, self._files()) if row is not None]
        kept = sorted((row for row in found if model_id in (None, row.report.model_id)), key=lambda row: row.number)
        return kept if most is None else kept[len(kept) - min(most, len(kept)) :]

    def decide(self, run: str, report: DriftReport, config: DecisionConfig) -> DriftReport:
        """Decide on a window and write that down; gives the report with the decision.

        A second time under the same name, it gives what was decided the first time.
        """
        with self._writing():
            states = self._states()
            if (done := _read_row(self._place(run))) is not None:
                return report.model_copy(update={"decided": done.report.decided})
            decided, after = decide(report, states.of(report.model_id), config)
            report = report.model_copy(update={"decided": decided})
            row = HistoryRow(
                run=run,
                number=states.number + 1,
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                report=_without_pictures(report),
                state_after=after,
            )
            self._write(row)
            self._write_states(_with(states, row))
            self._prune(config.history)
        return report

    def retrained(self, run: str, retraining: Retraining) -> None:
        """Write down what came of a run's wish to train again.

        Where another model has taken its place, the old one's state is forgotten: should it come back, it starts anew.
        """
        with self._writing():
            states = self._states()
            if (row := _read_row(self._place(run))) is not None:
                self._write(row.model_copy(update={"retraining": retraining}))
            if retraining.outcome == "promoted":
                states = states.without(retraining.model_before)
            self._write_states(states)

    def _place(self, run: str) -> Path:
        return self.folder / _ROWS / f"{run}.json"

    def _files(self) -> list[Path]:
        return [path for path in (self.folder / _ROWS).glob("*.json") if not path.name.startswith(".")]

    def _states(self) -> _States:
        """What `state.json` says, with the rows that it has not taken in yet."""
        path, since = self.folder / _STATE, 0.0
        try:
            since = path.stat().st_mtime - _CLOCK_SECONDS
            states = _States.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            states = _States()
        except (OSError, ValidationError) as error:
            raise MonitoringError(
                f"{path} cannot be read: {error}. Without the file, it is made again from {path.parent / _ROWS}."
            ) from error
        later = [_read_row(place) for place in self._files() if place.stat().st_mtime >= since]
        for row in sorted((row for row in later if row is not None), key=lambda row: row.number):
            if row.number > states.number:
                states = _with(states, row)
        return states

    def _write(self, row: HistoryRow) -> None:
        own = row.model_dump(mode="json", exclude={"report"})
        write_json(self._place(row.run), row.report.model_dump(mode="json") | own)

    def _write_states(self, states: _States) -> None:
        write_json(self.folder / _STATE, states.model_dump(mode="json"))

    def _prune(self, kept: int) -> None:
        if len(self._files()) <= kept:
            return
        rows = self.rows()
        for row in rows[: max(0, len(rows) - kept)]:
            self._place(row.run).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock, with what a killed writer left cleared away."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / _LOCK):
            for folder in (self.folder, self.folder / _ROWS):
                for path in folder.glob(".*.partial"):
                    path.unlink(missing_ok=True)
            yield


def _with(states: _States, row: HistoryRow) -> _States:
    models = (*states.without(row.report.model_id).models, row.state_after)
    return _States(number=row.number, models=models[-_MODELS:])


def _read_row(path: Path) -> HistoryRow | None:
    """A row's file; None if there is none.

    Raises:
        MonitoringError: if it is not what it should be.
    """
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own = {name: raw.pop(name, None) for name in _OWN}
        return HistoryRow.model_validate({**own, "report": raw})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise MonitoringError(f"{path} cannot be read: {error}. Take it away, and monitoring goes on.") from error


def _without_pictures(report: DriftReport) -> DriftReport:
    bare = {
        name: tuple(example.model_copy(update={"picture": ""}) for example in getattr(report, name))
        for name in ("farthest", "nearest")
    }
    return report.model_copy(update=bare)
