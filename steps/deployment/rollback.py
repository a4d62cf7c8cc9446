"""Step: bring the champion's predecessor back, and publish that. Never cached: it acts.

One step, so that a rollback that is cut off after its swap is finished by the same command, and not swapped back.
"""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.environment import describe_environment
from clip_har.registry.champion import Registry
from clip_har.registry.mirrors import facts_of, reconcile
from clip_har.registry.page import render_rollback
from clip_har.registry.records import Decision
from clip_har.runs import publish
from stacks.mirrors import active_mirrors
from steps.code import PROJECT
from steps.recording import record_published
from steps.timing import describe_current_run


@step(enable_cache=False)
def roll_back(
    workspace: str, outputs: str, folder: str | None, note: str, settings: str
) -> Annotated[str, "published"]:
    """Swap champion and predecessor, bring the mirrors up to date, and write `outputs/<run>/`.

    Args:
        folder: the run's folder, if it is to be a certain one.
        note: why, in the user's words.
        settings: the composed configuration as YAML, to be written down.
    """
    registry, mirrors = Registry.of(workspace), active_mirrors(workspace)
    run = describe_current_run()
    published: list[Path] = []

    def afterwards(decision: Decision) -> None:
        problems = [str(outcome) for outcome in reconcile(registry, mirrors) if outcome.problem]
        facts = facts_of(registry.version(str(decision.champion)))
        page = render_rollback(decision, registry.decisions(), facts)
        record = {
            **run,
            "model_id": decision.champion,
            "method": facts["method"],
            "environment": describe_environment(PROJECT),
            "settings": settings,
            "decision": decision.model_dump(mode="json"),
            "champion": facts,
            "mirrors": problems,
        }
        metrics = {"rollback": {name: float(value) for name, value in facts.items() if name.startswith("test_")}}
        published.append(publish(outputs, run["name"], report=page, metrics=metrics, record=record, fixed=folder))

    reconcile(registry, mirrors)
    registry.rollback(reasons=[note] if note else [], run=run["name"], afterwards=afterwards)
    record_published(published[0])
    return str(published[0])
