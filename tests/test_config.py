"""The run's config: composed, overridden, refused in words, and written so that it reads again."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from clip_har.adaptation import METHODS
from clip_har.component import ComponentConfig
from clip_har.config import load_config
from clip_har.data.sources import SOURCES
from clip_har.errors import ConfigError

VOCABULARY = {"split": "test", "kept_within": 0.02, "lost_below": 0.5}
SMALLEST = """\
data: {source: folder, path: photos}
model: {backbone: a/b}
adaptation: {methods: [zero_shot]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(SMALLEST)
    return path


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("modell.backbone=x", ["modell: unknown key", "'model'"]),
        ("model.bakbone=x", ["model.bakbone: unknown key", "'backbone'"]),
        ("validation.limits.max_pixel=1", ["validation.limits.max_pixel: unknown key", "'max_pixels'"]),
        ("data.pth=x", ["data.pth: unknown key", "'path'"]),
        ("data.labels_file=x", ["data.labels_file: unknown key"]),  # a key of another source
        ("adaptation.zero_shot.promts=single", ["adaptation.zero_shot.promts: unknown key", "'prompts'"]),
        ("adaptation.lora.training.learning_rat=1", ["adaptation.lora.training.learning_rat", "'learning_rate'"]),
        ("adaptation.comparison.selectby=x", ["adaptation.comparison.selectby", "'select_by'"]),
        ("adaptation.lorra.rank=2", ["adaptation.lorra", "'lora'"]),
        ("adaptation.novel_clases=2", ["adaptation.novel_clases: unknown key", "'novel_classes'"]),
        ("adaptation.novel_classes=1", ["adaptation.novel_classes: at least two classes", "got 1"]),
        ("adaptation.novel_classes=running", ["adaptation.novel_classes: a list of classes", "'running'"]),
        ("adaptation.open_vocabulary.kept_within=0.1", ["adaptation.open_vocabulary.novel_classes: a value is wanted"]),
        ("adaptation.open_vocabulary={novel_classes: 2, split: train}", ["open_vocabulary.split", "'validation'"]),
        (
            "adaptation={methods: [lora], novel_classes: 2, open_vocabulary: {novel_classes: 3}}",
            ["leave one of the two"],
        ),
        ("adaptation.small.method=lorra", ["adaptation.small.method", "'lora'"]),
        ("adaptation.methods=[zero_sht]", ["adaptation.methods", "'zero_shot'"]),
        ("adaptation.methods=[zero_shot, lora, zero_shot]", ["adaptation.methods", "twice"]),
        ("adaptation.lora=5", ["adaptation.lora", "mapping", "5"]),
        ("seed=soon", ["seed: wanted", "integer", "'soon'"]),
        ("seed=-1", ["seed", "greater than or equal to 0", "-1"]),
        ("seed=1.5", ["seed", "integer", "1.5"]),
        ("model.dtype=int8", ["model.dtype", "'float32'", "'int8'"]),
        ("splits.train=0.9", ["splits", "sum to 1.25"]),
        ("prompts.templates=[a person]", ["prompts.templates", "'a person'", "{}"]),
        ("prompts.templates=[]", ["prompts.templates", "at least 1 item"]),
        ("data.source=", ["data.source", "csv", "folder", "hub"]),
        ("data.source=floder", ["data.source", "'folder'"]),
        ("data=photos", ["data", "mapping", "'photos'"]),
        ("data.path=", ["data.path", "string"]),
        ("model=", ["model"]),
    ],
)
def test_what_is_refused_is_named_with_what_would_be_right(file, override, words):
    with pytest.raises(ConfigError) as refused:
        load_config(file, [override])
    message = str(refused.value)
    assert all(word in message for word in words), message
    assert str(file) in message
    assert override in message
    assert "pydantic" not in message


def test_every_mistake_is_told_at_once(file):
    with pytest.raises(ConfigError) as refused:
        load_config(file, ["sed=1", "compute.batchsize=1", "model.dtype=x"])
    assert {"sed", "compute.batchsize", "model.dtype"} <= {
        line.partition(":")[0] for line in str(refused.value).splitlines()
    }


@pytest.mark.parametrize("key", ["data", "model", "adaptation"])
def test_a_missing_section_is_named(file, key):
    sections = yaml.safe_load(SMALLEST)
    del sections[key]
    file.write_text(yaml.safe_dump(sections))
    with pytest.raises(ConfigError, match=rf"(?m)^{key}: a value is wanted and none is given"):
        load_config(file)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=3", 3),
        ("paths.outputs=a=b", "a=b"),
        ("paths.outputs=C:\\photos", "C:\\photos"),
        ("paths.outputs='12'", "12"),
        ("paths.outputs=[unclosed", "[unclosed"),
        ("paths={outputs: elsewhere}", {"outputs": "elsewhere", "run": None}),
        ("model.revision=", None),
        ("model.decoder_reduction=true", True),
        ("evaluation.resamples=200", 200),
        ("prompts.class_names={run: [jogging, racing]}", {"run": ["jogging", "racing"]}),
        ("prompts.class_names.run=jogging", ["jogging"]),
        ("prompts.single=a {} b", "a {} b"),
        ("data.labels=[b, a]", ["b", "a"]),
        ("splits.seed=5", 5),
        ("adaptation.open_vocabulary={novel_classes: [b, a]}", {"novel_classes": ["b", "a"], **VOCABULARY}),
        ("adaptation.lora.training.learning_rate=3e-4", 3e-4),  # YAML 1.1 reads this as text
    ],
)
def test_overrides_are_yaml_at_a_place(file, override, value):
    values = load_config(file, [override]).model_dump(mode="json")
    for part in override.partition("=")[0].split("."):
        values = values[part]
    assert values == value


