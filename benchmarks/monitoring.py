"""What monitoring is worth: false alarms, the smallest change that is seen, estimated accuracy, and a report on very many rows.

False alarms: windows of 200 photographs, drawn without replacement from at least 2,000 that neither the model nor the profile has
seen, in several partitions of the same data. Power: windows of 200 of photographs that something was done to, and of new scenes of
the drawn world with a dial turned; the smallest strength at which 95 % of the windows raise an alarm is found by halving. Each window
is looked at by `check_window`, without its truth. What was observed is kept in a folder, and what each part found too: `--write`
makes docs/monitoring-figures.md of that.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import PROJECT, finish, parser, real_data, show

sys.path.insert(0, str(PROJECT))

import captured_report
from drift_windows import (
    DETECTED,
    SIZE,
    STRENGTHS,
    Drawings,
    Photographs,
    false_alarms,
    point,
    power,
    reports,
    smallest,
    usual,
)
from monitoring_page import write_page
from shifts import DIALS, PHOTOGRAPHS, Shift
from watched import drawn_world, photographs

from clip_har.monitoring.config import MonitorConfig, ProfileConfig
from clip_har.storage import write_json

PARTS = ("false_alarms", "photographs", "drawn", "report")
NOTHING = Shift("nothing", "nothing", ())


def measure_false_alarms(folder: Path, quick: bool) -> dict[str, Any]:
    """Of several partitions of the photographs."""
    config, world = settings(quick, ("calibration", "validation")), photographs(folder, quick)
    windows, partitions = (20, 1) if quick else (200, 5)
    rows = [false_alarms(world.watched(seed, config.profile), windows, config, seed) for seed in range(partitions)]
    show(
        f"Windows of {SIZE} photographs without drift; wanted: {config.false_alarm_rate:.0%}",
        [
            (
                row["partition"],
                row["profile"],
                row["pool"],
                row["windows"],
                f"{row['rate']:.1%}",
                f"{row['low']:.1%} to {row['high']:.1%}",
            )
            for row in rows
        ],
        ("partition", "profile", "drawn from", "windows", "alarms", "99 % interval"),
    )
    return {"wanted": config.false_alarm_rate, "partitions": rows}


def measure_photographs(folder: Path, quick: bool) -> dict[str, Any]:
    """Power on real photographs."""
    config, world = settings(quick, ("calibration", "validation")), photographs(folder, quick)
    watched = world.watched(0, config.profile)
    spoiled = Photographs(world, watched, 260 if quick else 400)
    shifts = PHOTOGRAPHS[:1] if quick else PHOTOGRAPHS
    found = powers(watched, spoiled.windows, shifts, config, quick)
    none = point(reports(watched, usual(watched), windows(quick), config, "photographs as they are"), NOTHING, 0.0)
    return shown("Real photographs", shifts, found, none, spoiled.count)


def measure_drawn(folder: Path, quick: bool) -> dict[str, Any]:
    """Power on the drawn world, for the model and profile of the default configuration."""
    config, world = settings(quick, ProfileConfig().splits), drawn_world(folder, quick)
    watched = world.watched(0, config.profile)
    drawings = Drawings(world, watched, 14 if quick else 20)
    shifts = DIALS[:1] if quick else DIALS
    found = powers(watched, drawings.windows, shifts, config, quick)
    none = None
    if not quick:
        draw = drawings.windows(None, 0.0)
        none = point(reports(watched, draw, windows(quick), config, "new scenes as they are"), NOTHING, 0.0)
    return shown("The drawn world", shifts, found, none, drawings.count)


def measure_report(folder: Path, quick: bool) -> dict[str, Any]:
    """A report on 100,000 captured rows."""
    rows = 2000 if quick else 100_000
    found = captured_report.measure(rows) | {"rows": rows}
    show(f"A report on {rows:,} captured rows", [(name, f"{value:.2f}") for name, value in found.items()], ("", ""))
    return found


def settings(quick: bool, splits: tuple[str, ...]) -> MonitorConfig:
    """As `monitor` has them; fewer pairs behind the thresholds if it is to be quick."""
    profile = ProfileConfig(splits=splits, **({"partitions": 100} if quick else {}))
    return MonitorConfig(profile=profile, examples=0)


def windows(quick: bool) -> int:
    """Of each strength."""
    return 5 if quick else 40


def powers(
    watched, draw: Callable, shifts: tuple[Shift, ...], config: MonitorConfig, quick: bool
) -> dict[str, list[dict]]:
    """Points of each shift."""
    strengths = STRENGTHS[-1:] if quick else STRENGTHS

    def at(shift: Shift) -> Callable[[float], dict[str, Any]]:
        def measure(strength: float) -> dict[str, Any]:
            found = reports(watched, draw(shift, strength), windows(quick), config, shift.name, strength)
            return point(found, shift, strength)

        return measure

    return {shift.name: power(at(shift), strengths) for shift in shifts}


def shown(
    title: str, shifts: tuple[Shift, ...], found: dict[str, list[dict]], none: dict | None, pictures: int
) -> dict[str, Any]:
    """The table of a world's power, and its figures."""
    rows = []
    for shift in shifts:
        points, least = found[shift.name], smallest(found[shift.name])
        at = next((one for one in points if one["strength"] == least), points[-1])
        named = "" if at["named"] is None else f"{at['named']:.0%}"
        rows.append((shift.name, "none" if least is None else f"{least:g}", named, ", ".join(list(at["causes"])[:3])))
    show(
        f"{title}: smallest strength at which {DETECTED:.0%} of windows of {SIZE} raise an alarm, and what is named there",
        rows,
        ("change", "strength", "rightly", "named"),
    )
    return {"points": found, "nothing": none, "pictures": pictures}


