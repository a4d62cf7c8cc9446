"""The config of augmentation: every operation with its probability and strength, and named policies that preset them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, field_validator, model_validator

from clip_har.component import ComponentConfig
from clip_har.data.augmentation.operations import (
    BlurConfig,
    CropConfig,
    CutMixConfig,
    ErasingConfig,
    FlipConfig,
    JitterConfig,
    JpegConfig,
    MixUpConfig,
    Operation,
    RandAugmentConfig,
)
from clip_har.data.augmentation.rand_augment import KINDS
from clip_har.errors import ConfigError, did_you_mean

# In the order in which they act; the last two on batches.
OPERATIONS: dict[str, type[Operation]] = {
    "crop": CropConfig,
    "flip": FlipConfig,
    "jitter": JitterConfig,
    "rand_augment": RandAugmentConfig,
    "blur": BlurConfig,
    "jpeg": JpegConfig,
    "erasing": ErasingConfig,
    "mixup": MixUpConfig,
    "cutmix": CutMixConfig,
}
_MIXING = ("mixup", "cutmix")

# What RandAugment leaves out in the policies: no camera makes a negative of the bright parts or four shades of a colour,
# and equalising each channel by itself turns skin green. Seen on photographs: people are hardly to be recognised.
_UNLIKELY = ("solarize", "posterize", "equalize")
# MixUp and CutMix are in none of them: they change the labels too, and are asked for by name.
POLICIES: dict[str, dict[str, dict[str, Any]]] = {
    "none": {"crop": {"probability": 0.0}, "flip": {"probability": 0.0}},
    "light": {
        "crop": {"scale": (0.7, 1.0)},
        "flip": {"probability": 0.5},
        "jitter": {"probability": 0.5, "strength": 0.15},
    },
    "medium": {
        "crop": {"scale": (0.55, 1.0)},
        "flip": {"probability": 0.5},
        "jitter": {"probability": 0.8, "strength": 0.25, "hue": 0.02},
        "rand_augment": {"probability": 0.5, "operations": 1, "magnitude": 7.0, "exclude": _UNLIKELY},
        "blur": {"probability": 0.1},
        "jpeg": {"probability": 0.1, "quality": (40, 90)},
        "erasing": {"probability": 0.15, "area": (0.02, 0.12)},
    },
    "strong": {
        "crop": {"scale": (0.45, 1.0)},
        "flip": {"probability": 0.5},
        "jitter": {"probability": 0.8, "strength": 0.3, "hue": 0.04},
        "rand_augment": {"probability": 0.8, "operations": 2, "magnitude": 9.0, "exclude": _UNLIKELY},
        "blur": {"probability": 0.2},
        "jpeg": {"probability": 0.2, "quality": (25, 85)},
        "erasing": {"probability": 0.25, "area": (0.02, 0.25)},
    },
}
# Short forms: where a key of the config's top level belongs.
_MOVED = {"crop_scale": ("crop", "scale"), "crop_ratio": ("crop", "ratio")}


class AugmentationConfig(ComponentConfig):
    """What happens to a training picture: a policy, any part of which its own key overrides.

    A policy's name alone stands for it (`augmentation: medium`). A number given for an operation is its probability (of
    `jitter`: its strength), and `crop_scale` and `crop_ratio` are short for `crop.scale` and `crop.ratio`. Without a
    policy: a random resized crop and a flip.
    """

    policy: str | None = Field(None, description=f"Preset: {', '.join(POLICIES)}.")
    crop: CropConfig = Field(CropConfig(), description="Random resized crop.")
    flip: FlipConfig = Field(FlipConfig(), description="Horizontal flip.")
    jitter: JitterConfig = Field(JitterConfig(), description="Colour jitter.")
    rand_augment: RandAugmentConfig = Field(RandAugmentConfig(), description="RandAugment.")
    blur: BlurConfig = Field(BlurConfig(), description="Gaussian blur.")
    jpeg: JpegConfig = Field(JpegConfig(), description="JPEG noise.")
    erasing: ErasingConfig = Field(ErasingConfig(), description="Random erasing.")
    mixup: MixUpConfig = Field(MixUpConfig(), description="MixUp, with soft labels.")
    cutmix: CutMixConfig = Field(CutMixConfig(), description="CutMix, with soft labels.")
    forbidden: dict[str, tuple[str, ...]] = Field(
        {},
        description="Operations that never touch a class's pictures, by label ({texting: [flip]}); RandAugment's own by "
        "their names (rotate).",
    )

    @model_validator(mode="before")
    @classmethod
    def _compose(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"policy": value}
        if not isinstance(value, dict):
            return value
        value = dict(value)
        policy = value.get("policy")
        if policy is not None and policy not in POLICIES:
            raise ValueError(f"there is no augmentation policy {policy!r}. {did_you_mean(str(policy), POLICIES)}")
        preset = POLICIES[policy] if policy is not None else {}
        short: dict[str, dict[str, Any]] = {}
        for key, (name, field) in _MOVED.items():
            if key in value:
                short.setdefault(name, {})[field] = value.pop(key)
        for name, kind in OPERATIONS.items():
            value[name] = _overridden(name, kind, preset.get(name, {}), short.get(name, {}), value.get(name, {}))
        return value

    @field_validator("forbidden", mode="before")
    @classmethod
    def _are_lists(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {label: (names,) if isinstance(names, str) else names for label, names in value.items()}

    @field_validator("forbidden")
    @classmethod
    def _are_known(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for label, names in value.items():
            for name in names:
                if name not in OPERATIONS and name not in KINDS:
                    raise ValueError(
                        f"there is no operation {name!r} to forbid for {label}. "
                        f"{did_you_mean(name, [*OPERATIONS, *KINDS])}"
                    )
        return value

    @model_validator(mode="after")
    def _only_one_mixes_a_picture(self) -> AugmentationConfig:
        if self.mixup.probability + self.cutmix.probability > 1:
            raise ValueError(
                "the probabilities of mixup and cutmix add up to more than 1; a picture is mixed by one of them at most"
            )
        return self

    def acting(self) -> list[str]:
        """Names of the operations that act, in their order."""
        return [name for name in OPERATIONS if getattr(self, name).acts]

    @property
    def mixes(self) -> bool:
        """Whether pictures of a batch are mixed, so that labels are shares."""
        return any(getattr(self, name).acts for name in _MIXING)

    @property
    def needs_labels(self) -> bool:
        """Whether it can be used only where pictures have labels."""
        return self.mixes or bool(self.forbidden)

    def check_labels(self, labels: Iterable[str], place: str = "augmentation") -> None:
        """Refuse a forbidden list of a class that there is not.

        Args:
            place: where the config stands in the run's config, for the message.

        Raises:
            ConfigError: naming the nearest class.
        """
        labels = tuple(labels)
        for label in self.forbidden:
            if label not in labels:
                raise ConfigError(f"{place}.forbidden: there is no class {label!r}. {did_you_mean(label, labels)}")

    def of_label(self, label: str) -> AugmentationConfig:
        """The config for the pictures of a class: without what is forbidden for it."""
        names = self.forbidden.get(label, ())
        off = {
            name: getattr(self, name).model_copy(update={"probability": 0.0}) for name in OPERATIONS if name in names
        }
        inner = tuple(name for name in KINDS if name in names)
        if inner and "rand_augment" not in off:
            excluded = tuple(dict.fromkeys((*self.rand_augment.exclude, *inner)))
            off["rand_augment"] = self.rand_augment.model_copy(update={"exclude": excluded})
        return self.model_copy(update={**off, "forbidden": {}})


def _overridden(name: str, kind: type[Operation], preset: dict, short: dict, given: Any) -> Any:
    """An operation's settings over the preset's."""
    if isinstance(given, Operation):
        return given
    given = kind.expanded(given)
    if not isinstance(given, dict):
        return given
    own = {**short, **given}
    probability = (preset | own).get("probability", kind.model_fields["probability"].default)
    known = own.keys() <= kind.model_fields.keys()  # else that is what is said
    if own and known and probability == 0 and "probability" not in own:
        raise ValueError(f"{name} is given a strength but no probability, which is 0 here: it would never act")
    return preset | own
