"""Windows without drift and with it, looked at as `monitor` does: how often an alarm, what is named, what accuracy is estimated."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from shifts import CLASS_MIX, OTHER_FILES, OTHER_THINGS, PHOTOGRAPHS, Shift, dressed_as, shifted
from watched import OUT_OF_DOMAIN, Watched, World, answered_by, joined, unlabelled

from clip_har.hashing import sha256_file, sha256_json
from clip_har.monitoring.checking import check_window
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import DriftReport
from clip_har.progress import progress
from clip_har.samples.nuisances import Nuisances
from clip_har.samples.parallel import available_workers, map_in_processes
from clip_har.samples.sample import SampleConfig, draw_entry, plan_sample
from steps.code import hash_of_modules

SHIFTS = Path(__file__).with_name("shifts.py")
SIZE = 200
DETECTED = 0.95
STRENGTHS = tuple(round(0.1 * step, 1) for step in range(1, 11))
OTHER_MIX = 5  # actions that a window of another class mix is drawn from: the first in the alphabet
_FLAWLESS = dict.fromkeys(("broken", "exact_duplicates", "near_duplicates", "wrong_labels"), 0.0)

Draw = Callable[[np.random.Generator], Observations]
"""A window, with the truth."""


def interval(count: int, of: int, level: float) -> tuple[float, float]:
    """Clopper and Pearson's (1934) interval of a share."""
    from scipy.special import betaincinv

    outside = (1 - level) / 2
    low = float(betaincinv(count, of - count + 1, outside)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, 1 - outside)) if count < of else 1.0
    return low, high


def generator_of(*about: Any) -> np.random.Generator:
    """Seeded by what it is for."""
    return np.random.default_rng(int(sha256_json(list(about))[:15], 16))


def reports(
    watched: Watched, draw: Draw, count: int, config: MonitorConfig, *about: Any
) -> list[tuple[DriftReport, float]]:
    """Windows that are drawn one after another, each looked at without its truth; and the accuracy that it really has."""
    generator = generator_of(*about)
    drawn = [draw(generator) for _ in range(count)]
    with progress(" ".join(map(str, about))) as shown, ThreadPoolExecutor(available_workers()) as pool:
        found = []
        for window, checked in zip(
            drawn, pool.map(lambda one: check_window(watched.profile, unlabelled(one), config), drawn), strict=True
        ):
            found.append((checked, float((window.predicted == window.truth).mean())))
            shown(len(found), count)
    return found


def usual(watched: Watched) -> Draw:
    """Windows of the pool as it is, without replacement."""
    return lambda generator: watched.pool.take(generator.choice(len(watched.pool), SIZE, replace=False))


def false_alarms(watched: Watched, count: int, config: MonitorConfig, seed: int) -> dict[str, Any]:
    """How often windows without drift raise an alarm, in all and by check: in the joint test, and alone at the whole rate."""
    found = [report for report, _ in reports(watched, usual(watched), count, config, "false alarms, partition", seed)]
    alarms = sum(report.alarm for report in found)
    low, high = interval(alarms, count, 0.99)
    jointly, alone = Counter(), Counter()
    for report in found:
        jointly.update(check.name for check in report.alarmed)
        alone.update(
            check.name
            for check in report.checks
            if check.p_value is not None and check.p_value <= config.false_alarm_rate
        )
    names = [check.name for check in found[0].checks if check.p_value is not None]
    return {
        "partition": seed,
        "train": watched.train,
        "profile": len(watched.profile.observations),
        "pool": len(watched.pool),
        "windows": count,
        "tested": found[0].window.tested,
        "alarms": alarms,
        "rate": alarms / count,
        "low": low,
        "high": high,
        "jointly": {name: jointly[name] / count for name in names},
        "alone": {name: alone[name] / count for name in names},
    }


def point(found: Sequence[tuple[DriftReport, float]], shift: Shift, strength: float) -> dict[str, Any]:
    """What windows of one strength have shown."""
    alarmed = [report for report, _ in found if report.alarm]
    estimates = [
        (report.accuracy.estimated.value, true)
        for report, true in found
        if report.accuracy and report.accuracy.estimated
    ]
    return {
        "strength": strength,
        "windows": len(found),
        "detected": len(alarmed) / len(found),
        "named": sum(report.cause in shift.named_by for report in alarmed) / len(alarmed) if alarmed else None,
        "causes": dict(Counter(report.cause or "" for report in alarmed).most_common()),
        "true": float(np.mean([true for _, true in found])),
        "estimated": float(np.mean([estimated for estimated, _ in estimates])) if estimates else None,
        "error": float(np.mean([abs(estimated - true) for estimated, true in estimates])) if estimates else None,
    }


def power(measure: Callable[[float], dict[str, Any]], strengths: Sequence[float] = STRENGTHS) -> list[dict[str, Any]]:
    """Points at the strengths that are needed to find the smallest that is detected, and at the largest.

    By halving: what is detected at a strength is taken to be detected above.
    """
    points = {len(strengths) - 1: measure(strengths[-1])}
    low, high = -1, len(strengths) - 1 if points[len(strengths) - 1]["detected"] >= DETECTED else len(strengths)
    if high == len(strengths):
        low = len(strengths) - 1
    while high - low > 1:
        middle = (low + high) // 2
        points[middle] = measure(strengths[middle])
        low, high = (low, middle) if points[middle]["detected"] >= DETECTED else (middle, high)
    return [points[place] for place in sorted(points)]


def smallest(points: Sequence[dict[str, Any]]) -> float | None:
    """The smallest strength detected, as are all larger ones that were tried."""
    found = None
    for one in sorted(points, key=lambda one: -one["strength"]):
        if one["detected"] < DETECTED:
            break
        found = one["strength"]
    return found


