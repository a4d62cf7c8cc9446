"""What is asked of a challenger, check by check, in figures and in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clip_har.models.estimates import Estimate
from clip_har.registry.report import Check, DataComparison, Side, percent, points, probability_said

if TYPE_CHECKING:
    from clip_har.registry.promotion import Gate, PromotionConfig, Speed

_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
_BETTER, _CHANCE, _OLDER = "Gain in ", "Probability of such a difference by chance", "Not worse on "


def checks_beside(
    challenger: Side, champion: Side, compared: Sequence[DataComparison], config: PromotionConfig
) -> list[Check]:
    """What the challenger must be beside the champion."""
    newest, *older = compared
    checks = [_labels(challenger, champion), *_better(newest, config)]
    checks += [_not_worse(data, config) for data in older]
    checks += [_classes(data, config) for data in compared]
    checks.append(_calibration_beside(newest, config))
    return checks


def checks_of_first(challenger: Side, newest: DataComparison, config: PromotionConfig) -> list[Check]:
    """What it must be by itself; all that is asked of a first version, beside the gate and the speed."""
    checks = []
    if config.better_than_chance:
        accuracy, chance = newest.metrics["accuracy"], 1 / len(challenger.labels)
        checks.append(
            Check(
                name="Accuracy above guessing",
                figure=accuracy.value,
                bound=chance,
                unit="share",
                interval=accuracy,
                verdict=_verdict(accuracy.low > chance),
                wanted=f"its interval above {percent(chance)}",
                said=f"Its accuracy on {newest.samples} test photographs is {_share(accuracy)}; guessing among "
                f"{len(challenger.labels)} classes gives {percent(chance)}, and the interval must lie above that.",
            )
        )
    if config.minimum is not None:
        value, name = newest.metrics[config.metric], _NAMES[config.metric]
        checks.append(
            Check(
                name=f"{name[0].upper()}{name[1:]}",
                figure=value.value,
                bound=config.minimum,
                unit="share",
                interval=value,
                verdict=_verdict(value.value >= config.minimum),
                wanted=f"at least {percent(config.minimum)}",
                said=f"Its {name} on {newest.samples} test photographs is {_share(value)}; wanted: at least "
                f"{percent(config.minimum)}.",
            )
        )
    if config.maximum_ece is not None:
        checks.append(
            Check(
                name="Calibration error (ECE)",
                figure=newest.ece.value,
                bound=config.maximum_ece,
                at_least=False,
                unit="share",
                interval=newest.ece,
                verdict=_verdict(newest.ece.value <= config.maximum_ece),
                wanted=f"at most {percent(config.maximum_ece)}",
                said=f"Its calibration error is {percent(newest.ece.value)}; wanted: at most {percent(config.maximum_ece)}.",
            )
        )
    return checks


def checks_of_speed(speed: Speed, config: PromotionConfig) -> list[Check]:
    """How long a picture takes, by itself and beside the champion."""
    most = config.maximum_latency
    checks = [
        Check(
            name="Latency",
            figure=speed.challenger,
            bound=most,
            at_least=False,
            unit="milliseconds",
            verdict="shown" if most is None else _verdict(speed.challenger <= most),
            wanted="" if most is None else f"at most {most:g} ms",
            said=f"A picture takes {speed.challenger:.1f} ms here (runtime {speed.runtime})"
            + ("." if most is None else f"; wanted: at most {most:g} ms."),
        )
    ]
    if speed.champion is None:
        return checks
    ratio, bound = speed.challenger / speed.champion, config.latency_ratio
    said = (
        f"A picture takes {ratio:.2f} times as long as with the champion ({speed.challenger:.1f} ms, runtime "
        f"{speed.runtime}, against {speed.champion:.1f} ms, runtime {speed.champion_runtime}, in turn on this machine)"
    )
    checks.append(
        Check(
            name="Latency beside the champion's",
            figure=ratio,
            bound=bound,
            at_least=False,
            unit="times",
            verdict="shown" if bound is None else _verdict(ratio <= bound),
            wanted="" if bound is None else f"at most {bound:g} times",
            said=said + ("." if bound is None else f"; wanted: at most {bound:g} times."),
        )
    )
    return checks


def checks_of_gate(gate: Gate, config: PromotionConfig) -> list[Check]:
    """Whether forms for serving passed the export gate; those that did not are kept out of the bundle in any case."""
    said = f"{gate.accepted} of {gate.made} forms of the image encoder passed the export gate"
    return [
        Check(
            name="Forms that passed the export gate",
            figure=gate.accepted,
            bound=config.exported_forms,
            unit="count",
            verdict=_verdict(gate.accepted >= config.exported_forms),
            wanted=f"at least {config.exported_forms}",
            said=f"{said}; wanted: at least {config.exported_forms}.",
        )
    ]


def nothing_to_compare_on(data: str, left_out: int) -> Check:
    """The only check where there is no test photograph."""
    fitted = f" ({left_out} are, and one of the models was fitted on each)" if left_out else ""
    return Check(
        name="Test photographs",
        figure=0,
        bound=1,
        unit="count",
        verdict="failed",
        wanted="at least 1",
        said=f"There are no test photographs in {data} that could say anything{fitted}: make the share `splits.test` larger.",
    )


def reasons_of(checks: Sequence[Check], has_champion: bool, config: PromotionConfig) -> tuple[str, ...]:
    """Why, in sentences: what failed; or, if nothing did, what it was promoted for."""
    failed = [check for check in checks if check.verdict == "failed"]
    own = [config.note] if config.note else []
    if failed:
        return (*(check.said for check in failed), *own)
    if not has_champion:
        said = [check.said for check in checks if check.name == "Accuracy above guessing"]
        return ("There was no champion, and it keeps to all bounds.", *said, *own)
    shown = (_BETTER, _CHANCE, _OLDER)
    return (*(check.said for check in checks if check.name.startswith(shown)), *own)


def _labels(challenger: Side, champion: Side) -> Check:
    missing = [label for label in champion.labels if label not in challenger.labels]
    named = f": {', '.join(missing)}" if missing else ""
    return Check(
        name="Labels of the champion that it lacks",
        figure=len(missing),
        bound=0,
        at_least=False,
        unit="count",
        verdict=_verdict(not missing),
        wanted="none",
        said=f"It lacks {len(missing)} of the {len(champion.labels)} labels that the champion answers with{named}. What "
        "asks for those would no longer be answered.",
    )


def _better(data: DataComparison, config: PromotionConfig) -> list[Check]:
    """The gain, and that chance does not explain it; with `non_inferior` the second is for information."""
    beside = data.beside
    assert beside is not None
    gain, p = beside.gain, beside.p
    name = _NAMES[config.metric]
    ours, theirs = data.metrics[config.metric], beside.metrics[config.metric]
    bound = -config.margin if config.non_inferior else 0.0
    wanted = f"its interval above {points(bound) if bound else 0}"
    enough = gain.low > bound
    figures = (
        f"Its {name} on {data.samples} test photographs of {data.name} is {percent(ours.value)}, the champion's "
        f"{percent(theirs.value)}: {_points(gain)}"
    )
    better = p < config.alpha and gain.value > 0
    return [
        Check(
            name=f"{_BETTER}{name}",
            figure=gain.value,
            bound=bound,
            unit="points",
            interval=gain,
            verdict=_verdict(enough),
            wanted=wanted,
            said=f"{figures}{'' if enough else f'; wanted: {wanted}'}.",
        ),
        Check(
            name=_CHANCE,
            figure=p,
            bound=None if config.non_inferior else config.alpha,
            at_least=False,
            unit="probability",
            verdict="shown" if config.non_inferior else _verdict(better),
            wanted="" if config.non_inferior else f"below {config.alpha:g}, in its favour",
            said=_chance_said(data, config, better),
        ),
    ]


def _chance_said(data: DataComparison, config: PromotionConfig, better: bool) -> str:
    assert data.beside is not None
    pairs, p = data.beside.discordant, data.beside.p
    differ = pairs.gained + pairs.lost
    if not differ:
        return "There is no photograph that only one of them gets right: they are equally good."
    said = f"Of the {differ} photographs that only one of them gets right, {pairs.gained} are the challenger's"
    test = "McNemar's exact" if config.metric == "accuracy" else "permutation"
    figure = f"{test} {probability_said(p)}"
    if better or config.non_inferior:
        return f"{said} ({figure})."
    if config.metric != "accuracy":
        return f"{said}; {figure}, wanted: below {config.alpha:g}, in its favour."
    more = (
        "and even all would be no more than chance"
        if pairs.wanted is None
        else f"{pairs.wanted} would be more than chance"
    )
    return f"{said}; {more} ({figure}, wanted: below {config.alpha:g}, in its favour)."


def _not_worse(data: DataComparison, config: PromotionConfig) -> Check:
    assert data.beside is not None
    gain, bound = data.beside.gain, config.older_margin
    name = _NAMES[config.metric]
    ours, theirs = data.metrics[config.metric], data.beside.metrics[config.metric]
    said = (
        f"On {data.samples} test photographs of {data.name} its {name} is {percent(ours.value)}, the champion's "
        f"{percent(theirs.value)}: {_points(gain)}"
    )
    return Check(
        name=f"{_OLDER}{data.name}",
        figure=gain.value,
        bound=None if bound is None else -bound,
        unit="points",
        interval=gain,
        verdict="shown" if bound is None else _verdict(gain.value >= -bound),
        wanted="" if bound is None else f"at least {points(-bound)} points",
        said=said + ("." if bound is None else f"; wanted: at least {points(-bound)} points."),
    )


def _classes(data: DataComparison, config: PromotionConfig) -> Check:
    assert data.beside is not None
    classes = data.beside.classes
    lost = [row for row in classes if row.lost]
    named = "; ".join(
        f"{row.label}: {percent(row.champion or 0)} to {percent(row.challenger or 0)} of {row.samples} photographs, "
        f"{probability_said(row.p)}"
        for row in lost
    )
    smallest = min((row.samples for row in classes), default=0)
    return Check(
        name=f"Classes lost on {data.name}",
        figure=len(lost),
        bound=0,
        at_least=False,
        unit="count",
        verdict=_verdict(not lost),
        wanted=f"none by more than {100 * config.class_margin:g} points and more than chance",
        said=(
            f"It loses {len(lost)} of {len(classes)} classes on {data.name} by more than "
            f"{100 * config.class_margin:g} points and more than chance ({named})."
            if lost
            else f"No class is lost on {data.name}; the smallest has {smallest} test photographs."
        ),
    )


def _calibration_beside(data: DataComparison, config: PromotionConfig) -> Check:
    assert data.beside is not None
    gain, bound = data.beside.ece_gain, config.ece_increase
    said = (
        f"Its calibration error is {percent(data.ece.value)}, the champion's {percent(data.beside.ece.value)}: "
        f"{_points(gain)}"
    )
    failed = bound is not None and gain.value > bound and gain.low > 0
    return Check(
        name="Calibration error beside the champion's",
        figure=gain.value,
        bound=bound,
        at_least=False,
        unit="points",
        interval=gain,
        verdict="shown" if bound is None else _verdict(not failed),
        wanted="" if bound is None else f"at most {points(bound)} points, or no more than chance",
        said=said + ("." if bound is None else f"; wanted: at most {points(bound)} points, or no more than chance."),
    )


def _verdict(passed: bool) -> str:
    return "passed" if passed else "failed"


def _points(gain: Estimate) -> str:
    return f"{points(gain.value)} points ({points(gain.low)} to {points(gain.high)})"


def _share(value: Estimate) -> str:
    return f"{percent(value.value)} ({100 * value.low:.1f} to {100 * value.high:.1f})"
