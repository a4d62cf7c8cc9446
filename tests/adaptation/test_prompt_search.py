"""Prompt search: the greedy choice, the names, descriptions and their control."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clip_har.adaptation import parse_method_config
from clip_har.adaptation.prompt_search import PromptSearch, PromptSearchConfig, random_words, vocabulary
from clip_har.errors import ConfigError
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.head import TextHead
from clip_har.models.prompts import PromptConfig
from clip_har.training.scores import validation_scores
from tests.adaptation.clouds import clouds
from tests.adaptation.tiny_study import LABELS, Study

DESCRIPTIONS = {
    "dancing": ("arms in the air", "music"),
    "running": ("a red circle",),
    "sitting": ("a chair",),
    "sleeping": ("a blue square", "eyes closed"),
}
TEMPLATES = ("a {} person.", "{}, candid.", "the action is {}.", "someone is {} in this picture.")


def scores_of(encoder: DualEncoder, context, texts: dict[str, list[str]]) -> tuple[float, float]:
    head = TextHead(encoder.logit_scale, encoder.logit_bias)
    images = context.embeddings.of(context.validation.ids)
    found = validation_scores(head.score(images, encoder.class_matrix(texts)), context.validation.label_indices)
    return found["accuracy"], -found["log_loss"]


@pytest.mark.parametrize("largest", [2, 6])
def test_the_choice_is_that_of_an_independent_greedy_search(largest: int, study: Study) -> None:
    context = clouds(study.load(), spread=1.5, shift=1.5)
    adapted = PromptSearch(PromptSearchConfig(templates=TEMPLATES, largest=largest)).fit(context, "search")
    pool, chosen, best = [*context.prompts.templates, *TEMPLATES], [], (-1.0, 0.0)
    while len(chosen) < largest:
        found = {
            template: scores_of(
                context.encoder,
                context,
                {label: [one.format(label) for one in [*chosen, template]] for label in LABELS},
            )
            for template in pool
            if template not in chosen
        }
        template = max(found, key=found.get)
        if found[template] <= best:
            break
        chosen, best = [*chosen, template], found[template]
    assert adapted.texts == {label: [template.format(label) for template in chosen] for label in LABELS}
    assert 1 < len(chosen) < 6, "else nothing was searched, or the end of gains is not seen"
    assert (adapted.history[-1]["accuracy"], -adapted.history[-1]["log_loss"]) == pytest.approx(best, abs=1e-5)


def test_it_is_never_worse_on_validation_than_a_template_of_its_pool(study: Study) -> None:
    context = clouds(study.load(), spread=1.5, shift=1.5)
    adapted = PromptSearch(PromptSearchConfig()).fit(context, "search")
    found = validation_scores(adapted.validation_logits, context.validation.label_indices)["accuracy"]
    for template in context.prompts.templates:
        texts = {label: [template.format(label)] for label in LABELS}
        assert found >= scores_of(context.encoder, context, texts)[0]


def test_a_better_name_is_found(study: Study) -> None:
    """The class that is called nonsense gets the name that its photographs answer to."""
    context = clouds(study.load(), shift=0.3)
    wrong = PromptConfig(
        single="a photo of a person {}.", templates=context.prompts.templates, class_names={"running": ("zq",)}
    )
    config = PromptSearchConfig(templates=(), synonyms={"running": ("running",)})
    adapted = PromptSearch(config).fit(replace(context, prompts=wrong), "search")
    assert any("running" in text for text in adapted.texts["running"])
    assert not any("zq" in text for text in adapted.texts["running"])


def test_descriptions_are_compared_with_random_words(study: Study) -> None:
    context = clouds(study.load(), spread=1.5, shift=1.5)
    config = PromptSearchConfig(templates=TEMPLATES, descriptions=DESCRIPTIONS, control_draws=2)
    adapted = PromptSearch(config).fit(context, "search")
    controls = [row for row in adapted.history if "control" in row]
    assert len(controls) == 2
    (remark,) = [remark for remark in adapted.remarks if "worth" in remark]
    said = [float(number) / 100 for number in re.findall(r"([\d.]+)%", remark)]
    found = [row["accuracy"] for row in controls]
    mine = validation_scores(adapted.validation_logits, context.validation.label_indices)["accuracy"]
    (without,) = [row["accuracy"] for row in adapted.history if "without_descriptions" in row]
    assert said == pytest.approx([mine, without, np.mean(found), min(found), max(found)], abs=1e-4)
    assert float(re.search(r"worth ([+-][\d.]+) points", remark)[1]) == pytest.approx(
        100 * (mine - np.mean(found)), abs=0.01
    )
    undescribed = PromptSearch(PromptSearchConfig(templates=TEMPLATES)).fit(context, "search")
    assert without == undescribed.history[-1]["accuracy"]
    (remark,) = [remark for remark in adapted.remarks if remark.startswith("Descriptions alone")]
    said = [float(number) / 100 for number in re.findall(r"([\d.]+)%", remark)]
    alone = {
        label: [f"a photo of a person {label}, {text}." for text in texts] for label, texts in DESCRIPTIONS.items()
    }
    random = [row["accuracy_alone"] for row in controls]
    mine = scores_of(context.encoder, context, alone)[0]
    assert said == pytest.approx([mine, np.mean(random), min(random), max(random)], abs=1e-4)


def test_descriptions_that_help_are_chosen(study: Study) -> None:
    """Photographs that lie at their descriptions' embeddings."""
    context = clouds(study.load())
    said = {label: [f"a photo of a person {label}, {text}." for text in texts] for label, texts in DESCRIPTIONS.items()}
    centres = context.encoder.class_matrix(said)
    noise = np.random.default_rng(0).normal(size=context.embeddings.matrix.shape) * 0.02
    matrix = (centres[context.manifest.label_indices] + noise).astype(np.float32)
    context = replace(context, embeddings=replace(context.embeddings, matrix=matrix))
    config = PromptSearchConfig(templates=TEMPLATES, descriptions=DESCRIPTIONS)
    adapted = PromptSearch(config).fit(context, "search")
    assert any("Descriptions were chosen" in remark for remark in adapted.remarks)
    assert set(said["sleeping"]) <= set(adapted.texts["sleeping"])