class Photographs:
    """Windows of real photographs that something has happened to.

    Args:
        most: photographs that are spoiled, at each strength.
    """

    def __init__(self, world: World, watched: Watched, most: int) -> None:
        self._world, self._watched = world, watched
        rows = generator_of("spoiled").choice(len(watched.pool), min(most, len(watched.pool)), replace=False)
        self._spoiled, self.count = np.sort(rows), len(rows)

    def windows(self, shift: Shift, strength: float) -> Draw:
        """How windows of a shift are drawn."""
        pool = self._watched.pool
        if shift.name == CLASS_MIX:
            return self._mixed(pool.take(pool.truth < OTHER_MIX), strength)
        if shift.name in (OTHER_THINGS, OTHER_FILES):
            return self._mixed(self._other_things(shift), strength)
        changed = self._changed(shift, 1.0 if shift.by_share else strength)
        return self._mixed(changed, strength if shift.by_share else 1.0)

    def _mixed(self, changed: Observations, share: float) -> Draw:
        """Windows in which such a share is of the changed pictures, and the others are none of these as they were."""
        pool, count = self._watched.pool, round(share * SIZE)
        place = {identity: row for row, identity in enumerate(pool.ids)}

        def draw(generator: np.random.Generator) -> Observations:
            chosen = changed.take(generator.choice(len(changed), count, replace=False))
            taken = [place[identity] for identity in chosen.ids if identity in place]
            others = np.setdiff1d(np.arange(len(pool)), taken)
            return joined(chosen, pool.take(generator.choice(others, SIZE - count, replace=False)))

        return draw

    def _changed(self, shift: Shift, strength: float) -> Observations:
        pool = self._watched.pool.take(self._spoiled)
        files = [self._watched.files[identity] for identity in pool.ids]
        tasks = [(file, shift.name, strength) for file in files]
        about = [shift.name, strength, sha256_file(SHIFTS), list(pool.ids)]
        what = f"{shift.name} {strength:g}"
        observed = observed_files(self._world, what, about, lambda: _in_processes(_spoil, tasks), pool.ids, pool.truth)
        return answered_by(observed, self._watched.predictor)

    def _other_things(self, shift: Shift) -> Observations:
        files = sorted((OUT_OF_DOMAIN / "images").iterdir())
        models: list[Path | None] = [None] * len(files)
        if shift.name == OTHER_THINGS:
            ids = self._watched.pool.ids
            models = [self._watched.files[identity] for identity in ids[: len(files)]]
        tasks = list(zip(files, models, strict=True))
        ids = [f"{shift.name}/{file.name}" for file in files]
        about = [ids, [model and model.name for model in models], sha256_file(SHIFTS)]
        unknown = np.full(len(files), -1)
        observed = observed_files(self._world, shift.name, about, lambda: _in_processes(_dress, tasks), ids, unknown)
        return answered_by(observed, self._watched.predictor)


class Drawings:
    """Windows of new scenes of the drawn world with a dial turned.

    Args:
        per_class: scenes of each action.
    """

    def __init__(self, world: World, watched: Watched, per_class: int) -> None:
        self._world, self._per_class = world, per_class
        self.count = per_class * len(SampleConfig().actions)
        self._predictor, self._labels = watched.predictor, watched.predictor.bundle.labels

    def windows(self, shift: Shift | None, strength: float) -> Draw:
        """How windows of a dial are drawn; None: of new scenes of the normal world."""
        dials = Nuisances(**({} if shift is None else {shift.name: strength}))
        config = SampleConfig(per_class=self._per_class, seed=1_000_003, nuisances=dials, **_FLAWLESS)
        entries = plan_sample(config)
        tasks = [(config, entry) for entry in entries]
        ids = [f"{entry.action}/{entry.number}" for entry in entries]
        truth = np.array([self._labels.index(entry.action) for entry in entries])
        what = f"{shift.name} {strength:g}" if shift else "the normal world"
        about = [config.model_dump(mode="json"), hash_of_modules("clip_har.samples.sample")]
        observed = observed_files(self._world, what, about, lambda: _in_processes(draw_entry, tasks), ids, truth)
        observed = answered_by(observed, self._predictor)
        return lambda generator: observed.take(generator.choice(len(observed), SIZE, replace=False))


def observed_files(
    world: World, what: str, about: list, make: Callable[[], Iterable[bytes]], ids: Sequence[str], truth: np.ndarray
) -> Observations:
    """Files that are made, observed and removed again; or what was observed of them before.

    Args:
        what: in words.
        about: all that they depend on.
    """

    def observed() -> Observations:
        with tempfile.TemporaryDirectory(dir=world.folder) as place:
            paths = []
            with progress(f"making {what}") as report:
                for number, data in enumerate(make()):
                    paths.append(Path(place) / f"{number:05}.jpg")
                    paths[-1].write_bytes(data)
                    report(number + 1, len(ids))
            return world.observe(f"observing {what}", paths, ids, truth)

    return world.kept([what, about], observed)


def _in_processes(work: Callable, tasks: Sequence) -> Iterator[bytes]:
    return map_in_processes(work, tasks, len(tasks))


def _spoil(task: tuple[Path, str, float]) -> bytes:
    file, name, strength = task
    return shifted(file.read_bytes(), next(shift for shift in PHOTOGRAPHS if shift.name == name), strength)


def _dress(task: tuple[Path, Path | None]) -> bytes:
    file, model = task
    data = file.read_bytes()
    return data if model is None else dressed_as(data, model.read_bytes())
