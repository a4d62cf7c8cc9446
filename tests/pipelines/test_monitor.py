"""`monitor` before anything is started: what would stop it, its plan, and what the documents say to type on a schedule."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import run
from clip_har.models.backbone import ComputeConfig
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.runs import publish
from pipelines import PIPELINES, RUN_AFTER
from tests.command import PROJECT

DOCUMENT = PROJECT / "docs" / "monitoring.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two published bundles, `with` and `without` a reference profile, and an empty capture."""
    from clip_har.adaptation import METHODS
    from tests.adaptation.tiny_study import tiny_study

    folder = tmp_path_factory.mktemp("place")
    study = tiny_study(folder / "study")
    bundle = study.assemble(folder / "bundle", study.fit(METHODS.get("linear_probe").Config()))
    publish(folder / "outputs", "without", report="", metrics={}, record={}, bundle=bundle)
    compute = ComputeConfig(device="cpu", batch_size=8, threads=1)
    profile = ReferenceProfile.build(
        bundle, study.manifest, ProfileConfig(partitions=100), runtime="torch", compute=compute
    )
    profile.attach(bundle)
    publish(folder / "outputs", "with", report="", metrics={}, record={}, bundle=bundle)
    (folder / "workspace" / "capture").mkdir(parents=True)
    return folder


def typed(place: Path, *sets: str, bundle: str = "with") -> list[str]:
    """The command line, with its settings."""
    places = (f"workspace.path={place / 'workspace'}", f"paths.outputs={place / 'outputs'}")
    named = (*places, f"bundle={place / 'outputs' / bundle / 'bundle'}", *sets)
    config = ("--config", str(PROJECT / "configs" / "sample.yaml"))
    return ["--pipeline", "monitor", *config, *(word for one in named for word in ("--set", one))]


MISTAKES = {
    "no bundle": (("bundle=nowhere",), "there is no folder 'nowhere'"),
    "no champion": (("bundle=champion",), "there is no champion"),
    "no folder": (("monitor.source=photos",), "there is no 'photos'"),
    "no capture": (("monitor.capture=elsewhere",), "nothing has been captured in elsewhere"),
    "no time": (("monitor.since=yesterday",), "monitor.since: 'yesterday' is neither a time"),
    "end before the begin": (("monitor.since=1d", "monitor.until=2d"), "it must begin before it ends"),
    "no such check": (("monitor.checks=[brigtness]",), "Did you mean 'brightness'?"),
    "no such key": (("monitor.decision.retrain_afer=2",), "Did you mean 'retrain_after'?"),
    "always with a version": (("monitor.retrain=always", "data.version=v1"), "--set data.version=workspace"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_before_anything_is_started(
    place: Path, mistake: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    sets, wanted = MISTAKES[mistake]
    assert run.main(typed(place, *sets)) == 2
    shown = capsys.readouterr()
    assert (shown.out, wanted in shown.err) == ("", True), shown.err
    assert not (place / "workspace" / "zenml").exists()


def test_a_bundle_without_a_profile(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run.main(typed(place, bundle="without")) == 2
    said = capsys.readouterr().err
    assert "has no reference profile" in said
    assert "python run.py --pipeline deploy" in said


def test_what_is_in_order_passes(place: Path) -> None:
    from clip_har.config import load_config
    from pipelines.checks import check

    words = typed(place)
    check("monitor", load_config(words[3], words[5::2]))


@pytest.mark.parametrize(
    "since", ["2026-11-01", "2026-11-01T08:00Z", "2026-11-01T08:00:00+01:00", "2026-11-01 08:00:00", "36h"]
)
def test_times_are_taken_as_people_write_them(since: str) -> None:
    """YAML makes dates of some of them."""
    from clip_har.config import load_config
    from clip_har.monitoring.collecting.captured import window_of

    monitor = load_config(PROJECT / "configs" / "sample.yaml", [f"monitor.since={since}"]).monitor
    begin, end = window_of(monitor)
    assert begin < end


def test_the_plan_names_what_may_follow(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run.main([*typed(place), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert (
        "# steps of monitor: open_bundle, collect_window, check_drift, report_drift, decide, publish_monitoring"
        in shown
    )
    assert [name for name in RUN_AFTER["monitor"] if f"# steps of {name}, afterwards" in shown] == [
        "data",
        "train",
        "deploy",
    ]
    assert set(RUN_AFTER["monitor"]) < set(PIPELINES)


def test_exit_codes_are_explained(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run.main(["--help"])
    said = capsys.readouterr().out
    explained = said[said.index("exit codes:") :]
    assert re.findall(r"^  (\d+) ", explained, re.MULTILINE) == ["0", "2", "3", "130"]
    table = re.findall(r"^\| (\d+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert table == ["0", "2", "3", "130"]


def test_the_line_for_cron(tmp_path: Path) -> None:
    """Five fields, and a command that works as cron runs it: by `sh`, nearly without an environment."""
    line = next(
        text for text in DOCUMENT.read_text().splitlines() if "run.py --pipeline monitor" in text and text[0].isdigit()
    )
    minute, hour, *_ = line.split(maxsplit=5)
    assert (minute.isdigit(), hour.isdigit()) == (True, True)
    command = line.split(maxsplit=5)[5]
    assert "%" not in command, "cron takes it for the end of the line"
    log = tmp_path / "monitor.log"
    command = command.replace("/srv/clip-har", str(PROJECT)).replace(">>monitor.log", f"--dry-run >>{log}")
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=bare, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log.read_text()
    assert "# steps of monitor" in log.read_text()


def test_the_schedule_for_zenml(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the document makes the pipeline with its schedule; starting it needs an orchestrator that has them."""
    from tests.e2e.test_docs import blocks

    monkeypatch.chdir(PROJECT)
    (code,) = blocks(DOCUMENT, "python")
    space: dict = {}
    exec(compile(code, "monitoring.md", "exec", dont_inherit=True), space)
    assert space["scheduled"]._run_args["schedule"].cron_expression == "0 6 * * *"
    assert callable(space["start"])