def test_the_last_override_of_a_key_holds(file):
    config = load_config(file, ["seed=1", "model={backbone: c/d}", "seed=2", "model.dtype=float16"])
    assert (config.seed, config.model.backbone, config.model.dtype) == (2, "c/d", "float16")


@pytest.mark.parametrize("override", ["seed", "=1", "model..backbone=x", ".seed=1", "seed.=1", ""])
def test_an_override_of_another_form_is_refused(file, override):
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        load_config(file, [override])


def test_an_override_below_a_value_is_refused(file):
    with pytest.raises(ConfigError, match=r"data\.path is a value, not a section"):
        load_config(file, ["data.path.deeper=1"])


def test_variants_are_candidates_of_their_own(file):
    file.write_text(
        SMALLEST.replace("[zero_shot]", "[small, zero_shot, lora]").replace(
            "adaptation: {", "adaptation: {small: {method: lora, rank: 1}, unused: {method: lora}, lora: {rank: 4}, "
        )
    )
    section = load_config(file).adaptation
    assert list(section.candidates) == ["small", "zero_shot", "lora", "unused"]  # in the order of `methods`
    assert [(config.method, getattr(config, "rank", None)) for config in section.candidates.values()] == [
        ("lora", 1),
        ("zero_shot", None),
        ("lora", 4),
        ("lora", 8),
    ]
    assert section.methods == ("small", "zero_shot", "lora")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_without_settings_has_its_defaults(file, method):
    config = load_config(file, [f"adaptation.methods=[{method}]"])
    assert config.adaptation.candidates[method] == METHODS.get(method).Config()


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_the_composed_config_reads_again(file, tmp_path, source):
    path = "" if source in ("hub", "samples", "sample") else ", path: 'ünder/ a'"
    if source == "combined":
        path = ", parts: [{source: samples}, {source: csv, path: 'ünder/ a'}]"
    overrides = [
        f"data={{source: {source}{path}}}",
        "adaptation={methods: [b, zero_shot], b: {method: lora, augmentation: null, towers: [text]}}",
        "prompts.class_names={a: [x, 'y: z']}",
        "compute.threads=2",
    ]
    config = load_config(file, overrides)
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml(), encoding="utf-8")
    read = load_config(again)
    assert read == config
    assert read.to_yaml() == config.to_yaml()
    assert type(read.data) is SOURCES.get(source).Config
    assert read.adaptation.candidates["b"].towers == ("text",)


def test_the_composed_config_keeps_what_only_one_method_or_source_knows(file):
    values = yaml.safe_load(load_config(file, ["adaptation.methods=[lora]"]).to_yaml())
    assert values["data"] == {"source": "folder", "labels": None, "version": "workspace", "path": "photos"}
    assert values["adaptation"]["lora"]["training"]["learning_rate"] == 1e-3  # of its preset


def test_a_config_cannot_be_changed(file):
    config = load_config(file)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.model.backbone = "c/d"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed: 1\ndata: 2\nseed: 3\n", ["line 3", "'seed'", "twice"]),
        (b"model:\n  backbone: a\n  backbone: b\n", ["line 3", "'backbone'", "twice"]),
        (b"data: {path: [}\n", ["line 1", "not valid YAML"]),
        (b"data:\n\tpath: x\n", ["line 2", "not valid YAML"]),
        (b"", ["sections with keys", "NoneType"]),
        (b"- data\n", ["sections with keys", "list"]),
        (b"data: \xff\xfe\n", ["UTF-8"]),
        (b"a: !!python/object/apply:os.system [true]\n", ["not valid YAML"]),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path, content, words):
    file = tmp_path / "broken.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert all(word in str(refused.value) for word in ["broken.yaml", *words]), refused.value


def test_a_missing_file_names_the_nearest(file):
    with pytest.raises(ConfigError) as refused:
        load_config(file.with_name("confg.yaml"))
    assert "confg.yaml" in str(refused.value)
    assert f"Did you mean '{file}'" in str(refused.value)


def test_every_key_is_described(file):
    def undescribed(model, place: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():
            missing += [] if field.description or name in ("source", "method") else [f"{place}.{name}"]
            if isinstance(field.default, ComponentConfig):
                missing += undescribed(type(field.default), f"{place}.{name}")
        return missing

    config = load_config(file)
    models = [
        type(config),
        *(METHODS.get(name).Config for name in METHODS),
        *(SOURCES.get(name).Config for name in SOURCES),
    ]
    assert [key for model in models for key in undescribed(model, model.__name__)] == []


@pytest.mark.parametrize(("said", "meant"), [("[running, sleeping]", ["running", "sleeping"]), ("3", 3), ("", None)])
def test_novel_classes_are_short_for_the_open_vocabularys(file: Path, said: str, meant: object) -> None:
    config = load_config(file, [f"adaptation.novel_classes={said}", "seed=1"])
    shown = config.model_dump(mode="json")["adaptation"]
    assert shown["open_vocabulary"] == (meant and {"novel_classes": meant, **VOCABULARY})
    assert "novel_classes" not in shown
    assert type(config).model_validate(yaml.safe_load(config.to_yaml())) == config


def test_the_short_form_goes_with_other_settings_of_the_section(file: Path) -> None:
    overrides = ["adaptation.open_vocabulary.kept_within=0.1", "adaptation.novel_classes=[a, b]"]
    said = load_config(file, overrides).adaptation.open_vocabulary
    assert (said.novel_classes, said.kept_within) == (("a", "b"), 0.1)
