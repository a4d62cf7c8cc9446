"""What can be found wrong in a second, before anything is started."""

from clip_har.config import RunConfig
from clip_har.data.pairs import build_pair_source
from clip_har.data.sources import build_source
from clip_har.data.sources.base import CURRENT
from clip_har.data.versions import VersionStore
from clip_har.errors import BundleError, ConfigError, DataError, ModelError, did_you_mean
from clip_har.models.backbone import ModelConfig, check_backbone
from clip_har.models.bundle import ModelBundle
from clip_har.runs import latest_bundle


def check(pipeline: str, config: RunConfig) -> None:
    """Check everything that the pipeline will need.

    Raises:
        ClipHarError: for the first thing that would stop it.
    """
    check_sections(pipeline, config)
    _check_data(config)
    if pipeline == "data":
        return
    if pipeline == "evaluate":
        _check_bundle(config)
    elif pipeline == "pretrain":
        _check_pretraining(config)
    else:
        check_backbone(config.model)


def check_sections(pipeline: str, config: RunConfig) -> None:
    """Check that the config has the sections that only this pipeline needs.

    Raises:
        ConfigError: naming what is missing.
    """
    for name in {"pretrain": ("pretraining",), "train": ("model", "adaptation")}.get(pipeline, ()):
        if getattr(config, name) is None:
            raise ConfigError(f"{name}: the pipeline {pipeline} needs this section, and the configuration has none.")


def _check_pretraining(config: RunConfig) -> None:
    pretraining = config.pretraining
    build_pair_source(pretraining.pairs, config.workspace.path).check()
    if pretraining.backbone is not None:
        try:
            check_backbone(ModelConfig(backbone=pretraining.backbone))
        except ModelError as error:
            raise ModelError(str(error).replace("model.backbone", "pretraining.backbone", 1)) from None


def _check_data(config: RunConfig) -> None:
    if config.data.version != CURRENT:  # the source is not looked at, and may be elsewhere
        VersionStore(config.workspace.path, config.workspace.remote).resolve(config.data.version)
        return
    source = build_source(config.data, config.workspace.path)
    source.check()
    if config.data.source == "hub":  # its labels are known only when it has been fetched
        return
    occurring = {record.label for record in source.records() if record.label}
    labels = config.data.labels or tuple(sorted(occurring))
    for label in labels:
        if label not in occurring:
            raise DataError(f"data.labels: no photograph is labelled {label!r}. {did_you_mean(label, occurring)}")
    if len(labels) < 2:
        raise DataError(f"The data in {source.root} have {len(labels)} class; at least two are wanted.")
    for label in config.prompts.class_names:
        if label not in labels:
            raise ConfigError(f"prompts.class_names: unknown label {label!r}. {did_you_mean(label, labels)}")


def _check_bundle(config: RunConfig) -> None:
    path = config.bundle or latest_bundle(config.paths.outputs)
    try:
        ModelBundle.load(path)
    except BundleError as error:
        raise BundleError(f"bundle: {error}" if config.bundle else str(error)) from None
