"""Two runs compared as Markdown: the verdict, what it rests on, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clip_har.cli import main
from clip_har.evaluation.comparison_comment import difference_of, share_of
from clip_har.evaluation.evaluate import EvaluationReport
from clip_har.evaluation.leaderboard import Entry, compare
from clip_har.evaluation.metrics import confusion_matrix, estimates, per_class
from clip_har.evaluation.plot_data import plot_files
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.estimates import Estimate
from clip_har.runs import publish

LABELS = ("cycling", "running", "sitting")
N = 300


def probabilities(wrong: dict[str, int], number: int = N) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities [n, c], labels [n]) of a model that is wrong on the first so many samples of some classes."""
    labels = np.arange(number) % len(LABELS)
    predicted = labels.copy()
    for name, count in wrong.items():
        index = LABELS.index(name)
        predicted[np.flatnonzero(labels == index)[:count]] = (index + 1) % len(LABELS)
    return 0.1 + 0.7 * np.eye(len(LABELS))[predicted], labels


def run_folder(
    outputs: Path,
    name: str,
    wrong: dict[str, int] | None = None,
    *,
    split: str = "test",
    names: tuple[str, ...] = LABELS,
    number: int = N,
    candidates: dict[str, int] | None = None,
    bundle: bool = True,
) -> Path:
    """A published run whose model is wrong on so many samples of some classes; candidates: name → samples it has right."""
    scores, labels = probabilities(wrong or {}, number)
    confusion = confusion_matrix(labels, scores.argmax(axis=1), len(names))
    report = EvaluationReport(
        model_id=f"id of {name}",
        method="lora",
        labels=names,
        split=split,
        samples=number,
        metrics=estimates(scores, labels, resamples=200, seed=0),
        confusion=tuple(map(tuple, confusion.tolist())),
        per_class=tuple(per_class(scores, labels, names)),
        curves={},
        temperature=1.0,
        uncalibrated={"ece": 0.1, "bins": []},
        calibrated={"ece": 0.05, "bins": []},
        right=(),
        wrong=(),
    )
    metrics = {split: report.figures(), "data": {"accepted": number}}
    board = None
    if candidates:
        entries = [
            Entry(
                name=candidate,
                method="lora",
                logits=5 * np.eye(len(LABELS))[np.where(np.arange(number) < right, labels, (labels + 1) % 3)],
                trained_parameters=1,
                open_vocabulary=OpenVocabulary(word="kept", basis=""),
            )
            for candidate, right in candidates.items()
        ]
        board = compare(entries, labels, select_by="accuracy", resamples=100)
        metrics["validation"] = board.figures()
    record = {"pipeline": "train", "model_id": report.model_id, "method": "lora", "data_hash": f"data of {name}"}
    files = plot_files(report, board)
    if bundle:
        info = {"backbone": "tiny-clip", "data_revision": f"version of {name}"}
        files["bundle/clip_har/bundle.json"] = json.dumps(info)
    return publish(outputs, name, report="", metrics=metrics, record=record, files=files)


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    """60 of 300 wrong."""
    return run_folder(tmp_path_factory.mktemp("outputs"), "before", {"cycling": 30, "sitting": 30})


