"""A clip's answers as files: segments and frames as CSV, everything as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from clip_har.ui.video.moments import Moment, Segment


def segments_csv(found: Sequence[Segment]) -> str:
    """start, end (seconds), label (empty: not sure), confidence."""
    rows = [[f"{one.start:.3f}", f"{one.end:.3f}", one.label or "", f"{one.confidence:.4f}"] for one in found]
    return _csv(["start", "end", "label", "confidence"], rows)


def frames_csv(moments: Sequence[Moment], labels: Sequence[str]) -> str:
    """time (seconds), and a column of probabilities for each label; empty where a frame was not answered."""
    rows = [
        [f"{one.time:.3f}", *("" if one.scores is None else f"{one.scores.get(label, 0.0):.6f}" for label in labels)]
        for one in moments
    ]
    return _csv(["time", *labels], rows)


def as_json(clip: dict[str, Any], moments: Sequence[Moment], found: Sequence[Segment]) -> str:
    """All of it, with what `clip` says: name, model, settings."""
    written = {
        **clip,
        "segments": [
            {
                "start": round(one.start, 3),
                "end": round(one.end, 3),
                "label": one.label,
                "confidence": round(one.confidence, 6),
            }
            for one in found
        ],
        "frames": [
            {"time": round(one.time, 3), "scores": None if one.scores is None else dict(one.scores)} for one in moments
        ],
    }
    return json.dumps(written, indent=2, ensure_ascii=False)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
