"""The contact sheet: what training sees, row by row, and words on what acts."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.hashing import sha256_file
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.training.contact_sheet import augmentation_sheets, contact_sheet
from tests.tiny_models import colour_photos

PREPROCESSING = PreprocessingConfig(
    resize_shortest_edge=150,
    resize_to=None,
    resample=3,
    crop=(150, 150),
    scale=1 / 255,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)
LABELS = ("calling", "eating", "texting")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = colour_photos(tmp_path_factory.mktemp("photos"), LABELS, 4)
    rows = []
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        split = "test" if number % 4 == 3 else "train"
        uri = path.relative_to(folder).as_posix()
        rows.append((sha256_file(path), uri, path.parent.name, split, uri, 64, 64, "JPEG", "folder", ""))
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), LABELS, str(folder))


def cells(sheet: Image.Image, pictures: int, columns: int = 6, caption: int = 0) -> np.ndarray:
    """uint8 [pictures, columns, 150, 150, 3]."""
    pixels = np.asarray(sheet)
    down = 150 + caption + 6 + 16
    tops = [20 + 16 + row * down for row in range(pictures)]
    lefts = [6 + column * 156 for column in range(columns)]
    return np.stack([[pixels[top : top + 150, left : left + 150] for left in lefts] for top in tops])


def test_without_augmentation_every_epoch_shows_the_picture_as_the_encoder_sees_it(manifest):
    sheet, pictures, epochs = contact_sheet(
        manifest.split("train"), PREPROCESSING, AugmentationConfig(policy="none"), 0
    )
    assert (pictures, epochs) == (8, 5)
    seen = cells(sheet, pictures)[:, 1:]
    preprocessor = Preprocessor(PREPROCESSING)
    expected = {
        preprocessor.resize_and_crop(preprocessor.decode(path)).tobytes() for path in manifest.split("train").paths
    }
    assert {view.tobytes() for row in seen for view in row} <= expected
    assert len({row[0].tobytes() for row in seen}) == 8
    assert all((row == row[0]).all() for row in seen)


def test_epochs_differ_and_the_same_seed_gives_the_same_sheet(manifest):
    config = AugmentationConfig(policy="medium")
    sheet, pictures, _ = contact_sheet(manifest.split("train"), PREPROCESSING, config, 3)
    for row in cells(sheet, pictures):
        assert len({view.tobytes() for view in row}) == 6
    again, _, _ = contact_sheet(manifest.split("train"), PREPROCESSING, config, 3)
    other, _, _ = contact_sheet(manifest.split("train"), PREPROCESSING, config, 4)
    assert again.tobytes() == sheet.tobytes() != other.tobytes()


def test_classes_with_something_forbidden_come_first_and_every_class_comes(manifest):
    config = AugmentationConfig(policy="none", flip=1.0, forbidden={"texting": ["flip"]})
    sheet, pictures, _ = contact_sheet(manifest.split("train"), PREPROCESSING, config, 0, pictures=3)
    seen = cells(sheet, pictures)
    preprocessor = Preprocessor(PREPROCESSING)
    plain = {}
    for path in manifest.split("train").paths:
        pixels = preprocessor.resize_and_crop(preprocessor.decode(path))
        plain[pixels.tobytes()] = (path.parent.name, "as it is")
        plain[np.ascontiguousarray(pixels[:, ::-1]).tobytes()] = (path.parent.name, "flipped")
    assert [plain[row[1].tobytes()] for row in seen] == [
        ("texting", "as it is"),
        ("calling", "flipped"),
        ("eating", "flipped"),
    ]


def test_one_entry_for_each_config_that_was_used(manifest):
    light = AugmentationConfig(policy="light").model_dump(mode="json")
    mixed = AugmentationConfig(policy="light", cutmix=1.0).model_dump(mode="json")
    used = {"lora": light, "probe": None, "small": light, "mixed": mixed}
    shown = augmentation_sheets(used, manifest, PREPROCESSING, 0)
    assert [entry["names"] for entry in shown] == [["lora", "small"], ["mixed"]]
    assert [entry["mixes"] for entry in shown] == [False, True]
    assert [name for name, _ in shown[0]["operations"]] == ["Random resized crop", "Horizontal flip", "Colour jitter"]
    head, _, data = shown[0]["image"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (6 * 156 + 6, 20 + 8 * 172 + 6)
    assert augmentation_sheets({"probe": None}, manifest, PREPROCESSING, 0) == []
