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
from steps.training.adapt import adapt
from steps.training.assemble import assemble
from steps.training.embed_images import embed_images


@pipeline(name="train", model=Model(name="clip-har"), execution_mode=ExecutionMode.FAIL_FAST)
def train(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Fit every method and publish the best."""
    limits, cache = config.validation.limits, config.pixel_cache
    manifest, validation_report, fingerprint = labelled_data(config, workspace, version)
    embeddings = on_its_code(embed_images)(
        manifest, model=config.model, compute=config.compute, limits=limits, cache=cache, workspace=workspace
    )
    review = on_its_code(review_labels)(manifest, embeddings, review=config.label_review, seed=config.seed)
    candidates = []
    for name in config.adaptation.methods:
        method = config.adaptation.candidates[name]
        candidates.append(
            on_its_code(adapt, METHODS.module(method.method))(
                manifest=manifest,
                embeddings=embeddings,
                name=name,
                method=method.model_dump(mode="json"),
                model=config.model,
                prompts=config.prompts,
                compute=config.compute,
                seed=config.seed,
                limits=limits,
                cache=cache,
                workspace=workspace,
                id=f"adapt_{name}",
            )
        )
    leaderboard = on_its_code(compare_methods)(candidates, manifest, comparison=config.adaptation.comparison)
    bundle = on_its_code(assemble)(
        candidates=candidates,
        leaderboard=leaderboard,
        manifest=manifest,
        embeddings=embeddings,
        model=config.model,
        prompts=config.prompts,
        compute=config.compute,
        limits=limits,
    )
    evaluation = on_its_code(evaluate_model)(
        bundle=bundle,
        manifest=manifest,
        evaluation=config.evaluation,
        compute=config.compute,
        limits=limits,
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
    )


def plan(config: RunConfig, version: str | None = "published") -> list[str]:
    """Names of the steps, in order."""
    fitted = [f"adapt_{name}" for name in config.adaptation.methods]
    first = [*plan_of_labelled_data(version), "embed_images", "review_labels"]
    return [*first, *fitted, "compare_methods", "assemble", "evaluate_model", "publish_run"]
