"""`clip-har compare`: two runs before and after a change, as Markdown for a comment or a job's summary."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from math import sqrt
from pathlib import Path

from clip_har.errors import DataError, did_you_mean
from clip_har.evaluation.measured_run import MeasuredRun, read_measured_run
from clip_har.models.estimates import Estimate

_LOWER_IS_BETTER = frozenset({"log_loss"})
_NO_SHARE = frozenset({"log_loss"})  # not printed as a percentage
_MAIN = ("accuracy", "balanced_accuracy", "macro_f1", "top3_accuracy", "top5_accuracy", "log_loss")
_NAMED_CLASSES = 10
_NAMED_FROM = 0.05  # a class's recall that changed by less is not worth a line
_Z = 1.959964


def main(arguments: Sequence[str]) -> int:
    """Write the comparison to a file, or print it."""
    from clip_har.storage import write_atomic

    parser = argparse.ArgumentParser(
        prog="clip-har compare", description="Compare two runs of train or evaluate, as Markdown."
    )
    parser.add_argument("before", metavar="OUTPUTS_BEFORE", help="folder of a run, like outputs/dvc/evaluate")
    parser.add_argument("after", metavar="OUTPUTS_AFTER", help="folder of the run to compare with it")
    parser.add_argument(
        "--trained",
        nargs=2,
        metavar=("BEFORE", "AFTER"),
        help="folders of the two train runs that the models come from, for their leaderboards (default: the same folders)",
    )
    parser.add_argument(
        "--by", default="accuracy", metavar="FIGURE", help="what the headline says (default: %(default)s)"
    )
    parser.add_argument("--link", metavar="URL", help="where the whole reports are")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write it there instead of printing it")
    options = parser.parse_args(arguments)
    trained = None if options.trained is None else tuple(read_measured_run(folder) for folder in options.trained)
    text = render_comparison(
        read_measured_run(options.before),
        read_measured_run(options.after),
        trained=trained,
        by=options.by,
        link=options.link,
    )
    if options.to is None:
        sys.stdout.write(text)
        return 0
    if options.to.is_dir():
        raise DataError(
            f"--to: {str(options.to)!r} is a folder; a file is wanted, like {options.to / 'comparison.md'}."
        )
    try:
        write_atomic(options.to, text)
    except OSError as error:
        raise DataError(f"--to: {str(options.to)!r} cannot be written: {error.strerror or error}.") from None
    return 0


def difference_of(before: Estimate, after: Estimate) -> Estimate:
    """Difference of two figures measured apart, after minus before, with its 95 % interval.

    The method of variance estimates recovery: Zou and Donner 2008, "Construction of confidence limits about effect
    measures", equation 6. For shares with Wilson intervals it is Newcombe's (1998) method 10.
    """
    value = after.value - before.value
    down = sqrt((after.value - after.low) ** 2 + (before.high - before.value) ** 2)
    up = sqrt((after.high - after.value) ** 2 + (before.value - before.low) ** 2)
    return Estimate(value=value, low=value - down, high=value + up)


def share_of(share: float, number: int) -> Estimate:
    """A share of `number` samples with its 95 % interval: Wilson 1927."""
    centre = (share + _Z**2 / (2 * number)) / (1 + _Z**2 / number)
    half = _Z / (1 + _Z**2 / number) * sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    return Estimate(value=share, low=max(0.0, min(share, centre - half)), high=min(1.0, max(share, centre + half)))


def render_comparison(
    before: MeasuredRun,
    after: MeasuredRun,
    *,
    trained: tuple[MeasuredRun, MeasuredRun] | None = None,
    by: str = "accuracy",
    link: str | None = None,
) -> str:
    """Markdown: headline, figures, classes that changed, methods, where it all comes from.

    Args:
        trained: the runs whose leaderboards are shown; the same two if not given.
        by: figure of the headline.
        link: URL of the whole reports.

    Raises:
        DataError: if the runs measured different splits or classes, or one lacks the figure.
    """
    _check_comparable(before, after, by)
    parts = [
        _headline(before, after, by),
        _basis(before, after),
        _figures(before, after),
        _classes(before, after),
        _leaderboard(*(trained or (before, after)), by),
        _origin(before, after),
    ]
    if link is not None:
        parts.append(f"[The whole reports]({link}), with confusions and examples.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _check_comparable(before: MeasuredRun, after: MeasuredRun, by: str) -> None:
    places = f"{before.folder!r} and {after.folder!r}"
    if before.split != after.split:
        raise DataError(
            f"{places} measured different splits, {before.split} and {after.split}: evaluate both on one "
            "(--set evaluation.split=test)."
        )
    only_before, only_after = (sorted(set(a.recall) - set(b.recall)) for a, b in ((before, after), (after, before)))
    if only_before or only_after:
        stray = "; ".join(
            f"only {place!r} has {', '.join(map(repr, labels))}"
            for place, labels in ((before.folder, only_before), (after.folder, only_after))
            if labels
        )
        raise DataError(f"{places} measured different classes: {stray}. Evaluate both models on one data set.")
    for run in (before, after):
        if by not in run.metrics:
            raise DataError(f"--by: {run.folder!r} has no figure {by!r}. {did_you_mean(by, run.metrics)}")


def _headline(before: MeasuredRun, after: MeasuredRun, by: str) -> str:
    change = difference_of(before.metrics[by], after.metrics[by])
    name = by.replace("_", " ")
    values = f"{name} {_value(by, before.metrics[by].value)} → {_value(by, after.metrics[by].value)}"
    if before.model_id == after.model_id:
        return f"## No difference: the same model\n\n{values}."
    if change.low <= 0 <= change.high:
        verdict = "No difference beyond chance"
    else:
        verdict = "Better" if (change.value > 0) != (by in _LOWER_IS_BETTER) else "Worse"
    return f"## {verdict}: {values}\n\nDifference {_difference(by, change)}."


def _basis(before: MeasuredRun, after: MeasuredRun) -> str:
    """What was measured, and what the intervals are worth."""
    if before.samples == after.samples:
        measured = f"Both on {after.samples:,} photographs of the {after.split} split"
    else:
        measured = (
            f"Before on {before.samples:,}, after on {after.samples:,} photographs of the {after.split} split: "
            "**not the same photographs**"
        )
    return (
        f"{measured}. Not paired: a run's folder holds no answers to single photographs, so the intervals of differences "
        "take the two measurements as independent. Where both saw the same photographs they are wider than need be, and "
        "a small difference may be real though it is called chance; promotion compares photograph by photograph."
    )


def _figures(before: MeasuredRun, after: MeasuredRun) -> str:
    shared = [name for name in before.metrics if name in after.metrics]
    main = [name for name in _MAIN if name in shared]
    others = sorted(set(shared) - set(main))
    errors = (before.calibration_error, after.calibration_error)
    calibration = (
        "calibration error",
        *(f"{_percent(error)}" for error in errors),
        f"{_signed(100 * (errors[1] - errors[0]), 1)} points",
    )
    header = ("figure", "before", "after", "difference (95 % interval)")
    rows = [*(_figure_row(name, before, after) for name in main), calibration]
    table = _table(header, rows)
    if not others:
        return table
    folded = _table(header, [_figure_row(name, before, after) for name in others])
    return f"{table}\n\n<details><summary>Other figures</summary>\n\n{folded}\n\n</details>"


def _figure_row(name: str, before: MeasuredRun, after: MeasuredRun) -> tuple[str, ...]:
    first, second = before.metrics[name], after.metrics[name]
    change = difference_of(first, second)
    marked = _difference(name, change)
    if before.model_id != after.model_id and not change.low <= 0 <= change.high:
        marked = f"**{marked}**"
    lower = " (lower is better)" if name in _LOWER_IS_BETTER else ""
    return name.replace("_", " ") + lower, _with_interval(name, first), _with_interval(name, second), marked


def _classes(before: MeasuredRun, after: MeasuredRun) -> str:
    """Classes whose recall changed most."""
    changed = sorted(
        (label for label in before.recall if abs(after.recall[label] - before.recall[label]) >= _NAMED_FROM),
        key=lambda label: (-abs(after.recall[label] - before.recall[label]), label),
    )
    if not changed:
        return f"No class's recall changed by {100 * _NAMED_FROM:.0f} points or more."
    rows = []
    for label in changed[:_NAMED_CLASSES]:
        change = _change_of_recall(label, before, after)
        points = f"{_signed(100 * (after.recall[label] - before.recall[label]), 1)} points"
        if change is not None:
            points += f" ({_ends('recall', change)})"
            points = points if change.low <= 0 <= change.high else f"**{points}**"
        rows.append((_code(label), _percent(before.recall[label]), _percent(after.recall[label]), points))
    table = _table(("recall of", "before", "after", "difference (95 % interval)"), rows)
    left = len(changed) - len(rows)
    more = f" {left} more changed by as much as that." if left else ""
    known = "" if before.support is None or after.support is None else " Bold: beyond chance for that class alone."
    return f"{table}\n\nClasses that changed by {100 * _NAMED_FROM:.0f} points or more.{more}{known}"


def _change_of_recall(label: str, before: MeasuredRun, after: MeasuredRun) -> Estimate | None:
    numbers = [(run.support or {}).get(label) for run in (before, after)]
    if not all(numbers):
        return None
    first, second = (share_of(run.recall[label], number) for run, number in zip((before, after), numbers, strict=True))
    return difference_of(first, second)


def _leaderboard(before: MeasuredRun, after: MeasuredRun, by: str) -> str:
    """The methods on the validation split, of the runs that compared any."""
    names = list(dict.fromkeys([*after.leaderboard, *before.leaderboard]))
    if not names:
        return ""
    rows = []
    for name in names:
        cells = []
        for run in (before, after):
            estimate = run.leaderboard.get(name, {}).get(by)
            cell = "–" if estimate is None else _with_interval(by, estimate)
            cells.append(f"**{cell}**" if name == run.winner else cell)
        rows.append((_code(name), *cells))
    title = f"method, {by.replace('_', ' ')} on the validation split"
    return f"{_table((title, 'before', 'after'), rows)}\n\nBold: the method that was chosen."


def _origin(before: MeasuredRun, after: MeasuredRun) -> str:
    names = list(dict.fromkeys([*before.facts, *after.facts]))
    rows = [(name, *(_code(run.facts.get(name, "–"), 40) for run in (before, after))) for name in names]
    rows += [("measured with", _code(before.runtime), _code(after.runtime))] if before.runtime != after.runtime else []
    return f"<details><summary>Models, data, code</summary>\n\n{_table(('', 'before', 'after'), rows)}\n\n</details>"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str, most: int = 60) -> str:
    """A name as a code span: nothing in it is markup, a mention or the end of a cell."""
    shown = text if len(text) <= most else text[: most - 1] + "…"
    shown = "".join(letter if letter.isprintable() else " " for letter in shown).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _value(name: str, value: float) -> str:
    return f"{value:.3f}" if name in _NO_SHARE else _percent(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _with_interval(name: str, estimate: Estimate) -> str:
    ends = [f"{end:.3f}" if name in _NO_SHARE else f"{100 * end:.1f}" for end in (estimate.low, estimate.high)]
    return f"{_value(name, estimate.value)} ({' to '.join(ends)})"


def _difference(name: str, change: Estimate) -> str:
    value = _signed(change.value, 3) if name in _NO_SHARE else f"{_signed(100 * change.value, 1)} points"
    return f"{value} ({_ends(name, change)})"


def _ends(name: str, change: Estimate) -> str:
    scale, digits = (1, 3) if name in _NO_SHARE else (100, 1)
    return f"{_signed(scale * change.low, digits)} to {_signed(scale * change.high, digits)}"


def _signed(value: float, digits: int) -> str:
    rounded = round(value, digits) + 0.0  # no minus before a zero
    return f"{rounded:+.{digits}f}".replace("-", "\u2212") if rounded else f"{0:.{digits}f}"
