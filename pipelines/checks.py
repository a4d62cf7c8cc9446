"""What can be found wrong in a second, before anything is started."""

import tempfile
from pathlib import Path

from clip_har.adaptation.open_vocabulary import novel_labels
from clip_har.batch.job import check_batch
from clip_har.config import RunConfig
from clip_har.data.pairs import build_pair_source
from clip_har.data.sources import build_source
from clip_har.data.sources.base import CURRENT
from clip_har.data.versions import VersionStore
from clip_har.errors import BundleError, ConfigError, DataError, ModelError, did_you_mean
from clip_har.models.backbone import ModelConfig, check_backbone
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.registry.hub.client import check_can_send
from pipelines.bundles import bundle_path, bundle_to_share
from pipelines.monitoring_checks import check_monitoring


def check(pipeline: str, config: RunConfig) -> None:
    """Check everything that the pipeline will need.

    Raises:
        ClipHarError: for the first thing that would stop it.
    """
    check_sections(pipeline, config)
    _check_place("workspace.path", config.workspace.path)
    _check_place("paths.outputs", config.paths.outputs)
    if pipeline == "rollback":
        Registry.of(config.workspace.path).check_rollback()
        return
    if pipeline == "publish":
        _open_bundle(config, bundle_to_share(config))
        if not config.hub.dry_run:
            check_can_send()
        return
    if pipeline == "batch":
        check_batch(config.batch)
        _open_bundle(config, bundle_to_share(config))
        return
    if pipeline == "monitor":
        check_monitoring(config, _open_bundle(config, bundle_to_share(config)))
        return
    if pipeline == "deploy":
        _check_bundle(config)
        if version_of_bundle(config) is None:
            _check_data(config)
        return
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
    needed = {"pretrain": ("pretraining",), "train": ("model", "adaptation"), "publish": ("hub",)}
    for name in needed.get(pipeline, ()):
        if getattr(config, name) is None:
            hint = " Name the repository: --set hub.repository=OWNER/NAME." if name == "hub" else ""
            raise ConfigError(
                f"{name}: the pipeline {pipeline} needs this section, and the configuration has none.{hint}"
            )


def _check_place(key: str, path: str) -> None:
    """A folder that can be written to, or one that can be made."""
    place = Path(path).absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir():
        raise ConfigError(f"{key}: {path!r} cannot be a folder: {str(there)!r} is a file.")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{key}: {path!r} cannot be written to: {reason}. Name a folder of your own.") from None


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
    if "hub" in source.kinds:  # its labels are known only when it has been fetched
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
    if config.adaptation is not None and config.adaptation.open_vocabulary is not None:
        novel_labels(labels, config.adaptation.open_vocabulary.novel_classes, config.seed)
    for name, method in (config.adaptation.candidates if config.adaptation else {}).items():
        augmentation = getattr(method, "augmentation", None)
        if augmentation is not None:
            augmentation.check_labels(labels, f"adaptation.{name}.augmentation")


def _check_bundle(config: RunConfig) -> None:
    _open_bundle(config, bundle_path(config))


def _open_bundle(config: RunConfig, path: Path) -> ModelBundle:
    if not path.is_dir():
        raise BundleError(f"bundle: there is no folder {str(path)!r}.")
    try:
        return ModelBundle.load(path)
    except BundleError as error:
        raise BundleError(f"bundle: {error}" if config.bundle else str(error)) from None


def version_of_bundle(config: RunConfig) -> str | None:
    """The version of the data that the bundle to deploy was trained on; None if `data.version` names another, or it is not here."""
    if config.data.version != CURRENT:
        return None
    bundle = ModelBundle.load(bundle_path(config), verify=False)
    try:
        store = VersionStore(config.workspace.path, config.workspace.remote)
        return store.resolve(bundle.info.data_revision).git_revision
    except DataError:
        return None
