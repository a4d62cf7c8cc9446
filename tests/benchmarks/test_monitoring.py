"""The monitoring benchmark: its shifts change what they say, windows are fair draws, and the page says what was found."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from all import BENCHMARKS
from captured_report import measure
from drift_windows import STRENGTHS, Photographs, false_alarms, interval, joined, point, power, smallest, unlabelled
from monitoring import PARTS, flat
from monitoring_page import document, draw_accuracy, draw_power
from PIL import Image
from shifts import CLASS_MIX, DIALS, OTHER_THINGS, PHOTOGRAPHS, Shift, dressed_as, shifted
from watched import Watched

from clip_har.capture.statistics import image_statistics
from clip_har.monitoring.config import MonitorConfig, ProfileConfig
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.samples import describe_scene, encode_scene
from clip_har.samples.nuisances import Nuisances
from tests.monitoring.observed import observations

CONFIG = MonitorConfig(profile=ProfileConfig(partitions=100), examples=0)


def by_name(name: str) -> Shift:
    return next(shift for shift in PHOTOGRAPHS if shift.name == name)


@pytest.fixture(scope="module")
def file() -> bytes:
    return encode_scene(describe_scene("cycling", 3))


@pytest.fixture(scope="module")
def watched() -> Watched:
    profile = ReferenceProfile.made_of(observations(420, seed=1), CONFIG.profile, splits=("test",))
    return Watched(None, profile, observations(500, seed=2), {}, 0)


@pytest.mark.parametrize(
    ("name", "figure", "falls"),
    [
        ("darkening", "brightness", True),
        ("blur", "sharpness", True),
        ("grey", "saturation", True),
        ("turn", "aspect", True),
    ],
)
def test_a_shift_moves_its_figure_and_more_so_with_its_strength(file: bytes, name: str, figure: str, falls: bool):
    values = [
        image_statistics(Image.open(io.BytesIO(shifted(file, by_name(name), strength))))[figure]
        for strength in ((0.3, 1.0) if name != "turn" else (1.0,))
    ]
    before = image_statistics(Image.open(io.BytesIO(file)))[figure]
    assert [before, *values] == sorted([before, *values], reverse=falls)
    assert values[-1] < 0.7 * before


def test_jpeg_files_shrink_down_to_quality_10(file: bytes):
    sizes = [len(shifted(file, by_name("jpeg"), strength)) for strength in (0.0, 0.5, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    tables = Image.open(io.BytesIO(shifted(file, by_name("jpeg"), 1.0))).quantization
    wanted = io.BytesIO()
    Image.new("RGB", (16, 16)).save(wanted, "JPEG", quality=10)
    assert tables == Image.open(wanted).quantization


@pytest.mark.parametrize("name", ["darkening", "blur", "grey"])
def test_nothing_but_the_change_changes_a_file(file: bytes, name: str):
    """Saved again at strength 0 it has the size, the tables and nearly the bytes that it had."""
    again = shifted(file, by_name(name), 0.0)
    assert len(again) == pytest.approx(len(file), rel=0.02)
    one, other = Image.open(io.BytesIO(file)), Image.open(io.BytesIO(again))
    assert (one.size, one.quantization) == (other.size, other.quantization)


def test_other_things_take_the_size_and_the_compression_of_a_photograph(file: bytes):
    strange = io.BytesIO()
    Image.new("RGB", (90, 400), "red").save(strange, "JPEG", quality=30)
    dressed, model = Image.open(io.BytesIO(dressed_as(strange.getvalue(), file))), Image.open(io.BytesIO(file))
    assert (dressed.size, dressed.quantization) == (model.size, model.quantization)
    assert dressed.getpixel((5, 5))[0] > 200


def test_all_dials_of_the_drawn_world_are_turned():
    assert {shift.name for shift in DIALS} == set(Nuisances.model_fields)


def test_halving_finds_the_smallest_strength_with_few_measurements():
    def at(border: float):
        tried = []

        def measure(strength: float) -> dict:
            tried.append(strength)
            return {"strength": strength, "detected": float(strength >= border)}

        return power(measure), tried

    for border in (0.0, *STRENGTHS):
        points, tried = at(border)
        assert smallest(points) == next(strength for strength in STRENGTHS if strength >= border)
        assert len(tried) <= 5
    points, tried = at(1.1)
    assert smallest(points) is None
    assert tried == [1.0]


def test_a_strength_below_one_that_was_missed_does_not_count():
    points = [{"strength": s, "detected": d} for s, d in ((0.1, 1.0), (0.3, 0.5), (0.6, 1.0), (1.0, 0.975))]
    assert smallest(points) == 0.6


def test_intervals_are_clopper_and_pearsons():
    """At either end, what was seen or more extreme has half of what is left out."""

    def probability(counts: range, share: float) -> float:
        return sum(math.comb(200, count) * share**count * (1 - share) ** (200 - count) for count in counts)

    low, high = interval(10, 200, 0.99)
    assert probability(range(10, 201), low) == pytest.approx(0.005)
    assert probability(range(11), high) == pytest.approx(0.005)
    assert interval(0, 200, 0.99) == pytest.approx((0.0, 1 - 0.005 ** (1 / 200)))
    assert interval(5, 5, 0.95)[1] == 1.0


def test_false_alarms_are_counted_for_the_report_and_for_each_check(watched: Watched):
    found = false_alarms(watched, 12, CONFIG, 0)
    assert found["alarms"] <= 3
    assert found["low"] <= found["rate"] <= found["high"]
    assert found["tested"] == 200
    darker = replace(watched, pool=observations(500, seed=2, darker=1.0))
    seen = false_alarms(darker, 6, CONFIG, 0)
    assert seen["alarms"] == 6
    assert seen["jointly"]["brightness"] == seen["alone"]["brightness"] == 1.0
    assert seen["jointly"]["aspect"] < 1.0


def test_truth_is_kept_from_the_checks_and_compared_afterwards(watched: Watched):
    """Without labels there is an estimate only; the error is against the truth that was held back."""
    from drift_windows import reports, usual

    assert unlabelled(watched.pool).truth is None
    wrong = replace(watched, pool=observations(500, seed=2, accuracy=0.2))
    found = reports(wrong, usual(wrong), 3, CONFIG, "a test")
    assert all(report.accuracy.measured is None for report, _ in found)
    assert all(true == pytest.approx(0.2, abs=0.1) for _, true in found)
    at = point(found, by_name("blur"), 1.0)
    assert at["error"] == pytest.approx(at["estimated"] - at["true"], abs=1e-6)
    assert at["error"] > 0.3


def test_mixed_windows_hold_the_share_and_no_picture_twice(watched: Watched):
    pool = watched.pool
    spoiled = Photographs(None, watched, 100)
    draw = spoiled.windows(by_name(CLASS_MIX), 0.5)
    window = draw(np.random.default_rng(0))
    assert len(set(window.ids)) == len(window) == 200
    assert (window.truth < 5).mean() > (pool.truth < 5).mean()
    changed = replace(pool.take(np.arange(250)), confidence=np.full(250, -1.0))
    window = spoiled._mixed(changed, 0.3)(np.random.default_rng(0))
    assert (window.confidence == -1).sum() == 60
    assert len(set(window.ids)) == 200  # none is there both as it was and changed


def test_pictures_of_two_sources_are_joined_whole():
    one, other = observations(5, seed=1), observations(3, seed=2)
    one, other = (
        replace(one, pictures=tuple("abcde")),
        replace(other, pictures=tuple("fgh")),
    )  # files that are gone by then
    both = joined(one, other)
    assert len(both) == len(both.take(np.arange(8))) == 8
    for name in ("embeddings", "probabilities", "truth", "confidence"):
        assert np.array_equal(getattr(both, name), np.concatenate([getattr(one, name), getattr(other, name)]))
    assert np.array_equal(both.figures["aspect"][5:], other.figures["aspect"])


def results(rate: float) -> dict[str, dict]:
    low, high = interval(round(200 * rate), 200, 0.99)
    row = {
        "partition": 0,
        "train": 700,
        "profile": 1600,
        "pool": 2000,
        "windows": 200,
        "tested": 200,
        "alarms": round(200 * rate),
    }
    row |= {"rate": rate, "low": low, "high": high, "jointly": {"blue": 0.01}, "alone": {"blue": 0.05}}

    def at(strength: float, detected: float, causes: dict[str, int], estimated: float | None = 0.6) -> dict:
        error = None if estimated is None else 0.1
        return {"strength": strength, "windows": 40, "detected": detected, "named": 0.5 if causes else None, "causes": causes} | {
            "true": 0.5, "estimated": estimated, "error": error
        }  # fmt: skip

    def world(shifts: tuple[Shift, ...]) -> dict:
        points = {shift.name: [at(0.5, 1.0, {"blue": 40}), at(1.0, 1.0, {"blue": 40})] for shift in shifts}
        points[shifts[-1].name] = [at(1.0, 0.4, {}, None)]
        return {"points": points, "nothing": at(0.0, 0.05, {}), "pictures": 400}

    report = dict.fromkeys(("collect_s", "check_s", "evidently_s", "page_s", "report_s", "report_cpu_s"), 9.0)
    return {
        "false_alarms": {"wanted": 0.05, "partitions": [row]},
        "photographs": world(PHOTOGRAPHS),
        "drawn": world(DIALS),
        "report": report | {"rows": 100_000, "report_gb": 1.2},
    }


def test_the_last_line_has_every_figure():
    figures = flat(results(0.06))
    assert figures["false_alarm_rate"] == 0.06
    assert figures["false_alarm_low"] < 0.05 < figures["false_alarm_high"]
    assert (figures["report_100k_s"], figures["report_100k_gb"]) == (9.0, 1.2)
    assert figures["power_darkening"] == figures["power_drawn_light"] == 0.5
    assert figures["power_other_files"] is None
    assert figures["named_share"] == 0.5
    assert figures["estimated_accuracy_mae"] == pytest.approx(0.1)
    assert not any(isinstance(value, dict | list) for value in figures.values())
    assert set(results(0.05)) == set(PARTS)


def test_the_page_says_what_falls_short():
    good, bad = results(0.06), results(0.2)
    assert "does **not** contain" not in document(good, flat(good))
    page = document(bad, flat(bad))
    assert "does **not** contain" in page
    assert "0 of 1 intervals contain it" in page
    assert "not detected" in page
    assert f"`{OTHER_THINGS}`" in page


def test_plots_are_small_pictures():
    for draw in (draw_power, draw_accuracy):
        data = draw(results(0.05))
        assert Image.open(io.BytesIO(data)).width <= 1000
        assert len(data) < 150_000


def test_make_bench_runs_it():
    assert "monitoring" in BENCHMARKS


@pytest.mark.slow
@pytest.mark.thorough
def test_a_report_on_captured_rows_is_measured_in_a_process_of_its_own():
    found = measure(400)
    assert 0 < found["report_gb"] < 2
    steps = sum(found[f"{name}_s"] for name in ("collect", "check", "evidently", "page"))
    assert found["report_s"] >= 0.9 * steps > 0
