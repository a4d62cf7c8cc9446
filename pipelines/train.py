"""train: photographs → the best of several adaptation methods, as a bundle with a report."""

from zenml import Model, pipeline
from zenml.enums import ExecutionMode

from clip_har.adaptation import METHODS
from clip_har.config import RunConfig
from clip_har.data.sources import SOURCES
from pipelines.caching import on_its_code
from steps.data.fingerprint_data import fingerprint_data
from steps.data.split_data import split_data
from steps.data.validate_data import validate_data
from steps.deployment.publish_run import publish_run
from steps.evaluation.compare_methods import compare_methods
from steps.evaluation.evaluate_model import evaluate_model
from steps.training.adapt import adapt
from steps.training.assemble import assemble
from steps.training.embed_images import embed_images


@pipeline(name="train", model=Model(name="clip-har"), execution_mode=ExecutionMode.FAIL_FAST)
def train(config: RunConfig, workspace: str, outputs: str, settings: str) -> None:
    """Fit every method and publish the best."""
    limits = config.validation.limits
    data = config.data.model_dump(mode="json")  # whole: ZenML leaves out what a config does not set itself
    fingerprint = fingerprint_data(data=data, workspace=workspace)
    validated, validation_report = on_its_code(validate_data, SOURCES.module(config.data.source))(
        fingerprint=fingerprint, data=data, validation=config.validation, workspace=workspace
    )
    manifest = on_its_code(split_data)(validated=validated, splits=config.splits)
    embeddings = on_its_code(embed_images)(manifest, model=config.model, compute=config.compute, limits=limits)
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
        outputs=outputs,
        settings=settings,
        leaderboard=leaderboard,
        candidates=candidates,
    )


def plan(config: RunConfig) -> list[str]:
    """Names of the steps, in order."""
    fitted = [f"adapt_{name}" for name in config.adaptation.methods]
    first = ["fingerprint_data", "validate_data", "split_data", "embed_images"]
    return [*first, *fitted, "compare_methods", "assemble", "evaluate_model", "publish_run"]
