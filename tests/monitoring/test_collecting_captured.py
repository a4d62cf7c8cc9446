"""The capture of a window, as one model answered it: what is left out is counted, labels come from feedback, times are checked."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clip_har.capture import CaptureStore, CaptureWriter
from clip_har.component import validated
from clip_har.monitoring.checking import check_window
from clip_har.monitoring.collecting import collect
from clip_har.monitoring.collecting.captured import window_of
from clip_har.monitoring.config import MonitorConfig, ProfileConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import IMAGE_FIGURES
from clip_har.monitoring.profile import ReferenceProfile
from tests.capture.captured import START, capture, prediction, still
from tests.monitoring.observed import observations

LABELS = ("running", "sitting", "eating")
MODEL = "a" * 64


def bundle_of(threshold: float | None = 0.65, labels: tuple[str, ...] = LABELS, dimensions: int = 4) -> Any:
    """All that collecting looks at."""
    abstention = None if threshold is None else SimpleNamespace(threshold=threshold)
    return SimpleNamespace(
        model_id=MODEL,
        labels=labels,
        info=SimpleNamespace(encoder_hash="e" * 64),
        class_matrix=np.zeros((len(labels), dimensions), np.float32),
        calibration=SimpleNamespace(abstention=abstention),
    )


def looked(workspace: Path, bundle: Any = None, **settings: Any):
    values = {"since": None, "minimum": 10, "until": "2027-01-01"} | settings
    return collect(validated(MonitorConfig, values), bundle or bundle_of(), workspace)


def numbers(observed) -> list[int]:
    return [int(one, 16) for one in observed.ids]


def test_rows_come_in_the_order_of_their_times_with_all_that_is_known(tmp_path):
    shuffled = np.random.default_rng(0).permutation(30).tolist()
    capture(tmp_path / "capture", [map(prediction, shuffled[:11]), map(prediction, shuffled[11:])])
    observed = looked(tmp_path)
    assert numbers(observed) == list(range(30))
    np.testing.assert_allclose(observed.times, START + np.arange(30), atol=1e-6)
    np.testing.assert_array_equal(observed.embeddings, np.repeat(np.arange(30, dtype=np.float32)[:, None], 4, axis=1))
    np.testing.assert_allclose(observed.probabilities, [[0.2, 0.7, 0.1]] * 30)
    assert observed.predicted.tolist() == [1] * 30
    assert (observed.model_id, observed.encoder_hash, observed.labels) == (MODEL, "e" * 64, LABELS)
    assert set(observed.figures) == set(IMAGE_FIGURES)
    assert observed.figures["brightness"].tolist() == [0.5] * 30
    assert np.isnan(observed.figures["contrast"]).all()
    np.testing.assert_allclose(observed.figures["megapixels"], 240 * 160 / 1e6)
    np.testing.assert_allclose(observed.figures["bits_per_pixel"], 8 * (9000 + np.arange(30)) / (240 * 160), rtol=1e-6)
    assert observed.truth is None
    assert observed.pictures is None
    assert not observed.errors
    assert not observed.skipped


def test_other_models_roles_and_labels_are_left_out_and_counted(tmp_path):
    own = [prediction(n, role=("champion", "packaged", "newest")[n % 3]) for n in range(12)]
    other = [prediction(n, model_id="b" * 64, embedding=np.ones(7, np.float32)) for n in range(5)]
    shadows = [prediction(100 + n, role="shadow") for n in range(3)]
    challenger = [prediction(200 + n, role="challenger") for n in range(2)]
    open_labels = [prediction(300 + n, calibrated=False, probabilities=None, labels=("a cat",)) for n in range(4)]
    capture(tmp_path / "capture", [[*own, *other, *shadows, *challenger, *open_labels]])
    observed = looked(tmp_path)
    assert numbers(observed) == list(range(12))
    assert observed.skipped == {
        "of another model": 5,
        "of the role challenger": 2,
        "of the role shadow, which nobody heard": 3,
        "with labels of the caller's own": 4,
    }


def test_refused_pictures_are_errors_of_this_model_alone(tmp_path):
    def refused(number: int, **changes: Any):
        nothing = {"embedding": np.empty(0, np.float32), "labels": (), "scores": (), "probabilities": None}
        return prediction(number, **nothing, calibrated=False, **changes)

    rows = [prediction(n) for n in range(10)]
    rows += [refused(100 + n, error="truncated") for n in range(3)] + [refused(110, error="not_an_image")]
    rows += [refused(120, error="truncated", model_id="b" * 64), refused(121, error="truncated", role="shadow")]
    capture(tmp_path / "capture", [rows])
    observed = looked(tmp_path)
    assert observed.errors == {"not_an_image": 1, "truncated": 3}
    assert len(observed) == 10


def test_a_window_whose_pictures_are_all_refused_is_one(tmp_path):
    nothing = {"embedding": np.empty(0, np.float32), "labels": (), "scores": (), "probabilities": None}
    rows = [prediction(n, **nothing, calibrated=False, error="truncated") for n in range(12)]
    capture(tmp_path / "capture", [rows])
    observed = looked(tmp_path)
    assert (len(observed), observed.errors) == (0, {"truncated": 12})
    assert (observed.embeddings.shape, observed.probabilities.shape) == ((0, 4), (0, 3))
    report = check_window(
        ReferenceProfile.made_of(
            replace(observations(60, classes=3, dimensions=4), model_id=MODEL, labels=LABELS),
            ProfileConfig(partitions=100),
        ),
        observed,
        MonitorConfig(minimum=10),
        method="linear_probe",
    )
    assert [check.name for check in report.alarmed] == ["errors"]


def test_abstention_goes_by_the_bundles_threshold_not_by_that_of_a_request(tmp_path):
    capture(tmp_path / "capture", [[prediction(n, abstained=n % 2 == 0) for n in range(10)]])
    assert not looked(tmp_path, bundle_of(0.65)).abstained.any()
    assert looked(tmp_path, bundle_of(0.75)).abstained.all()
    assert not looked(tmp_path, bundle_of(None)).abstained.any()


def test_truth_comes_from_feedback_and_pictures_from_kept_images(tmp_path):
    folder = tmp_path / "capture"
    capture(folder, [[prediction(n, image=bytes([n]) if n < 3 else None) for n in range(12)]], images=True)
    writer = CaptureWriter(folder, still())
    for number, label in ((2, "eating"), (5, "running"), (5, "sitting"), (7, "a word of its own")):
        writer.feedback(f"{number:032x}", label, time=time.time())
    writer.close()
    observed = looked(tmp_path)
    assert observed.truth.tolist() == [-1, -1, 2, -1, -1, 1] + [-1] * 6
    assert list(observed.skipped.values()) == [1]
    assert "none of the model's labels" in next(iter(observed.skipped))
    assert [CaptureStore(folder).image_bytes(name) if name else None for name in observed.pictures[:4]] == [
        b"\0",
        b"\1",
        b"\2",
        None,
    ]


def test_of_more_rows_the_newest_are_looked_at(tmp_path):
    rows = [prediction(n) for n in range(40)]
    rows += [prediction(100 + n, error="truncated", time=START + n, calibrated=False) for n in (3, 30)]
    capture(tmp_path / "capture", [rows[::2], rows[1::2]])
    observed = looked(tmp_path, most=15)
    assert numbers(observed) == list(range(25, 40))
    assert observed.skipped == {"older than the newest 15 (monitor.most)": 25}
    assert observed.errors == {"truncated": 1}  # of the same time


def test_the_newest_of_one_moment_are_no_more_than_asked_for(tmp_path):
    capture(tmp_path / "capture", [[prediction(n, time=START) for n in range(20)]])
    assert len(looked(tmp_path, most=12)) == 12


def test_a_window_is_between_times_or_ages(tmp_path):
    moments = [datetime.now(UTC).timestamp() - 3600 * hours for hours in range(40)]
    capture(tmp_path / "capture", [[prediction(n, time=moment) for n, moment in enumerate(moments)]])
    assert len(looked(tmp_path, until=None)) == 40
    assert sorted(numbers(looked(tmp_path, since="11.5h", until=None))) == list(range(12))
    assert sorted(numbers(looked(tmp_path, since="1d", until="9.5h"))) == list(range(10, 24))
    begin = datetime.fromtimestamp(moments[30], UTC)
    for text in (begin.isoformat(), f"{begin:%Y-%m-%dT%H:%M:%SZ}"):
        assert len(looked(tmp_path, since=text, until=None)) == 31


def test_times_that_are_none_are_refused_with_what_would_be_right():
    for setting, text in (("since", "yesterday"), ("until", "7x"), ("since", "nand"), ("since", "d")):
        with pytest.raises(
            MonitoringError, match=f"monitor.{setting}: '{text}' is neither a time like .* nor an age like"
        ):
            window_of(validated(MonitorConfig, {setting: text}))
    with pytest.raises(MonitoringError, match=r"monitor.since: the window would begin .* it must begin before it ends"):
        window_of(validated(MonitorConfig, {"since": "1d", "until": "2d"}))
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert window_of(MonitorConfig(since="2026-11-01T08:00"), now) == (datetime(2026, 11, 1, 8, tzinfo=UTC), now)
    assert window_of(MonitorConfig(since="7d"), now) == (now - timedelta(days=7), now)
    assert window_of(MonitorConfig(since=None), now) == (None, now)


def test_nothing_or_too_little_says_what_would_be_right(tmp_path):
    with pytest.raises(MonitoringError, match=r"nothing has been captured in .*capture.*make serve.*monitor.capture"):
        looked(tmp_path)
    capture(
        tmp_path / "capture", [[prediction(n) for n in range(9)], [prediction(n, model_id="b" * 64) for n in range(70)]]
    )
    with pytest.raises(
        MonitoringError, match=r"9 pictures that the model aaaaaaaaaaaa answered are in captured.* at least 10 "
    ):
        looked(tmp_path)
    with pytest.raises(MonitoringError, match=r"left out: 70 of another model\).*monitor.since.*monitor.minimum"):
        looked(tmp_path)
    with pytest.raises(MonitoringError, match="0 pictures"):
        looked(tmp_path, since="2026-12-30")


def test_a_capture_elsewhere_can_be_named(tmp_path):
    capture(tmp_path / "other", [[prediction(n) for n in range(12)]])
    assert len(looked(tmp_path, capture=str(tmp_path / "other"))) == 12


def test_probabilities_of_another_number_of_labels_are_refused(tmp_path):
    capture(tmp_path / "capture", [[prediction(n) for n in range(12)]])
    with pytest.raises(MonitoringError, match="36 numbers, and 4 each are what the model gives"):
        looked(tmp_path, bundle_of(labels=(*LABELS, "sleeping")))
