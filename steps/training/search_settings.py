"""Step: search for better settings of one candidate. A pipeline has one of these for each candidate that is searched."""

from pathlib import Path
from typing import Annotated

from zenml import get_step_context, step

from clip_har.adaptation import AnyMethodConfig
from clip_har.adaptation.projection import PooledFeatures
from clip_har.adaptation.search.config import SearchConfig
from clip_har.adaptation.search.result import SearchResult
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCacheConfig
from clip_har.hashing import sha256_json
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.progress import progress
from clip_har.tracking.trials import record_trials
from clip_har.training.embedding_cache import EmbeddingCacheConfig
from materializers.search_result import SearchResultMaterializer
from stacks.tracking import active_tracker
from steps.code import hash_of_modules
from steps.training.context import adaptation_context

_STUDY = "clip_har.adaptation.search.study"


@step(output_materializers=SearchResultMaterializer)
def search_settings(
    manifest: Manifest,
    embeddings: EmbeddingSet,
    name: str,
    method: AnyMethodConfig,
    search: SearchConfig,
    model: ModelConfig,
    prompts: PromptConfig,
    compute: ComputeConfig,
    seed: int,
    limits: ImageLimits,
    cache: PixelCacheConfig,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
    pooled: PooledFeatures | None = None,
) -> Annotated[SearchResult, "search"]:
    """The best settings on the validation split, and all that were tried."""
    from clip_har.adaptation.search.study import run_search

    with progress(f"searching {name}") as report:
        context = adaptation_context(
            manifest=manifest,
            embeddings=embeddings,
            model=model,
            prompts=prompts,
            compute=compute,
            seed=seed,
            limits=limits,
            cache=cache,
            embedding_cache=embedding_cache,
            workspace=workspace,
            progress=report,
            method=method,
            pooled=pooled,
        )
        key = sha256_json(
            {
                "fit": context.key,
                "search": search.model_dump(mode="json", exclude={"trials", "timeout"}),  # more trials go on
                "seed": seed,
                "code": hash_of_modules(_STUDY),
            }
        )
        params = {"candidate": name, "method": method.method, **search.model_dump(mode="json")}
        with record_trials(active_tracker, f"{_run_name()} search_{name}", params, {"search": key[:16]}) as record:
            return run_search(
                search,
                method,
                context,
                Path(workspace) / "searches" / f"{key[:16]}.db",
                on_trial=lambda trial: record(trial.number, trial.settings, trial.figures, trial.state),
            )


def _run_name() -> str:
    """The pipeline run's name; nothing outside one."""
    try:
        return get_step_context().pipeline_run.name
    except RuntimeError:
        return ""
