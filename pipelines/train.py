"""train: photographs → the best of several adaptation methods, as a bundle with a report."""

from zenml import Model, pipeline
from zenml.enums import ExecutionMode

from clip_har.adaptation import METHODS
from clip_har.config import RunConfig
from pipelines.caching import on_its_code
from pipelines.labelled_data import labelled_data, plan_of_labelled_data
from steps.data.review_labels import review_labels
from steps.deployment.publish_run import publish_run
from steps.evaluation.compare_methods import compare_methods
from steps.evaluation.evaluate_model import evaluate_model
from steps.evaluation.hold_out_classes import hold_out_classes
from steps.evaluation.measure_open_vocabulary import measure_open_vocabulary
from steps.training.adapt import adapt
from steps.training.assemble import assemble
from steps.training.context import FitSettings
from steps.training.embed_images import embed_images
from steps.training.pool_images import pool_images
from steps.training.search_settings import search_settings


@pipeline(name="train", model=Model(name="clip-har"), execution_mode=ExecutionMode.FAIL_FAST)
def train(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Fit every method and publish the best."""
    limits, cache = config.validation.limits, config.pixel_cache
    manifest, validation_report, fingerprint = labelled_data(config, workspace, version)
    novel_classes = None
    if config.adaptation.open_vocabulary is not None:
        novel_classes = on_its_code(hold_out_classes)(
            manifest, open_vocabulary=config.adaptation.open_vocabulary, seed=config.seed
        )
    kept = {"limits": limits, "embedding_cache": config.embedding_cache, "workspace": workspace}
    embedding = {
        "manifest": manifest,
        "model": config.model,
        "compute": config.compute,
        "cache": cache,
        **kept,
        "after": [novel_classes] if novel_classes is not None else [],
    }
    if _needs_pooled(config):
        embeddings, pooled = on_its_code(pool_images)(**embedding)
    else:
        embeddings, pooled = on_its_code(embed_images)(**embedding), None
    review = on_its_code(review_labels)(manifest, embeddings, review=config.label_review, seed=config.seed)
    searches = {search.candidate: search for search in config.search}
    shared = FitSettings(
        model=config.model, prompts=config.prompts, compute=config.compute, seed=config.seed, cache=cache, **kept
    )
    candidates, vocabularies, found = [], [], []
    for name in config.adaptation.methods:
        method = config.adaptation.candidates[name]
        fit = {
            "manifest": manifest,
            "embeddings": embeddings,
            "name": name,
            "method": method.model_dump(mode="json"),
            "fit": shared,
        }
        if METHODS.get(method.method).needs_pooled:
            fit["pooled"] = pooled
        code = METHODS.module(method.method)
        if name in searches:
            study = "clip_har.adaptation.search.study"
            found.append(on_its_code(search_settings, code, study)(**fit, search=searches[name], id=f"search_{name}"))
            fit["found"] = found[-1]
        candidates.append(on_its_code(adapt, code)(**fit, id=f"adapt_{name}"))
        if novel_classes is not None:
            vocabularies.append(
                on_its_code(measure_open_vocabulary, code)(
                    **fit,
                    novel_classes=novel_classes,
                    open_vocabulary=config.adaptation.open_vocabulary,
                    id=f"open_vocabulary_{name}",
                )
            )
    leaderboard = on_its_code(compare_methods)(
        candidates, manifest, comparison=config.adaptation.comparison, vocabularies=vocabularies
    )
    bundle = on_its_code(assemble)(
        candidates=candidates,
        leaderboard=leaderboard,
        manifest=manifest,
        embeddings=embeddings,
        model=config.model,
        prompts=config.prompts,
        compute=config.compute,
        **kept,
        calibration=config.calibration,
        vocabularies=vocabularies,
    )
    evaluation = on_its_code(evaluate_model)(
        bundle=bundle,
        manifest=manifest,
        evaluation=config.evaluation,
        compute=config.compute,
        **kept,
        embeddings=embeddings,
        candidates=candidates,
    )
    publish_run(
        bundle=bundle,
        evaluation=evaluation,
        manifest=manifest,
        validation_report=validation_report,
        fingerprint=fingerprint,
        review=review,
        outputs=outputs,
        folder=config.paths.run,
        settings=settings,
        seed=config.seed,
        limits=config.validation.limits,
        leaderboard=leaderboard,
        candidates=candidates,
        searches=found,
    )


def _needs_pooled(config: RunConfig) -> bool:
    """Whether a method is fitted on what goes into the projection."""
    methods = (config.adaptation.candidates[name].method for name in config.adaptation.methods)
    return any(METHODS.get(method).needs_pooled for method in methods)


def plan(config: RunConfig, version: str | None = "published") -> list[str]:
    """Names of the steps, in order."""
    measured = config.adaptation.open_vocabulary is not None
    steps_of_one = ("adapt", "open_vocabulary") if measured else ("adapt",)
    searched = {search.candidate: ("search",) for search in config.search}
    fitted = [
        f"{step}_{name}" for name in config.adaptation.methods for step in (*searched.get(name, ()), *steps_of_one)
    ]
    held_out = ["hold_out_classes"] if measured else []
    embed = "pool_images" if _needs_pooled(config) else "embed_images"
    first = [*plan_of_labelled_data(version), *held_out, embed, "review_labels"]
    return [*first, *fitted, "compare_methods", "assemble", "evaluate_model", "publish_run"]
