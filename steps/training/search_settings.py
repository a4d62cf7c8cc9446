"""Step: search for better settings of one candidate. A pipeline has one of these for each candidate that is searched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from zenml import step

from clip_har.adaptation import AnyMethodConfig
from clip_har.adaptation.projection import PooledFeatures
from clip_har.adaptation.search.config import SearchConfig
from clip_har.adaptation.search.result import SearchResult, Trial
from clip_har.data.manifest import Manifest
from clip_har.hashing import sha256_json
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from materializers.search_result import SearchResultMaterializer
from stacks.tracking import pipeline_outbox
from steps.code import hash_of_modules
from steps.curves import LiveCurves, search_part, trial_rows
from steps.training.context import FitSettings, adaptation_context

if TYPE_CHECKING:  # what records is not part of what is found, and so not of the step's cache key
    from clip_har.tracking.outbox import Outbox

_STUDY = "clip_har.adaptation.search.study"


@step(output_materializers=SearchResultMaterializer)
def search_settings(
    manifest: Manifest,
    embeddings: EmbeddingSet,
    name: str,
    method: AnyMethodConfig,
    search: SearchConfig,
    fit: FitSettings,
    pooled: PooledFeatures | None = None,
) -> Annotated[SearchResult, "search"]:
    """The best settings on the validation split, and all that were tried."""
    from clip_har.adaptation.search.study import run_search

    with progress(f"searching {name}") as report:
        context = adaptation_context(manifest, embeddings, fit, method, pooled, report)
        key = sha256_json(
            {
                "fit": context.key,
                "search": search.model_dump(mode="json", exclude={"trials", "timeout"}),  # more trials go on
                "seed": fit.seed,
                "code": hash_of_modules(_STUDY),
            }
        )
        part, outbox = search_part(name), pipeline_outbox()
        curves = LiveCurves(part, outbox)
        if outbox is not None:
            outbox.params({part: {"method": method.method, **search.model_dump(mode="json")}})

        def on_trial(trial: Trial) -> None:
            curves.complete(trial_rows([trial]))
            if outbox is not None:
                _record_trial(outbox, part, trial, {"search": key[:16]})

        found = run_search(
            search, method, context, Path(fit.workspace) / "searches" / f"{key[:16]}.db", on_trial=on_trial
        )
        curves.complete(trial_rows(found.trials))
        return found


def _record_trial(outbox: "Outbox", part: str, trial: Trial, tags: dict[str, str]) -> None:
    """A run of its own for a trial, inside the pipeline's."""
    tags = {**tags, "trial": str(trial.number), "state": trial.state}
    recording = outbox.nested(outbox.run.inner(f"{part} trial {trial.number}", tags))
    recording.params(trial.settings)
    recording.metrics(trial.figures)
    recording.finish(trial.state != "failed")
