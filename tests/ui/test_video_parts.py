from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from clip_har.ui.video.chart import OTHERS, area_rows, segment_rows, shown_labels, timeline
from clip_har.ui.video.export import as_json, frames_csv, segments_csv
from clip_har.ui.video.moments import Moment, Segment, calmed, segments
from clip_har.ui.video.show import clock


def moments(labels: str, sure: float = 0.8) -> list[Moment]:
    """One a second; "." was not answered."""
    return [
        Moment(
            float(time), None if label == "." else {name: sure if name == label else (1 - sure) / 2 for name in "abc"}
        )
        for time, label in enumerate(labels)
    ]


def stretches(found: list[Segment]) -> list[tuple[float, float, str | None]]:
    return [(one.start, one.end, one.label) for one in found]


def test_neighbours_are_joined_and_the_whole_clip_is_covered():
    found = segments(moments("aaabbc"), end=6.0)
    assert stretches(found) == [(0, 3, "a"), (3, 5, "b"), (5, 6, "c")]
    assert found[0].confidence == pytest.approx(0.8)


def test_what_is_too_short_goes_to_the_longer_neighbour_and_equal_ones_join():
    assert stretches(segments(moments("aaabaabbbb"), end=10.0, shortest=2.0)) == [(0, 6, "a"), (6, 10, "b")]
    assert stretches(segments(moments("b"), end=1.0, shortest=5.0)) == [(0, 1, "b")]


def test_below_the_threshold_nothing_is_claimed():
    found = segments(
        [*moments("aa"), *(Moment(m.time + 2, m.scores) for m in moments("bb", sure=0.4))], end=4.0, threshold=0.5
    )
    assert stretches(found) == [(0, 2, "a"), (2, 4, None)]


def test_frames_without_an_answer_leave_no_hole():
    assert stretches(segments(calmed(moments(".a..b."), 0), end=6.0)) == [(0, 4, "a"), (4, 6, "b")]
    assert segments(calmed(moments("..."), 1.0), end=3.0) == []


def test_calming_removes_an_outlier_but_moves_no_change():
    calm = calmed(moments("aaabaaa"), 1.0)
    assert {max(one.scores, key=one.scores.get) for one in calm} == {"a"}
    steps = segments(calmed(moments("aaaaabbbbb"), 1.0), end=10.0)
    assert stretches(steps) == [(0, 5, "a"), (5, 10, "b")]
    assert all(sum(one.scores.values()) == pytest.approx(1) for one in calm)
    assert calmed(moments("ab"), 0) == moments("ab")


def test_calming_goes_by_time_and_looks_only_so_far():
    far = [Moment(0.0, {"a": 1.0, "b": 0.0}), Moment(100.0, {"a": 0.0, "b": 1.0})]
    assert calmed(far, 1.0) == far


def test_files_say_what_the_page_shows():
    seen = moments("a.b")
    found = segments(calmed(seen, 0), end=3.0)
    rows = list(csv.DictReader(io.StringIO(segments_csv(found))))
    assert [(row["start"], row["end"], row["label"]) for row in rows] == [
        ("0.000", "2.000", "a"),
        ("2.000", "3.000", "b"),
    ]
    frames = list(csv.DictReader(io.StringIO(frames_csv(seen, ["a", "b", "c"]))))
    assert frames[1] == {"time": "1.000", "a": "", "b": "", "c": ""}
    written = json.loads(as_json({"clip": "x.mp4"}, seen, found))
    assert written["clip"] == "x.mp4"
    assert written["frames"][1] == {"time": 1.0, "scores": None}
    assert [one["label"] for one in written["segments"]] == ["a", "b"]


def test_the_chart_has_a_colour_for_segments_first_and_the_rest_is_others():
    many = {f"l{number}": 0.05 for number in range(20)}
    seen = [Moment(0.0, many), Moment(1.0, many | {"l19": 0.05})]
    found = [Segment(0, 1, "l19", 0.05), Segment(1, 2, None, 0.05)]
    labels = shown_labels(seen, found)
    assert labels[0] == "l19"
    assert len(labels) == 7
    rows = area_rows(seen, labels)
    assert sum(row["score"] for row in rows if row["time"] == 0) == pytest.approx(1)
    assert [row["score"] for row in rows if row["action"] == OTHERS] == pytest.approx([0.65, 0.65])
    assert segment_rows(found, labels)[1]["action"] == "not sure"
    assert timeline(seen, found, 2.0).to_dict()["vconcat"]


def test_a_long_clip_makes_no_large_chart():
    rows = area_rows([Moment(float(time), {"a": 1.0}) for time in range(5000)], ["a"])
    assert len(rows) <= 2 * 600


