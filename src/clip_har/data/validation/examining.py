"""One listed sample → a verdict on it: the checks that need no other sample."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath, PureWindowsPath

from clip_har.data.image import PixelBudget, decode_image, read_image_bytes
from clip_har.data.quarantine.decisions import Decision, Decisions
from clip_har.data.sources import DataSource, SourceRecord
from clip_har.data.sources.base import printable
from clip_har.data.validation.config import ValidationConfig
from clip_har.data.validation.measures import SIDE, Measures, measure
from clip_har.errors import ImageError, nearest
from clip_har.hashing import sha256_bytes

_FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG", ".png": "PNG", ".apng": "PNG",
    ".gif": "GIF", ".webp": "WEBP", ".bmp": "BMP", ".dib": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason, one of `REASONS`, and what was found."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one listed sample.

    Attributes:
        uri, label: as listed; the label may be the one that a person decided on.
        id: sha256 of the bytes, or "" if they were not read.
        rejection: why it is rejected; None if it is accepted.
        warnings: what was found of an accepted sample.
        file_bytes: size of the file.
        measures: of the picture, if it could be decoded.
        waived: reasons that a person decided not to apply.
    """

    uri: str
    label: str
    id: str = ""
    rejection: Finding | None = None
    warnings: tuple[Finding, ...] = ()
    file_bytes: int = 0
    measures: Measures | None = None
    waived: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it so far."""
        return self.rejection is None

    def judged(self, finding: Finding, config: ValidationConfig) -> Verdict:
        """The verdict with one more finding: a rejection, a warning or nothing, by the check's severity."""
        severity = "off" if finding.reason in self.waived else config.severity(finding.reason)
        if severity == "reject":
            return replace(self, rejection=finding, warnings=())
        return replace(self, warnings=(*self.warnings, finding)) if severity == "warn" else self


class Examiner:
    """Looks at samples one by one; safe to call from several threads."""

    def __init__(
        self, source: DataSource, classes: tuple[str, ...], config: ValidationConfig, decisions: Decisions
    ) -> None:
        self._root = source.root
        # The pictures' own folder, which the config names, may be a link.
        self._boundaries = {os.path.realpath(folder) for folder in (*source.data_folders, source.root)}
        self._classes = classes
        self._config = config
        self._decisions = decisions
        self._budget = PixelBudget(config.limits.max_pixels_in_flight)

    def __call__(self, record: SourceRecord) -> Verdict:
        """The verdict on one record. Every file is read once and decoded once."""
        verdict = Verdict(printable(record.uri), printable(record.label or ""))
        try:
            verdict = self._placed(verdict, record)
            return verdict if verdict.rejection else self._read(verdict, record)
        except ImageError as error:
            return self._refused(verdict, Finding(error.reason, self._told(error, record.uri)))

    def _placed(self, verdict: Verdict, record: SourceRecord) -> Verdict:
        """Where the file lies, without opening it."""
        if verdict.uri != record.uri or verdict.label != (record.label or ""):
            return self._refused(verdict, Finding("unusable_name", f"{verdict.uri}: rename it"))
        if record.problem is not None and record.problem[0] != "missing_label":
            return self._refused(verdict, Finding(*record.problem))
        if leaves_folder(record.uri):
            return self._refused(verdict, Finding("outside_data_folder", "'..' or an absolute path"))
        place = os.path.realpath(self._root / record.uri)
        if any(os.path.commonpath([place, folder]) == folder for folder in self._boundaries):
            return verdict
        decision = self._decisions.of(verdict.uri, "")
        verdict = replace(verdict, waived=decision.waive if decision and decision.action == "requeue" else ())
        detail = "a link that leads out of the data folder (where that is meant: validation.outside_data_folder.severity=warn)"
        judged = verdict.judged(Finding("outside_data_folder", detail), self._config)
        return self._refused(verdict, judged.rejection) if judged.rejection else judged

    def _read(self, verdict: Verdict, record: SourceRecord) -> Verdict:
        data = read_image_bytes(self._root / record.uri, self._config.limits)
        verdict = replace(verdict, id=sha256_bytes(data) if data else "", file_bytes=len(data))
        decision = self._decisions.of(verdict.uri, verdict.id)
        if decision is not None:
            verdict = _decided(verdict, decision)
        if verdict.accepted:
            verdict = self._labelled(verdict, record)
        if not verdict.accepted:
            return verdict
        try:
            decoded = decode_image(data, self._config.limits, reduce_above=SIDE, budget=self._budget)
        except ImageError as error:
            return replace(verdict, rejection=Finding(error.reason, self._told(error, record.uri)), warnings=())
        verdict = replace(verdict, measures=measure(decoded))
        for finding in findings(verdict.uri, verdict.measures, self._config):
            verdict = verdict.judged(finding, self._config)
            if not verdict.accepted:
                break
        return verdict

    def _labelled(self, verdict: Verdict, record: SourceRecord) -> Verdict:
        if not verdict.label:
            detail = record.problem[1] if record.problem else "no label is listed"
            return replace(verdict, rejection=Finding("missing_label", detail))
        if verdict.label not in self._classes:
            match = nearest(verdict.label, self._classes)
            detail = f"{verdict.label!r}" + (f"; did you mean {match!r}?" if match else "")
            return replace(verdict, rejection=Finding("unknown_label", detail))
        return verdict

    def _refused(self, verdict: Verdict, finding: Finding) -> Verdict:
        """Rejected before its bytes were read, unless a person has discarded it: the decision has no id then either."""
        decision = self._decisions.of(verdict.uri, "")
        if decision is not None and decision.action == "discard":
            return _decided(verdict, decision)
        return replace(verdict, rejection=finding, warnings=())

    def _told(self, error: ImageError, uri: str) -> str:
        """The message without what differs between machines and runs."""
        text = str(error).replace(str(self._root / uri), printable(uri))
        return re.sub(r" at 0x[0-9a-f]+", "", text)


