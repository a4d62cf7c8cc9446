"""Outcomes → what a terminal, a program or a spreadsheet reads."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clip_har.client import Outcome, PictureResult, ServiceProblem
from clip_har.errors import ClipHarError, ImageError

if TYPE_CHECKING:
    from rich.text import Text

COLUMNS = (
    *("path", "label", "confidence", "abstained", "calibrated", "label_set", "labels", "scores"),
    *("prediction_id", "model_id", "heat_map", "error"),
)
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR, _AT_ONCE = 20, 20
_LIST = "|"  # between the items of a cell


class Printer(Protocol):
    """Takes outcomes as they come."""

    def add(self, name: str, outcome: Outcome, heat_map: Path | None = None) -> None:
        """One more.

        Args:
            name: of the picture, as it was given.
            heat_map: the file that it was written to.
        """
        ...

    def close(self) -> None:
        """There are no more."""
        ...


class JsonLines:
    """A line of JSON for each."""

    def add(self, name: str, outcome: Outcome, heat_map: Path | None = None) -> None:
        print(json.dumps(as_json(name, outcome, heat_map), ensure_ascii=False), flush=True)

    def close(self) -> None:
        """Nothing is left."""


class Csv:
    """A row for each, under `COLUMNS`; lists with | between their items."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def add(self, name: str, outcome: Outcome, heat_map: Path | None = None) -> None:
        values = as_json(name, outcome, heat_map)
        scored = values["labels"]
        values["labels"], values["scores"] = [one["label"] for one in scored], [one["score"] for one in scored]
        if values["error"] is not None:
            values["error"] = f"{values['error']['code']}: {values['error']['detail']}"
        self._writer.writerow([_cell(values[column]) for column in COLUMNS])

    def close(self) -> None:
        sys.stdout.flush()


class Tables:
    """Tables with bars, some pictures at a time, so that many take no more memory than few."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._waiting: list[tuple[str, Outcome, Path | None]] = []
        self._begun = False

    def add(self, name: str, outcome: Outcome, heat_map: Path | None = None) -> None:
        self._waiting.append((name, outcome, heat_map))
        if len(self._waiting) >= _AT_ONCE:
            self._print()

    def close(self) -> None:
        if self._waiting:
            self._print()

    def _print(self) -> None:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, show_header=not self._begun, expand=True, pad_edge=False)
        table.add_column("picture", ratio=4, overflow="fold")
        table.add_column("action", ratio=3, overflow="fold")
        table.add_column("confidence", width=_BAR + 8, no_wrap=True)
        table.add_column("", ratio=4, overflow="fold")
        for name, outcome, heat_map in self._waiting:
            if isinstance(outcome, PictureResult):
                _add_rows(table, name, outcome, heat_map)
            else:
                table.add_row(plain(name), styled("–", "red"), "", styled(str(outcome), "red"))
            table.add_section()
        self._console.print(table)
        self._waiting, self._begun = [], True


class Lines:
    """A line for each, for what comes one by one."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)

    def add(self, name: str, outcome: Outcome, heat_map: Path | None = None) -> None:
        from rich.text import Text

        if isinstance(outcome, PictureResult):
            said = [plain(outcome.label or ""), bar(outcome.confidence or 0.0)]
            said += [styled(remark, "yellow")] if (remark := remarks(outcome)) else []
        else:
            said = [styled(str(outcome), "red")]
        self._console.print(Text("  ").join([plain(name), *said]))

    def close(self) -> None:
        """Nothing is left."""


def as_json(name: str, outcome: Outcome, heat_map: Path | None = None) -> dict[str, Any]:
    """All that is known of a picture, under the same names whether it was answered or not."""
    answer = outcome if isinstance(outcome, PictureResult) else None
    return {
        "path": name,
        "label": answer and answer.label,
        "confidence": answer and answer.confidence,
        "labels": [one.model_dump() for one in answer.labels] if answer else [],
        "abstained": answer and answer.abstained,
        "calibrated": answer and answer.calibrated,
        "label_set": answer and answer.label_set,
        "prediction_id": answer and answer.prediction_id,
        "model_id": answer and answer.model_id,
        "request_id": (answer.request_id or None) if answer else getattr(outcome, "request_id", None),
        "heat_map": None if heat_map is None else str(heat_map),
        "error": None if answer else {"code": code_of(outcome), "detail": str(outcome)},
    }


def code_of(error: Outcome) -> str:
    """Short name of what was wrong."""
    if isinstance(error, ServiceProblem):
        return error.code
    return error.reason if isinstance(error, ImageError) else "error"


def remarks(answer: PictureResult) -> str:
    """What else there is to say: the label set in words, and that the model abstains."""
    said = "not sure enough to say" if answer.abstained else ""
    others: Sequence[str] = answer.label_set or ()
    if len(others) > 1:
        said += f"{'; ' if said else ''}one of: {', '.join(others)}"
    return said


def bar(score: float) -> Text:
    """A probability as a bar and in per cent."""
    from rich.text import Text

    eighths = round(min(1.0, max(0.0, score)) * _BAR * 8)
    blocks = _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return Text.assemble((blocks.ljust(_BAR), "cyan"), f"{score * 100:6.1f} %")


def plain(text: str) -> Text:
    """A text without what a terminal, or rich, would obey: names and labels come from strangers."""
    return styled(text, "")


def styled(text: str, style: str) -> Text:
    """The same in a style."""
    from rich.text import Text

    return Text(
        "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text), style=style
    )


def _add_rows(table: Any, name: str, answer: PictureResult, heat_map: Path | None) -> None:
    remark = remarks(answer)
    if heat_map is not None:
        remark += f"{'; ' if remark else ''}heat map: {heat_map}"
    for place, one in enumerate(answer.labels):
        style = "dim" if place else "bold yellow" if answer.abstained else "bold"
        first = (plain(name), styled(remark, "yellow")) if place == 0 else ("", "")
        table.add_row(first[0], styled(one.label, style), bar(one.score), first[1])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return _LIST.join(f"{one:.6g}" if isinstance(one, float) else str(one) for one in value)
    return f"{value:.6g}" if isinstance(value, float) else value


def failed(outcome: Outcome) -> bool:
    """Whether there is no answer."""
    return isinstance(outcome, ClipHarError)
