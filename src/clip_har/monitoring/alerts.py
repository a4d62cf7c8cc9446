"""Telling somebody: a JSON that Slack's incoming webhooks, and what imitates them, take.

https://api.slack.com/messaging/webhooks; the address comes from the environment and is written nowhere.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.monitoring.config import AlertConfig
from clip_har.monitoring.history import Retraining
from clip_har.monitoring.report import DriftReport

_TRIES, _PAUSE_SECONDS = 2, 1.0
_HEADER, _TEXT = 150, 2900  # characters that Slack takes in a header, and nearly those of a section
_SYMBOLS = {"ok": "🟢", "watch": "🟡", "retrain": "🔴"}


class Outcome(ComponentConfig):
    """What came of an alert."""

    status: Literal["sent", "not wanted", "no address", "failed"] = Field(description="What came of it.")
    said: str = Field(description="The same in a sentence, without the address.")


def alert(report: DriftReport, config: AlertConfig, links: Mapping[str, str]) -> Outcome:
    """Tell of a decision, if that is wanted. A webhook's failure is told, never raised.

    Args:
        report: with its decision.
        links: in words ("report") → path or URL.
    """
    decided = report.decided
    changed = decided is not None and decided.state != (decided.before or "ok")
    if not {"change": changed, "alarm": report.alarm, "always": True}[config.on]:
        return Outcome(status="not wanted", said=f"No alert: alerts are sent on {config.on}.")
    return _post(message(report, links), config)


def alert_of_retraining(report: DriftReport, retraining: Retraining, config: AlertConfig) -> Outcome:
    """Tell what came of training again."""
    heading = f"Retraining of {_model(report)}: {retraining.outcome}"
    blocks = [_header(heading), *_section(_escaped("\n".join(retraining.said)))]
    return _post({"text": _escaped(heading), "blocks": blocks}, config)


def message(report: DriftReport, links: Mapping[str, str]) -> dict[str, Any]:
    """What is sent: `text` for notifications, `blocks` for the channel."""
    decided, window = report.decided, report.window
    state = decided.state if decided else "ok"
    before = decided.before if decided else None
    became = f"{before} → {state}" if before not in (None, state) else state
    heading = f"{_SYMBOLS[state]} {_model(report)}: {became}"
    found = report.said or ("No check found drift.",)
    facts = [
        ("Window", f"{window.pictures:,} pictures, {window.first or '?'} to {window.last or '?'}"),
        ("Alarms", ", ".join(check.title for check in report.alarmed) or "none"),
        ("Changed since", report.changed_since or "not known"),
        *_accuracy(report),
    ]
    blocks = [
        _header(heading),
        *_section("\n".join(f"• {_escaped(sentence)}" for sentence in found)),
        *_section("\n".join(_escaped(reason) for reason in (decided.reasons if decided else ()))),
        {
            "type": "section",
            "fields": [{"type": "mrkdwn", "text": f"*{name}*\n{_escaped(value)}"[:_TEXT]} for name, value in facts],
        },
    ]
    if links:
        told = "\n".join(f"{name}: {_escaped(place)}" for name, place in links.items())
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": told[:_TEXT]}]})
    return {"text": _escaped(f"{heading}. {found[0]}"), "blocks": blocks}


def _model(report: DriftReport) -> str:
    return f"{report.method} ({report.model_id[:12]})"


def _accuracy(report: DriftReport) -> list[tuple[str, str]]:
    accuracy = report.accuracy
    if accuracy is None:
        return []
    found = [("Accuracy of the reference", accuracy.reference)]
    found += [("Estimated accuracy", accuracy.estimated), ("Measured accuracy", accuracy.measured)]
    return [
        (name, f"{100 * value.value:.1f} % ({100 * value.low:.1f} to {100 * value.high:.1f})")
        for name, value in found
        if value is not None
    ]


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text[:_HEADER], "emoji": True}}


def _section(text: str) -> Sequence[dict[str, Any]]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text[:_TEXT]}}] if text else []


def _escaped(text: str) -> str:
    """https://api.slack.com/reference/surfaces/formatting#escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would become a GET that says all is well."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(content: dict[str, Any], config: AlertConfig) -> Outcome:
    variable = config.webhook_variable
    address = os.environ.get(variable, "").strip()
    if not address:
        return Outcome(status="no address", said=f"Nobody is told: {variable} is not set.")
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not address.isascii() or any(mark.isspace() for mark in address):
        return Outcome(status="failed", said=f"Nobody is told: {variable} is no address that begins with https://.")
    body = json.dumps(content, ensure_ascii=False).encode()
    request = Request(address, body, {"Content-Type": "application/json; charset=utf-8", "User-Agent": "clip-har"})
    problem = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        problem, again = _try(request, config.seconds)
        if not problem:
            return Outcome(status="sent", said=f"The alert was sent to the address in {variable}.")
        if not again:
            break
    return Outcome(status="failed", said=f"The alert could not be sent to the address in {variable}: {problem}.")


def _try(request: Request, seconds: float) -> tuple[str, bool]:
    """(what went wrong, without the address; "" if nothing, whether another try may help)."""
    found = [(f"no answer within {seconds:g} s", True)]

    def ask() -> None:
        try:
            with build_opener(_NoRedirects()).open(request, timeout=seconds):
                found.append(("", False))
        except HTTPError as error:
            found.append((f"it answered {error.code}", error.code >= 500 or error.code in (408, 429)))
            error.close()
        except URLError as error:
            reason = error.reason
            found.append((getattr(reason, "strerror", None) or type(reason).__name__, True))
        except Exception as error:  # whatever it is must not stop a run; its text may have the address
            found.append((type(error).__name__, True))

    # in a thread: a timeout of sockets bounds neither the name's look-up nor an answer that comes byte by byte
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[-1]
