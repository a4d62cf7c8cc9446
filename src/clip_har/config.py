"""RunConfig: composes the config that each component owns. Only run.py, pipelines and tests import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator, model_serializer, model_validator

from clip_har.adaptation import METHODS, AnyMethodConfig, ComparisonConfig, MethodConfig, parse_method_config
from clip_har.adaptation.open_vocabulary import OpenVocabularyConfig
from clip_har.adaptation.search import SearchConfig, check_search, read_searches
from clip_har.batch.config import BatchConfig
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
from clip_har.export.config import ExportConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.calibration import CalibrationConfig
from clip_har.models.prompts import PromptConfig
from clip_har.monitoring.config import MonitorConfig
from clip_har.registry.hub.config import HubConfig
from clip_har.registry.promotion import PromotionConfig
from clip_har.serving.config import ServingConfig
from clip_har.training.embedding_cache import EmbeddingCacheConfig
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


_NOVEL_CLASSES = "novel_classes"
_OWN_KEYS = ("methods", "comparison", "open_vocabulary", _NOVEL_CLASSES)


class AdaptationSection(ComponentConfig):
    """Which methods are fitted, and each one's config under its name.

    A further key with a `method` of its own is a variant: `small_lora: {method: lora, rank: 1}`.
    """

    methods: tuple[str, ...] = Field(min_length=1, description="Candidates to fit, in order.")
    comparison: ComparisonConfig = Field(ComparisonConfig(), description="How they are compared.")
    open_vocabulary: OpenVocabularyConfig | None = Field(
        None,
        description="Which classes each method is fitted without once more, to measure what becomes of other labels; "
        "`novel_classes: [..]`, or a number, is short for it. Not measured if not given.",
    )
    candidates: dict[str, AnyMethodConfig] = Field({}, description="Config of each candidate.")

    @model_validator(mode="before")
    @classmethod
    def _gather_candidates(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "candidates" in value:
            return value
        value = _with_novel_classes(value)
        own = {key: value[key] for key in _OWN_KEYS if key in value}
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
        own["open_vocabulary"] = self.open_vocabulary and self.open_vocabulary.model_dump(mode="json")
        return own | {name: config.model_dump(mode="json") for name, config in self.candidates.items()}


def _with_novel_classes(section: dict[str, Any]) -> dict[str, Any]:
    """The short form `novel_classes` put where it belongs."""
    section = dict(section)
    if section.get(_NOVEL_CLASSES) is None:
        section.pop(_NOVEL_CLASSES, None)
        return section
    below = section.get("open_vocabulary") or {}
    if not isinstance(below, dict) or _NOVEL_CLASSES in below:
        raise ConfigError(
            "adaptation.novel_classes: adaptation.open_vocabulary gives the classes already; leave one of the two out."
        )
    given = {_NOVEL_CLASSES: section.pop(_NOVEL_CLASSES)}
    validated(OpenVocabularyConfig, given, "adaptation")  # named as it was typed
    return section | {"open_vocabulary": below | given}


def _method_config(name: str, settings: Any) -> MethodConfig:
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise ConfigError(
            f"adaptation.{name}: unknown key. {did_you_mean(name, [*_OWN_KEYS, *METHODS])}"
            if name not in METHODS
            else f"adaptation.{name}: a mapping is wanted, got {settings!r}."
        )
    method = settings.get("method", name)
    if method not in METHODS:
        key = "method" if "method" in settings else ""
        raise ConfigError(
            f"adaptation.{name}{'.' + key if key else ''}: there is no adaptation method {method!r}. "
            f"{did_you_mean(str(method), [*_OWN_KEYS, *METHODS])}"
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
    embedding_cache: EmbeddingCacheConfig = Field(
        EmbeddingCacheConfig(), description="Embeddings kept on disk, for all methods and runs."
    )
    model: ModelConfig | None = Field(None, description="The backbone; not needed to pretrain one.")
    prompts: PromptConfig = Field(PromptConfig(), description="Texts of the classes.")
    compute: ComputeConfig = Field(ComputeConfig(), description="Where encoding and training run.")
    adaptation: AdaptationSection | None = Field(None, description="What is fitted; not needed to pretrain.")
    search: tuple[SearchConfig, ...] = Field(
        (), description="Hyper-parameter searches, one or a list, each for a candidate of `adaptation`."
    )
    pretraining: PretrainingConfig | None = Field(None, description="How `pretrain` makes a backbone.")
    calibration: CalibrationConfig = Field(CalibrationConfig(), description="What the model's answers are to keep to.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="How the result is measured.")
    export: ExportConfig = Field(
        ExportConfig(), description="Which fast forms `deploy` makes, and what they must reach."
    )
    promotion: PromotionConfig = Field(
        PromotionConfig(), description="What a bundle must be for `deploy` to make it the champion."
    )
    bundle: str | None = Field(
        None,
        description="Bundle that `evaluate` measures, `deploy` exports, `publish` sends and `batch` asks: a folder, `champion`, or "
        "`hf://OWNER/NAME@REVISION`; if not given, the newest that a run published (`publish` and `batch`: the champion, if "
        "there is one).",
    )
    hub: HubConfig | None = Field(None, description="The repository on the Hub that `publish` sends to.")
    batch: BatchConfig = Field(BatchConfig(), description="What `batch` recognises, and what it writes.")
    serving: ServingConfig = Field(ServingConfig(), description="How the service that `deploy` packs answers.")
    monitor: MonitorConfig = Field(MonitorConfig(), description="What `monitor` looks at, and what it does about it.")

    @field_validator("search", mode="before")
    @classmethod
    def _one_search_or_more(cls, value: Any) -> Any:
        return read_searches(value)

    @model_validator(mode="after")
    def _searches_fit_their_candidates(self) -> RunConfig:
        fitted = self.adaptation and {name: self.adaptation.candidates[name] for name in self.adaptation.methods}
        for search in self.search:
            check_search(search, fitted or {})
        return self

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
