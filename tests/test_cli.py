"""The command `clip-har`, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clip_har.cli import COMMANDS, main
from clip_har.data.quarantine import RejectionQueue
from clip_har.data.quarantine.command import COMMANDS as QUARANTINE
from tests.command import Finished
from tests.data.quarantine.reports import rejected, report_of
from tests.data.quarantine.test_contact_sheet import jpeg
from tests.self_contained import requests_of

PROJECT = Path(__file__).parents[1]


def clip_har(*arguments: str, folder: Path = PROJECT) -> Finished:
    """Run the command in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "clip_har", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with a workspace in which three samples are rejected."""
    data = tmp_path / "data"
    data.mkdir()
    rows = [
        rejected(data, "running/small.jpg", "too_small", jpeg("red"), "running", "60 × 40 pixels"),
        rejected(data, "sitting/half.jpg", "truncated", jpeg("blue")[:100], "sitting"),
        rejected(data, "gone.jpg", "missing_file", None, ""),
    ]
    RejectionQueue(tmp_path / "workspace" / "quarantine").update(report_of(rows), data, "v1")
    return tmp_path


def test_the_list_of_commands_needs_nothing_heavy():
    code = (
        "import sys\nfrom clip_har.cli import main\n"
        "main(['--help'])\nmain([])\nmain(['quarantin'])\n"
        "print(*(name for name in ('torch', 'pandas', 'numpy', 'PIL', 'pydantic', 'pyarrow') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    assert all(f"  {name}" in done.stdout for name in COMMANDS)


def test_the_script_is_declared():
    import importlib.metadata

    scripts = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="console_scripts")}
    assert scripts["clip-har"] == "clip_har.cli:main"


@pytest.mark.parametrize("command", [(), ("quarantine",), *(("quarantine", name) for name in QUARANTINE)])
def test_every_command_says_what_it_does(command, capsys):
    try:
        code = main([*command, "--help"])
    except SystemExit as stopped:
        code = stopped.code
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: {' '.join(['clip-har', *command])} ")


def test_a_queue_from_looking_to_deciding(place):
    queue = RejectionQueue(place / "workspace" / "quarantine")
    listed = clip_har("quarantine", "list", folder=place)
    assert (listed.code, listed.err) == (0, "")
    assert [line.split()[1:3] for line in listed.out.splitlines()[1:4]] == [
        ["missing_file", "waiting"],
        ["too_small", "waiting"],
        ["truncated", "waiting"],
    ]
    assert "3 rejected: 3 waiting" in listed.out
    key = next(line.split()[0] for line in listed.out.splitlines() if "too_small" in line)

    shown = clip_har("quarantine", "show", "--output", "sheet.html", folder=place)
    assert (shown.code, shown.out) == (0, "sheet.html\n")
    page = (place / "sheet.html").read_text()
    assert page.count("<figure") == 3
    assert requests_of(page) == []

    requeued = clip_har(
        "quarantine", "requeue", key[:6], "--who", "Ada", "--why", "an icon", "--waive", "too_small", folder=place
    )
    assert (requeued.code, requeued.err) == (0, "")
    assert requeued.out.startswith("requeued running/small.jpg (without too_small) by Ada: an icon\n")
    again = clip_har("quarantine", "requeue", "gone.jpg", "--who", "Ada", "--why", "look", folder=place)
    assert "It will be rejected again unless" in again.said
    discarded = clip_har("quarantine", "discard", "sitting/half.jpg", "--who", "Bob", "--why", "no use", folder=place)
    assert (discarded.code, discarded.out) == (0, "discarded sitting/half.jpg by Bob: no use\n")
    status = dict(queue.entries()[["uri", "status"]].itertuples(index=False, name=None))
    assert status == {"running/small.jpg": "requeued", "gone.jpg": "requeued", "sitting/half.jpg": "discarded"}

    past = clip_har("quarantine", "history", folder=place)
    assert [line.split(" ", 2)[-1] for line in past.out.splitlines()] == [
        "requeued running/small.jpg (without too_small) by Ada: an icon",
        "requeued gone.jpg by Ada: look",
        "discarded sitting/half.jpg by Bob: no use",
    ]
    records = [json.loads(line) for line in (queue.folder / "decisions.jsonl").read_text().splitlines()]
    assert [(record["who"], record["why"]) for record in records] == [
        ("Ada", "an icon"),
        ("Ada", "look"),
        ("Bob", "no use"),
    ]


def test_one_reason_and_another_workspace(place, capsys):
    workspace = ("--workspace", str(place / "workspace"))
    assert main(["quarantine", "list", "--reason", "truncated", *workspace]) == 0
    listed = capsys.readouterr().out
    assert "half.jpg" in listed
    assert "small.jpg" not in listed
    assert main(["quarantine", "show", *workspace]) == 0
    assert Path(capsys.readouterr().out.strip()) == place / "workspace" / "quarantine" / "contact_sheet.html"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a command is wanted"),
        (("quarantin",), "no command 'quarantin'. Did you mean 'quarantine'?"),
        (("quarantine",), "a command is wanted"),
        (("quarantine", "lst"), "no command 'lst'. Did you mean 'list'?"),
        (
            ("quarantine", "list", "--reason", "to_small"),
            "no reason 'to_small' for rejection. Did you mean 'too_small'?",
        ),
        (("quarantine", "show", "--reason", "blured"), "Did you mean 'blurred'?"),
        (("quarantine", "show", "--most", "0"), "--most: a number from 1 is wanted"),
        (("quarantine", "show", "--output", "data"), "--output: 'data' is a folder"),
        (("quarantine", "show", "--output", "data/x.txt/y.html"), "--output: 'data/x.txt/y.html' cannot be written"),
        (("quarantine", "list", "--workspace", "elsewhere"), "there is no rejection queue in 'elsewhere'"),
        (("quarantine", "list", "--resaon", "x"), "--resaon"),
        (("quarantine", "discard", "gone.jpg", "--who", "Ada"), "--why"),
        (("quarantine", "discard", "gone.jpg", "--who", "", "--why", "x"), "who: it is empty"),
        (("quarantine", "discard", "goone.jpg", "--who", "Ada", "--why", "x"), "Did you mean 'gone.jpg'?"),
        (("quarantine", "requeue", "gone.jpg", "--who", "A", "--why", "x", "--waive", "truncated"), "cannot be waived"),
    ],
)
def test_a_mistake_is_explained_and_ends_with_2(place, arguments, said, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "data" / "x.txt").write_text("a file")
    try:
        code = main(arguments)
    except SystemExit as stopped:  # argparse's own way
        code = stopped.code
    out, err = capsys.readouterr()
    assert code == 2
    assert said in " ".join(err.split())
    assert out == ""
    assert not (place / "workspace" / "quarantine" / "decisions.jsonl").exists()


def test_names_cannot_command_the_terminal(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    rows = [("\x1b[2J\nrm.jpg", "a\x1b]0;x\x07b", "missing_file", "\r\x1b[31m", "")]
    RejectionQueue(tmp_path / "workspace" / "quarantine").update(report_of(rows), tmp_path / "data", "v1")
    assert main(["quarantine", "list", "--workspace", str(tmp_path / "workspace")]) == 0
    listed = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in listed)
    assert len(listed.splitlines()) == 4


def test_output_that_nobody_reads_on_is_no_error(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [(f"{number}.jpg", "running", "missing_file", "more than a pipe holds " * 20, "") for number in range(1000)]
    RejectionQueue(tmp_path / "workspace" / "quarantine").update(report_of(rows), tmp_path / "data", "v1")
    command = f"{sys.executable} -m clip_har quarantine list"
    done = subprocess.run(["bash", "-c", f"{command} | head -c 1"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "K"
    assert done.stderr == ""
