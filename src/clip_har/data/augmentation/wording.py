"""What an augmentation does, in words for people."""

from __future__ import annotations

from clip_har.data.augmentation.config import AugmentationConfig


def describe(config: AugmentationConfig) -> list[tuple[str, str]]:
    """(operation, what it does and how often) for each operation that acts, in their order."""
    words = {
        "crop": lambda c: (
            "Random resized crop",
            f"keeps {_share(c.scale)} of the area, width over height {c.ratio[0]:.2f} to {c.ratio[1]:.2f}",
        ),
        "flip": lambda c: ("Horizontal flip", "left and right exchanged"),
        "jitter": lambda c: (
            "Colour jitter",
            ", ".join(
                [f"brightness, contrast and saturation by up to ±{c.strength:.0%}".replace("%", " %")]
                * (c.strength > 0)
                + [f"hue by up to ±{360 * c.hue:.0f}°"] * (c.hue > 0)
            ),
        ),
        "rand_augment": lambda c: (
            "RandAugment",
            f"{c.operations} of its operations at magnitude {c.magnitude:g} of 30"
            + (f", never {', '.join(c.exclude)}" if c.exclude else ""),
        ),
        "blur": lambda c: ("Blur", f"Gaussian, standard deviation {_percent(c.sigma, 2)} of the shorter side"),
        "jpeg": lambda c: ("JPEG noise", f"compressed at quality {c.quality[0]} to {c.quality[1]}"),
        "erasing": lambda c: ("Random erasing", f"a rectangle of {_share(c.area)} of the area becomes noise"),
        "mixup": lambda c: (
            "MixUp",
            f"mixed with another picture of the batch, share from Beta({c.alpha:g}, {c.alpha:g})",
        ),
        "cutmix": lambda c: (
            "CutMix",
            f"a rectangle of another picture of the batch, share from Beta({c.alpha:g}, {c.alpha:g})",
        ),
    }
    lines = []
    for name in config.acting():
        operation = getattr(config, name)
        title, text = words[name](operation)
        often = "always" if operation.probability == 1 else f"{100 * operation.probability:g} % of pictures"
        without = sorted(label for label, names in config.forbidden.items() if name in names)
        lines.append((title, f"{text}; {often}" + (f", never for {', '.join(without)}" if without else "")))
    return lines


def _share(ends: tuple[float, float]) -> str:
    return _percent(ends, 0)


def _percent(ends: tuple[float, float], digits: int) -> str:
    return f"{100 * ends[0]:.{digits}f} to {100 * ends[1]:.{digits}f} %"