def compared(*arguments: str | Path, capsys) -> str:
    assert main(["compare", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize(
    ("wrong", "headline"),
    [
        ({"cycling": 5, "sitting": 5}, "## Better: accuracy 80.0 % → 96.7 %"),
        ({"cycling": 60, "sitting": 60}, "## Worse: accuracy 80.0 % → 60.0 %"),
        ({"cycling": 28, "sitting": 27}, "## No difference beyond chance: accuracy 80.0 % → 81.7 %"),
    ],
)
def test_the_headline_says_what_the_figures_bear_out(before, tmp_path, wrong, headline, capsys):
    after = run_folder(tmp_path, "after", wrong)
    text = compared(before, after, capsys=capsys)
    assert text.startswith(f"{headline}\n")
    low, high = (
        float(end.replace("−", "-")) for end in re.search(r"Difference \S+ points \((\S+) to (\S+)\)", text).groups()
    )
    assert (low > 0, high < 0) == ("Better" in headline, "Worse" in headline)
    assert "Both on 300 photographs of the test split. Not paired" in text


def test_where_lower_is_better_less_is_better(before, tmp_path, capsys):
    after = run_folder(tmp_path, "after")
    text = compared(before, after, "--by", "log_loss", capsys=capsys)
    assert text.startswith("## Better: log loss ")
    assert re.search(r"\| log loss \(lower is better\) \|.*\| \*\*−0\.\d{3} ", text)


def test_classes_methods_and_origin_are_told(tmp_path, capsys):
    first = run_folder(tmp_path, "first", {"cycling": 50}, candidates={"lora": 150, "linear_probe": 200})
    second = run_folder(tmp_path, "second", {"sitting": 6}, candidates={"lora": 280, "tip_adapter": 90})
    text = compared(first, second, "--link", "https://example.org/1", capsys=capsys)
    classes = [line for line in text.splitlines() if line.startswith("| `") and "points" in line]
    assert classes[0].startswith("| `cycling` | 50.0 % | 100.0 % | **+50.0 points (")
    assert classes[1].startswith("| `sitting` | 100.0 % | 94.0 % | ")
    assert not any("running" in line for line in classes)
    methods = {line.split("|")[1].strip(): line for line in text.splitlines() if "66.7 %" in line or "93.3 %" in line}
    assert set(methods) == {"`lora`", "`linear_probe`"}
    assert re.search(r"\| 50\.0 % .* \| \*\*93\.3 % ", methods["`lora`"])
    assert re.search(r"\| \*\*66\.7 % .*\*\* \| – \|", methods["`linear_probe`"])
    for expected in ("`id of first`", "`version of second`", "`data of first`", "`tiny-clip`"):
        assert expected in text
    assert "](https://example.org/1)" in text


def test_leaderboards_may_come_from_other_runs(before, tmp_path, capsys):
    trained = run_folder(tmp_path, "trained", candidates={"lora": 150, "linear_probe": 200})
    after = run_folder(tmp_path, "after", bundle=False)
    assert "on the validation split" not in compared(before, after, capsys=capsys)
    text = compared(before, after, "--trained", before, trained, "--to", tmp_path / "a" / "comment.md", capsys=capsys)
    assert text == ""
    assert "| `linear_probe` | – | **66.7 %" in (tmp_path / "a" / "comment.md").read_text()


def test_the_same_model_is_no_difference(before, capsys):
    text = compared(before, before, capsys=capsys)
    assert text.startswith("## No difference: the same model\n")
    assert "No class's recall changed" in text


def test_other_photographs_are_pointed_out(before, tmp_path, capsys):
    text = compared(before, run_folder(tmp_path, "after", number=240), capsys=capsys)
    assert "Before on 300, after on 240 photographs of the test split: **not the same photographs**" in text


def test_names_are_no_markup(tmp_path, capsys):
    names = ("a|b`@everyone", "<img src=x>\n# b", "c")
    wrong = {"cycling": 50, "running": 50}  # by place: the same classes under other names
    before, after = (run_folder(tmp_path, name, wrong if name == "one" else {}, names=names) for name in ("one", "two"))
    text = compared(before, after, capsys=capsys)
    assert "| `a\\|b'@everyone` |" in text
    assert "| `<img src=x> # b` |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (4, 5) for line in rows)


def broken(folder: Path, file: str, text: str | None) -> Path:
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda outputs: outputs / "nowhere", "There is no folder"),
        (lambda outputs: broken(run_folder(outputs, "x"), "metrics.json", None), "has no metrics.json"),
        (lambda outputs: broken(run_folder(outputs, "x"), "run.json", None), "has no run.json"),
        (lambda outputs: broken(run_folder(outputs, "x"), "metrics.json", "{"), "is no JSON"),
        (lambda outputs: broken(run_folder(outputs, "x"), "metrics.json", '{"export": {}}'), "measured no model"),
        (
            lambda outputs: broken(run_folder(outputs, "x"), "metrics.json", '{"test": {"split": "test"}}'),
            "another version of clip-har: 'samples' is missing",
        ),
        (lambda outputs: run_folder(outputs, "x", split="validation"), "different splits, test and validation"),
        (
            lambda outputs: run_folder(outputs, "x", names=("cycling", "running", "singing")),
            "has 'sitting'; only",
        ),
    ],
)
def test_what_cannot_be_compared_is_named(before, tmp_path, make, said, capsys):
    after = make(tmp_path)
    assert main(["compare", str(before), str(after), "--to", str(tmp_path / "out.md")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert str(after) in err
    assert not (tmp_path / "out.md").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "acuracy"), "has no figure 'acuracy'. Did you mean 'accuracy'?"),
        (("--to", "."), "--to: '.' is a folder"),
        (("--to", "/dev/null/x.md"), "--to: '/dev/null/x.md' cannot be written"),
    ],
)
def test_mistaken_options_are_explained(before, arguments, said, capsys):
    assert main(["compare", str(before), str(before), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_intervals_are_the_published_ones():
    """Newcombe 1998: 81 of 263; and method 10 for 56 of 70 against 48 of 80."""
    assert (share_of(81 / 263, 263).low, share_of(81 / 263, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    change = difference_of(share_of(48 / 80, 80), share_of(56 / 70, 70))
    assert (change.low, change.value, change.high) == pytest.approx((0.0524, 0.2, 0.3339), abs=5e-5)
    assert share_of(1.0, 20).high == 1.0
    assert share_of(0.0, 20).low == 0.0


def test_equal_models_are_seldom_called_different():
    generator = np.random.default_rng(0)
    labels = np.zeros(150, dtype=int)
    figures = []
    for _ in range(240):  # each a measurement of the same model, 60 % right
        right = generator.random(150) < 0.6
        scores = np.stack([np.where(right, 0.9, 0.1), np.where(right, 0.1, 0.9)], axis=1)
        figures.append(estimates(scores, labels, resamples=200, seed=0)["accuracy"])
    pairs = [difference_of(first, second) for first, second in zip(figures[::2], figures[1::2], strict=True)]
    assert np.mean([change.low > 0 or change.high < 0 for change in pairs]) < 0.1


def test_no_minus_stands_before_a_zero():
    from clip_har.evaluation.comparison_comment import _difference

    change = Estimate(value=-0.0001, low=-0.02, high=0.02)
    assert _difference("accuracy", change) == "0.0 points (−2.0 to +2.0)"


def test_it_needs_nothing_but_the_light_part_of_the_package(before):
    code = (
        "import sys\nfrom clip_har.cli import main\n"
        f"main(['compare', {str(before)!r}, {str(before)!r}, '--to', '/dev/stderr'])\n"
        "print(*(name for name in ('torch', 'sklearn', 'scipy', 'pandas', 'jinja2', 'pyarrow') if name in sys.modules))"
    )
    code = code.replace("/dev/stderr", str(before.parent / "light.md"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
