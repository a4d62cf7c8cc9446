"""A contact sheet of what augmentation does: training pictures as they are, and as training sees them epoch by epoch."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clip_har.data.augmentation import AugmentationConfig, describe
from clip_har.data.image import ImageLimits, decode_image
from clip_har.data.manifest import Manifest
from clip_har.hashing import canonical_json
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.training.pixels import TrainingPixels

_CELL = 150  # longer side of a view on the sheet, in pixels
_GAP, _TITLE, _CAPTION = 6, 20, 16
_PAPER, _INK, _QUIET = (255, 255, 255), (29, 36, 48), (93, 102, 115)


def augmentation_sheets(
    used: Mapping[str, Mapping[str, Any] | None],
    manifest: Manifest,
    preprocessing: PreprocessingConfig,
    seed: int,
    limits: ImageLimits | None = None,
) -> list[dict[str, Any]]:
    """What the report shows of augmentation: one entry for each config that candidates were fitted with.

    Args:
        used: name of a candidate → its `AdaptedModel.augmentation`.
        manifest: the split data set.
        preprocessing: of the encoder.
        seed: of the run.
    """
    names: dict[str, list[str]] = {}
    for name, config in used.items():
        if config is not None:
            names.setdefault(canonical_json(dict(config)), []).append(name)
    train, shown = manifest.split("train") if names else manifest, []
    for text, candidates in names.items():
        config = AugmentationConfig.model_validate_json(text)
        sheet, pictures, epochs = contact_sheet(train, preprocessing, config, seed, limits=limits)
        shown.append(
            {
                "names": candidates,
                "policy": config.policy,
                "operations": describe(config),
                "mixes": config.mixes,
                "pictures": pictures,
                "epochs": epochs,
                "image": _data_uri(sheet),
            }
        )
    return shown


def contact_sheet(
    train: Manifest,
    preprocessing: PreprocessingConfig,
    config: AugmentationConfig,
    seed: int,
    *,
    pictures: int = 8,
    epochs: int = 5,
    limits: ImageLimits | None = None,
) -> tuple[Image.Image, int, int]:
    """The sheet: a row a picture, the original first, then the views of the first epochs, exactly as training sees them.

    Where pictures are mixed, the ones shown are mixed with each other.

    Returns:
        The sheet, and how many pictures and epochs are on it.
    """
    chosen = _some_of_each(train, pictures, tuple(config.forbidden))
    preprocessor, order = Preprocessor(preprocessing), np.arange(len(chosen))
    views = TrainingPixels(chosen, preprocessing, config, seed, limits)
    labels = chosen.frame["label"].tolist()
    height, width = (round(_CELL * side / max(preprocessing.output_size)) for side in preprocessing.output_size)
    caption = _CAPTION if config.mixes else 0
    across, down = width + _GAP, height + caption + _GAP
    sheet = Image.new("RGB", (across * (epochs + 1) + _GAP, _TITLE + (down + _CAPTION) * len(chosen) + _GAP), _PAPER)
    pen, title, small = ImageDraw.Draw(sheet), ImageFont.load_default(13), ImageFont.load_default(11)
    for column in range(epochs + 1):
        pen.text((_GAP + column * across, 3), f"epoch {column}" if column else "picture", _INK, title)
    for row, (path, label) in enumerate(zip(chosen.paths, labels, strict=True)):
        top = _TITLE + row * (down + _CAPTION)
        pen.text((_GAP, top), _words(label), _QUIET, small)
        original = decode_image(path, limits, reduce_above=2 * _CELL).image.copy()
        original.thumbnail((width, height), Image.Resampling.LANCZOS)
        left = _GAP + (width - original.width) // 2
        sheet.paste(original, (left, top + _CAPTION + (height - original.height) // 2))
    for epoch in range(epochs):
        for targets, pixels in views.labelled_batches(order, epoch, len(chosen)):
            for row, (target, values) in enumerate(zip(targets, pixels, strict=True)):
                view = Image.fromarray(preprocessor.pixels(values)).resize((width, height), Image.Resampling.BICUBIC)
                place = (_GAP + (epoch + 1) * across, _TITLE + row * (down + _CAPTION) + _CAPTION)
                sheet.paste(view, place)
                if np.ndim(target) and target.max() < 1:
                    said = " + ".join(
                        f"{100 * target[number]:.0f} % {_words(chosen.labels[number])}"
                        for number in np.argsort(-target, kind="stable")[:2]
                    )
                    pen.text((place[0], place[1] + height + 1), _cut(said, small, width), _QUIET, small)
    return sheet, len(chosen), epochs


def _some_of_each(train: Manifest, number: int, first: tuple[str, ...]) -> Manifest:
    """Pictures of as many classes as can be, those with something forbidden first; of each class by id."""
    frame = train.frame.assign(turn=train.frame.sort_values("id").groupby("label").cumcount())
    labels = [label for label in first if label in train.labels]
    others = [label for label in train.labels if label not in labels]
    room = max(1, number - len(labels))
    if len(others) > room:
        others = [others[place * len(others) // room] for place in range(room)]
    order = {label: place for place, label in enumerate([*labels, *others])}
    kept = frame[frame["label"].isin(order)].assign(place=lambda rows: rows["label"].map(order))
    kept = kept.sort_values(["turn", "place"], kind="stable").head(number)
    return replace(train, frame=kept.drop(columns=["turn", "place"]).reset_index(drop=True))


def _words(label: str) -> str:
    return label.replace("_", " ")


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    while font.getlength(text) > width and len(text) > 1:
        text = text[:-2].rstrip() + "…"
    return text


def _data_uri(sheet: Image.Image) -> str:
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