def test_control_words_have_the_lengths_of_those_they_replace(study: Study) -> None:
    words = vocabulary(study.load())
    text = "a chair, with 2 incomprehensibilities - red/blue"
    made = random_words(text, words, np.random.default_rng(0))
    lengths = [len(word) for word in re.findall(r"\w+", text)]
    assert [len(word) for word in re.findall(r"\w+", made)] == lengths
    assert re.sub(r"\w", "", made) == re.sub(r"\w", "", text)
    assert made != text
    assert made == random_words(text, words, np.random.default_rng(0))
    assert made != random_words(text, words, np.random.default_rng(1))


def test_control_words_are_the_tokenizers_whole_words(study: Study) -> None:
    words = vocabulary(study.load())
    assert {"running", "sleeping"} <= {word for of_length in words.values() for word in of_length}
    assert all(len(word) == length for length, found in words.items() for word in found)
    assert "runn" not in words[4], "parts of words are none"


def test_a_file_of_descriptions_is_read_into_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "descriptions.json"
    file.write_text(json.dumps(DESCRIPTIONS))
    config = PromptSearchConfig(descriptions=str(file))
    assert config.descriptions == DESCRIPTIONS
    recipe = config.model_dump(mode="json")
    assert str(tmp_path) not in json.dumps(recipe)
    file.unlink()
    assert parse_method_config(recipe) == config


@pytest.mark.parametrize("content", [None, "{", '{"running": "a string"}', '{"running": []}', '{"running": [" "]}'])
def test_a_file_that_cannot_be_used_is_refused(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "descriptions.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"adaptation\.descriptions"):
        parse_method_config({"method": "prompt_search", "descriptions": str(file)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"synonyms": {"runing": ("jogging",)}}, r"adaptation\.search\.synonyms: unknown label 'runing'.*'running'"),
        ({"descriptions": {**DESCRIPTIONS, "x": ("y",)}}, r"adaptation\.search\.descriptions: unknown label 'x'"),
        ({"descriptions": {"running": ("y",)}}, r"descriptions: there are none for dancing, sitting, sleeping"),
    ],
)
def test_labels_that_do_not_fit_are_named(settings: dict, message: str, study: Study) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptSearch(PromptSearchConfig(**settings)).fit(study.context(), "search")


def test_a_config_can_be_restricted_to_some_labels() -> None:
    config = PromptSearchConfig(descriptions=DESCRIPTIONS, synonyms={"running": ("jogging",)})
    part = config.restricted_to(("dancing", "sitting"))
    assert set(part.descriptions) == {"dancing", "sitting"}
    assert part.synonyms == {}