def _decided(verdict: Verdict, decision: Decision) -> Verdict:
    if decision.action == "discard":
        return replace(verdict, rejection=Finding("discarded", f"{decision.who}: {decision.why}"), warnings=())
    label = verdict.label if decision.label is None else decision.label
    return replace(verdict, label=label, waived=tuple(sorted({*verdict.waived, *decision.waive})))


def findings(uri: str, picture: Measures, config: ValidationConfig) -> Iterator[Finding]:
    """What a decoded picture fails, in the order of the checks, whatever their severity."""
    promised = promised_format(uri)
    is_jpeg = picture.format in ("JPEG", "MPO")  # MPO: a JPEG with a second view or a preview behind it, as phones make
    actual = "JPEG" if is_jpeg else picture.format
    if promised not in (None, actual):
        yield Finding("wrong_type", f"{actual}, by its name {promised}")
    if picture.frames > 1 and not is_jpeg:
        yield Finding("animated", f"{picture.frames} pictures in one file")
    width, height = picture.width, picture.height
    size = f"{width} × {height} pixels"
    if min(width, height) < config.too_small.min_side:
        yield Finding("too_small", f"{size}; {config.too_small.min_side} a side are wanted")
    ratio = max(width, height) / min(width, height)
    if ratio > config.extreme_aspect_ratio.max_ratio:
        yield Finding("extreme_aspect_ratio", f"{size}: {ratio:.1f} to 1")
    if picture.contrast < config.nearly_constant.min_contrast:
        yield Finding("nearly_constant", f"contrast {picture.contrast:.3f}")
    if picture.highlights < config.too_dark.min_brightness:
        yield Finding("too_dark", f"one pixel in a hundred reaches {picture.highlights:.2f} of full brightness")
    if picture.sharpness < config.blurred.min_sharpness and picture.contrast >= config.nearly_constant.min_contrast:
        yield Finding("blurred", f"sharpness {picture.sharpness:.3f}")


def promised_format(uri: str) -> str | None:
    """What a file's name says that it is: Pillow's name of a format, another media type, or None if it says nothing."""
    return _promised_by(PurePosixPath(uri).suffix.lower())


@cache
def _promised_by(suffix: str) -> str | None:
    builtin = mimetypes.MimeTypes().types_map[True]  # those of Python itself: the same on every machine
    media_type = builtin.get(suffix)
    return _FORMATS.get(suffix) or (None if media_type == "application/octet-stream" else media_type)


def leaves_folder(uri: str) -> bool:
    """Whether a listed path is absolute, here or on Windows, or goes up."""
    windows = PureWindowsPath(uri)
    return PurePosixPath(uri).is_absolute() or bool(windows.anchor) or ".." in windows.parts