MEASURES: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "false_alarms": measure_false_alarms,
    "photographs": measure_photographs,
    "drawn": measure_drawn,
    "report": measure_report,
}


def flat(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The last line."""
    figures: dict[str, Any] = {"benchmark": "monitoring"}
    if "false_alarms" in results:
        rows = results["false_alarms"]["partitions"]
        figures |= {f"false_alarm_{key}": rows[0][key] for key in ("rate", "low", "high")}
        figures["false_alarm_rate_of_all_partitions"] = float(np.mean([row["rate"] for row in rows]))
        figures["partitions_within"] = sum(
            row["low"] <= results["false_alarms"]["wanted"] <= row["high"] for row in rows
        )
        figures["partitions"] = len(rows)
    named = []
    for world, prefix in (("photographs", "power_"), ("drawn", "power_drawn_")):
        if world not in results:
            continue
        points = results[world]["points"]
        figures |= {f"{prefix}{name}": smallest(of) for name, of in points.items()}
        named += [one["named"] for of in points.values() for one in of if one["detected"] >= DETECTED]
        errors = [one["error"] for of in points.values() for one in of if one["error"] is not None]
        key = "estimated_accuracy_mae" if world == "photographs" else "estimated_accuracy_mae_drawn"
        figures[key] = float(np.mean(errors)) if errors else None
    if named:
        figures["named_share"] = float(np.mean(named))
    if "report" in results:
        of = results["report"]
        short = "100k" if of["rows"] == 100_000 else str(of["rows"])
        figures |= {f"report_{short}_{unit}": of[f"report_{unit}"] for unit in ("s", "cpu_s", "gb")}
    return figures


def main() -> None:
    """Measure, show, and print the line."""
    made = parser(__doc__)
    made.add_argument(
        "--parts", nargs="*", choices=PARTS, default=list(PARTS), help="what is measured; none: --write alone"
    )
    made.add_argument(
        "--folder",
        default=str(PROJECT / "workspace" / "monitoring-figures"),
        help="where what was observed and found is kept",
    )
    made.add_argument(
        "--write", action="store_true", help="write docs/monitoring-figures.md from the last figures of all parts"
    )
    options = made.parse_args()
    if not real_data():
        print("error: the photographs and the backbone are not here (../shared/data/har).", file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder)
        found = folder / ("quick" if options.quick else "found")
        results = {}
        for part in options.parts:
            results[part] = MEASURES[part](Path(scratch) if part == "report" else folder, options.quick)
            write_json(found / f"{part}.json", results[part])
    if options.write:
        missing = [part for part in PARTS if not (found / f"{part}.json").is_file()]
        if options.quick or missing:
            why = "--quick measures too little" if options.quick else f"{', '.join(missing)} not measured yet"
            print(f"error: docs/monitoring-figures.md is not written: {why}.", file=sys.stderr)
            sys.exit(2)
        write_page({part: json.loads((found / f"{part}.json").read_text()) for part in PARTS}, flat)
    finish(flat(results))


if __name__ == "__main__":
    main()
