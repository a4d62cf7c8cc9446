"""RunConfig: composes the config that each component owns. Only run.py, pipelines and tests import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_serializer, model_validator

from clip_har.adaptation import METHODS, AnyMethodConfig, ComparisonConfig, MethodConfig, parse_method_config
from clip_har.component import ComponentConfig, validated
from clip_har.data.card import CardConfig
from clip_har.data.label_review import LabelReviewConfig
from clip_har.data.pixel_cache import PixelCacheConfig
from clip_har.data.quarantine import QuarantineConfig
from clip_har.data.sources import AnySourceConfig
from clip_har.data.splits import SplitConfig
from clip_har.data.validation import ValidationConfig
from clip_har.data.versions import WorkspaceConfig
from clip_har.errors import ConfigError, did_you_mean
from clip_har.evaluation.evaluate import EvaluationConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.prompts import PromptConfig
from clip_har.training.pretrain import PretrainingConfig


class PathsConfig(ComponentConfig):
    """Where results go; relative paths are relative to the current folder."""

    outputs: str = Field("outputs", description="Folder that each run publishes its results in.")
    run: str | None = Field(
        None,
        min_length=1,
        description="Folder that the run is published in, replaced if it exists; if not given, a new one below `outputs`, "
        "named after the time. For the stages of dvc.yaml.",
    )


class AdaptationSection(ComponentConfig):
    """Which methods are fitted, and each one's config under its name.

    A further key with a `method` of its own is a variant: `small_lora: {method: lora, rank: 1}`.
    """

    methods: tuple[str, ...] = Field(min_length=1, description="Candidates to fit, in order.")
    comparison: ComparisonConfig = Field(ComparisonConfig(), description="How they are compared.")
    candidates: dict[str, AnyMethodConfig] = Field({}, description="Config of each candidate.")

    @model_validator(mode="before")
    @classmethod
    def _gather_candidates(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "candidates" in value:
            return value
        own = {key: value[key] for key in ("methods", "comparison") if key in value}
        methods = own.get("methods", ())
        names = [methods] if isinstance(methods, str) else list(methods)
        candidates = {}
        for name, settings in value.items():
            if name not in own:
                candidates[name] = _method_config(name, settings)
        for name in names:
            if name not in candidates:
                if name not in METHODS:
                    raise ConfigError(
                        f"adaptation.methods: {name!r} is neither an adaptation method nor a variant configured here. "
                        f"{did_you_mean(str(name), [*METHODS, *candidates])}"
                    )
                candidates[name] = METHODS.get(name).Config()
        if len(set(names)) != len(names):
            raise ConfigError(f"adaptation.methods: one is listed twice ({', '.join(names)}); name a variant instead.")
        ordered = {name: candidates.pop(name) for name in names} | candidates
        return {**own, "methods": names, "candidates": ordered}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        own: dict[str, Any] = {"methods": list(self.methods), "comparison": self.comparison.model_dump(mode="json")}
        return own | {name: config.model_dump(mode="json") for name, config in self.candidates.items()}


def _method_config(name: str, settings: Any) -> MethodConfig:
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise ConfigError(
            f"adaptation.{name}: unknown key. {did_you_mean(name, ['methods', 'comparison', *METHODS])}"
            if name not in METHODS
            else f"adaptation.{name}: a mapping is wanted, got {settings!r}."
        )
    method = settings.get("method", name)
    if method not in METHODS:
        key = "method" if "method" in settings else ""
        raise ConfigError(
            f"adaptation.{name}{'.' + key if key else ''}: there is no adaptation method {method!r}. "
            f"{did_you_mean(str(method), ['methods', 'comparison', *METHODS])}"
        )
    return parse_method_config({**settings, "method": method}, f"adaptation.{name}")


class RunConfig(ComponentConfig):
    """Everything that a run depends on."""

    seed: int = Field(0, ge=0, lt=2**31, description="Of everything random in training.")
    workspace: WorkspaceConfig = Field(
        WorkspaceConfig(), description="The system's own state: versions of the data, ZenML, MLflow."
    )
    paths: PathsConfig = Field(PathsConfig(), description="Where results go.")
    data: AnySourceConfig = Field(description="Where photographs and labels come from.")
    validation: ValidationConfig = Field(ValidationConfig(), description="What a photograph must be.")
    quarantine: QuarantineConfig = Field(QuarantineConfig(), description="How rejected samples are kept.")
    splits: SplitConfig = Field(SplitConfig(), description="Shares of the splits.")
    card: CardConfig = Field(CardConfig(), description="What the dataset card says beyond what can be counted.")
    label_review: LabelReviewConfig = Field(LabelReviewConfig(), description="The search for likely label errors.")
    pixel_cache: PixelCacheConfig = Field(PixelCacheConfig(), description="Decoded pictures kept for large data sets.")
    model: ModelConfig | None = Field(None, description="The backbone; not needed to pretrain one.")
    prompts: PromptConfig = Field(PromptConfig(), description="Texts of the classes.")
    compute: ComputeConfig = Field(ComputeConfig(), description="Where encoding and training run.")
    adaptation: AdaptationSection | None = Field(None, description="What is fitted; not needed to pretrain.")
    pretraining: PretrainingConfig | None = Field(None, description="How `pretrain` makes a backbone.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="How the result is measured.")
    bundle: str | None = Field(
        None, description="Bundle that `evaluate` measures; if not given, the newest that a run published."
    )

    @model_validator(mode="after")
    def _something_can_be_done(self) -> RunConfig:
        if self.pretraining is None:
            missing = [name for name in ("model", "adaptation") if getattr(self, name) is None]
            if missing:
                raise ConfigError("\n".join(f"{name}: a value is wanted and none is given." for name in missing))
        return self

    def to_yaml(self) -> str:
        """The composed config as YAML that `load_config` reads again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def load_config(file: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Compose a config from a YAML file and `section.key=value` overrides.

    Raises:
        ConfigError: naming the key, what is wrong with it, and the nearest valid one.
    """
    raw = _read_yaml(Path(file))
    for override in overrides:
        _set(raw, override)
    try:
        return validated(RunConfig, raw)
    except ConfigError as error:
        origin = f"{file}" + (f" with --set {' '.join(overrides)}" if overrides else "")
        raise ConfigError(f"{error}\n(in {origin})") from None


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is given twice; YAML itself would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        known = [str(path) for folder in (file.parent, Path("configs")) for path in sorted(folder.glob("*.yaml"))]
        known = [path for path in known if Path(path).name != "dvc.yaml"]  # DVC's, not a configuration
        raise ConfigError(f"There is no configuration file {file}. {did_you_mean(str(file), known)}")
    try:
        raw = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{file}{where}: not valid YAML: {getattr(error, 'problem', error)}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not a text file in UTF-8: {error.reason}.") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: sections with keys are wanted, got {type(raw).__name__}.")
    return raw


def _set(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override}: wanted: section.key=value, for example --set seed=1.")
    try:
        value = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        value = text
    place = raw
    for number, part in enumerate(parts[:-1]):
        below = place.setdefault(part, {})
        if below is None:
            below = place[part] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override}: {'.'.join(parts[: number + 1])} is a value, not a section.")
        place = below
    place[parts[-1]] = value