def test_times_are_written_as_players_do():
    assert clock(62.52, 100) == "1:02.5"
    assert clock(59.97, 100) == "1:00.0"
    assert clock(3725.0, 4000) == "1:02:05.0"


@pytest.fixture(scope="module")
def three() -> bytes:
    """Three seconds: red, green, blue."""
    pytest.importorskip("av")
    from tests.ui.clips import clip

    return clip([(230, 20, 20), (20, 230, 20), (20, 20, 230)])


class TestClips:
    """Needs PyAV."""

    def test_what_a_clip_says_of_itself(self, three):
        from clip_har.ui.video.clip import ClipLimits, look_at

        found = look_at(io.BytesIO(three), "three.mp4", ClipLimits())
        assert found.seconds == pytest.approx(3.0)
        assert (found.width, found.height, found.rate, found.codec) == (64, 48, 10.0, "h264")
        assert found.played_by_browsers

    def test_one_frame_every_so_many_seconds(self, three):
        from clip_har.ui.video.clip import ClipLimits, samples

        taken = list(samples(io.BytesIO(three), "three.mp4", 1.0, ClipLimits()))
        assert [sample.time for sample in taken] == pytest.approx([0, 1, 2])
        colours = [np.asarray(Image.open(io.BytesIO(sample.data))).mean((0, 1)).argmax() for sample in taken]
        assert colours == [0, 1, 2]
        assert len(list(samples(io.BytesIO(three), "three.mp4", 0.25, ClipLimits()))) == 12
        assert len(list(samples(io.BytesIO(three), "three.mp4", 0.01, ClipLimits()))) == 30, "no frame twice"

    def test_large_frames_are_sent_small_and_few_are_held(self):
        pytest.importorskip("av")
        from clip_har.ui.video.clip import ClipLimits, samples
        from tests.ui.clips import clip

        large = clip([(9, 9, 9)], size=(1280, 720), rate=4)
        (one,) = samples(io.BytesIO(large), "large.mp4", 5.0, ClipLimits())
        assert min(Image.open(io.BytesIO(one.data)).size) == 320

    @pytest.mark.parametrize(
        ("limits", "said"),
        [
            ({"max_seconds": 2.0}, "is 3.0\u202fs long|is 3\u202fs long"),
            ({"max_bytes": 100}, "MB"),
            ({"max_pixels": 1000}, "64 × 48 pixels"),
        ],
    )
    def test_more_than_is_taken_is_refused_in_a_sentence(self, three, limits, said):
        from clip_har.ui.video.clip import ClipError, ClipLimits, look_at

        with pytest.raises(ClipError, match=said):
            look_at(io.BytesIO(three), "three.mp4", ClipLimits(**limits))

    def test_no_more_frames_than_allowed(self, three):
        from clip_har.ui.video.clip import ClipLimits, samples

        assert len(list(samples(io.BytesIO(three), "three.mp4", 0.1, ClipLimits(max_frames=5)))) == 5

    @pytest.mark.parametrize("data", [b"", b"no clip at all" * 50, b"\x00\x00\x00\x18ftypmp42" + bytes(200)])
    def test_what_is_no_clip_is_refused(self, data):
        pytest.importorskip("av")
        from clip_har.ui.video.clip import ClipError, ClipLimits, look_at

        with pytest.raises(ClipError):
            look_at(io.BytesIO(data), "x.mp4", ClipLimits())

    def test_a_damaged_clip_gives_what_is_sound_and_says_so(self):
        pytest.importorskip("av")
        from clip_har.ui.video.clip import ClipError, ClipLimits, samples
        from tests.ui.clips import clip

        noise = [tuple(int(v) for v in np.random.default_rng(seed).integers(0, 255, 3)) for seed in range(6)]
        whole = clip(noise, kind="webm", codec="libvpx")
        taken: list[float] = []
        damaged = io.BytesIO(whole[: len(whole) // 2] + b"\xff" * 20_000)

        def take() -> str:
            try:
                taken.extend(sample.time for sample in samples(damaged, "cut.webm", 1.0, ClipLimits()))
            except ClipError as error:
                return str(error)
            return ""

        said = take()
        assert 1 <= len(taken) < 6
        assert not said or "damaged after" in said

    def test_kinds_that_browsers_do_not_play_are_known(self):
        pytest.importorskip("av")
        from clip_har.ui.video.clip import ClipLimits, look_at
        from tests.ui.clips import clip

        old = clip([(1, 2, 3)], codec="mpeg4", kind="avi")
        assert not look_at(io.BytesIO(old), "old.avi", ClipLimits()).played_by_browsers
