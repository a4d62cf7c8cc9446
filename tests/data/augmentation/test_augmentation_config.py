"""Policies and their overrides: what a config means, and what it refuses."""

from __future__ import annotations

import pytest

from clip_har.component import ComponentConfig, validated
from clip_har.data.augmentation import OPERATIONS, POLICIES, AugmentationConfig, describe
from clip_har.errors import ConfigError


class Holder(ComponentConfig):
    """A component with an augmentation, as LoRA has one."""

    augmentation: AugmentationConfig | None = None


def parsed(value) -> AugmentationConfig:
    return validated(Holder, {"augmentation": value}).augmentation


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policys_name_alone_stands_for_it(policy):
    assert parsed(policy) == AugmentationConfig(policy=policy) == parsed({"policy": policy})


def test_policies_grow_stronger():
    acting = [AugmentationConfig(policy=policy).acting() for policy in ("none", "light", "medium", "strong")]
    assert acting[0] == []
    assert acting[1] == ["crop", "flip", "jitter"]
    assert acting[2] == acting[3] == ["crop", "flip", "jitter", "rand_augment", "blur", "jpeg", "erasing"]
    light, medium, strong = (AugmentationConfig(policy=policy) for policy in ("light", "medium", "strong"))
    assert light.crop.scale[0] > medium.crop.scale[0] > strong.crop.scale[0]
    assert light.jitter.strength < medium.jitter.strength < strong.jitter.strength
    assert medium.erasing.area[1] < strong.erasing.area[1]
    assert not any(config.mixes for config in (light, medium, strong))


def test_without_a_policy_it_is_a_crop_and_a_flip():
    config = AugmentationConfig()
    assert config.acting() == ["crop", "flip"]
    assert (config.crop.scale, config.flip.probability) == ((0.6, 1.0), 0.5)


def test_any_field_overrides_the_policy():
    strong, config = AugmentationConfig(policy="strong"), parsed({"policy": "strong", "erasing": {"probability": 0.1}})
    assert config.erasing.probability == 0.1
    assert config.erasing.area == strong.erasing.area
    assert {name for name in OPERATIONS if getattr(config, name) != getattr(strong, name)} == {"erasing"}


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ({"flip": 0.2}, {"flip": {"probability": 0.2}}),
        ({"flip": None}, {"flip": {"probability": 0}}),
        ({"flip": False}, {"flip": {"probability": 0}}),
        ({"jitter": 0.2}, {"jitter": {"strength": 0.2}}),
        ({"crop_scale": [0.5, 0.9]}, {"crop": {"scale": [0.5, 0.9]}}),
        ({"crop_ratio": [1, 1], "crop": {"probability": 0.5}}, {"crop": {"ratio": [1, 1], "probability": 0.5}}),
        ({"policy": "medium", "erasing": 0.7}, {"policy": "medium", "erasing": {"probability": 0.7}}),
        ({"forbidden": {"a": "flip"}}, {"forbidden": {"a": ["flip"]}}),
    ],
)
def test_short_forms(short, full):
    assert parsed(short) == parsed(full)


@pytest.mark.parametrize("value", [None, *POLICIES, {"policy": "strong", "mixup": 0.2, "forbidden": {"a": ["flip"]}}])
def test_what_is_written_down_is_read_as_the_same(value):
    config = AugmentationConfig() if value is None else parsed(value)
    assert parsed(config.model_dump(mode="json")) == config
    assert AugmentationConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("meduim", "augmentation: there is no augmentation policy 'meduim'. Did you mean 'medium'"),
        ({"policy": "Strng"}, "Did you mean 'strong'"),
        (
            {"erasing": {"probabilty": 0.1}},
            r"augmentation\.erasing\.probabilty: unknown key. Did you mean 'probability'",
        ),
        ({"erassing": 0.1}, r"augmentation\.erassing: unknown key. Did you mean 'erasing'"),
        ({"flip": 1.5}, r"augmentation\.flip\.probability: wanted: less than or equal to 1, got 1.5"),
        ({"crop": {"scale": [0.9, 0.5]}}, r"augmentation\.crop\.scale: a range from low to high"),
        ({"crop": {"scale": [0.5, 1.5]}}, r"augmentation\.crop\.scale: a crop keeps at most the whole"),
        ({"erasing": {"area": [0.1, 1.0], "probability": 1}}, "something must be left"),
        ({"jpeg": {"quality": [0, 50], "probability": 1}}, "within 1 to 95"),
        ({"blur": {"sigma": [0.001, 0.01]}}, "blur is given a strength but no probability, which is 0 here"),
        ({"mixup": 0.6, "cutmix": 0.6}, "mixup and cutmix add up to more than 1"),
        ({"rand_augment": {"probability": 1, "exclude": ["rotat"]}}, "no operation 'rotat'. Did you mean 'rotate'"),
        ({"forbidden": {"texting": ["flipp"]}}, "'flipp' to forbid for texting. Did you mean 'flip'"),
    ],
)
def test_a_mistake_is_refused_with_what_would_be_right(value, message):
    with pytest.raises(ConfigError, match=message):
        parsed(value)


def test_forbidden_labels_are_checked_against_the_known_ones():
    config = AugmentationConfig(forbidden={"textin": ["flip"]})
    with pytest.raises(ConfigError, match=r"no class 'textin'\. Did you mean 'texting'"):
        config.check_labels(("calling", "texting"))
    AugmentationConfig(forbidden={"texting": ["flip"]}).check_labels(("calling", "texting"))


def test_a_class_loses_what_is_forbidden_for_it_and_nothing_else():
    config = AugmentationConfig(policy="strong", forbidden={"texting": ["flip", "rotate"], "eating": ["rand_augment"]})
    own = config.of_label("texting")
    assert own.flip.probability == 0
    assert set(own.rand_augment.exclude) == {*config.rand_augment.exclude, "rotate"}
    assert {name for name in OPERATIONS if getattr(own, name) != getattr(config, name)} == {"flip", "rand_augment"}
    assert "rand_augment" not in config.of_label("eating").acting()
    assert config.of_label("calling") == config.model_copy(update={"forbidden": {}})


def test_the_words_name_every_operation_that_acts():
    config = parsed({"policy": "strong", "mixup": 0.2, "cutmix": 0.3, "forbidden": {"texting": "flip"}})
    lines = describe(config)
    assert len(lines) == len(config.acting()) == len(OPERATIONS)
    said = dict(lines)
    assert said["Horizontal flip"].endswith("50 % of pictures, never for texting")
    assert "25 % of pictures" in said["Random erasing"]
    assert describe(parsed("none")) == []
