"""What can be found wrong in a second, before anything is started."""

from clip_har.config import RunConfig
from clip_har.data.sources import build_source
from clip_har.errors import BundleError, ConfigError, DataError, did_you_mean
from clip_har.models.backbone import check_backbone
from clip_har.models.bundle import ModelBundle
from clip_har.runs import latest_bundle


def check(pipeline: str, config: RunConfig) -> None:
    """Check everything that the pipeline will need.

    Raises:
        ClipHarError: for the first thing that would stop it.
    """
    _check_data(config)
    if pipeline == "evaluate":
        _check_bundle(config)
    else:
        check_backbone(config.model)


def _check_data(config: RunConfig) -> None:
    source = build_source(config.data, config.paths.workspace)
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
