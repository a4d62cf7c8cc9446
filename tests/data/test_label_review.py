"""Likely label errors: wrong labels are found, duplicates do not vouch for each other, and nothing is left to chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clip_har.data import label_review
from clip_har.data.label_review import LabelReview, LabelReviewConfig, review_labels
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.errors import DataError

LABELS = ("calling", "dancing", "running", "sleeping")
CONFIG = LabelReviewConfig(max_share=0.5)


def manifest_of(labels: list[str], groups: list[str] | None = None, root: str = "/nowhere") -> Manifest:
    ids = [f"{number:04}" for number in range(len(labels))]
    split = ["train", "test"]
    rows = [
        (name, f"{name}.jpg", label, split[number % 2], group, 64, 64, "JPEG", "csv", "")
        for number, (name, label, group) in enumerate(zip(ids, labels, groups or ids, strict=True))
    ]
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), LABELS, root)


def clusters(count: int = 400, noise: float = 0.25, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """float32 [n, 16] around a centre for each class, and the true labels."""
    generator = np.random.default_rng(seed)
    truth = np.arange(count) % len(LABELS)
    centres = generator.normal(size=(len(LABELS), 16))
    inputs = centres[truth] + noise * 4 * generator.normal(size=(count, 16))
    return inputs.astype(np.float32), [LABELS[number] for number in truth]


def planted(labels: list[str], count: int, seed: int = 1) -> tuple[list[str], set[str]]:
    """Some labels made wrong, and the ids of their samples."""
    generator = np.random.default_rng(seed)
    wrong = generator.choice(len(labels), count, replace=False)
    changed = list(labels)
    for number in wrong:
        changed[number] = str(generator.choice([label for label in LABELS if label != labels[number]]))
    return changed, {f"{number:04}" for number in wrong}


def test_planted_errors_are_on_top_of_the_list():
    inputs, truth = clusters()
    labels, wrong = planted(truth, 20)
    manifest = manifest_of(labels)
    review = review_labels(manifest, inputs, CONFIG)
    found = wrong & set(review.frame["id"])
    assert len(found) >= 0.75 * 20, "recall"
    assert len(found) >= 0.9 * len(review), "precision"
    assert review.reviewed == 400
    assert 0.85 < review.agreement < 0.95
    assert review.frame["quality"].is_monotonic_increasing
    by_id = manifest.frame.set_index("id")
    for row in review.frame.to_dict("records"):
        assert row["label"] != row["suggested"]
        assert row["quality"] < row["confidence"]
        assert {name: row[name] for name in ("uri", "label", "split")} == by_id.loc[row["id"]][
            ["uri", "label", "split"]
        ].to_dict()
    right = [truth[int(row["id"])] == row["suggested"] for row in review.frame.to_dict("records") if row["id"] in found]
    assert np.mean(right) > 0.8


def test_the_list_is_no_longer_than_asked():
    inputs, truth = clusters()
    labels, _ = planted(truth, 60)
    whole = review_labels(manifest_of(labels), inputs, CONFIG)
    short = review_labels(manifest_of(labels), inputs, LabelReviewConfig(max_share=0.05))
    assert len(whole) > len(short) == 20
    assert short.frame.equals(whole.frame.head(20))


def test_duplicates_never_vouch_for_each_other(monkeypatch):
    """Six copies of a picture, all with the same wrong label: one fold for all of them, so that all are found."""
    inputs, truth = clusters(300)
    groups = [f"g{number}" for number in range(300)]
    for first in range(0, 60, 6):  # ten groups of six
        for number in range(first, first + 6):
            inputs[number], groups[number], truth[number] = inputs[first], f"g{first}", truth[first]
    labels = list(truth)
    for number in range(6):
        labels[number] = LABELS[(LABELS.index(truth[0]) + 1) % 4]
    seen, folds = [], label_review._folds
    monkeypatch.setattr(label_review, "_folds", lambda *given: seen.append(folds(*given)) or seen[-1])
    review = review_labels(manifest_of(labels, groups), inputs, CONFIG)
    (parts,) = seen
    assert len(parts) == 5
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    for group in set(groups):
        assert sum(group in {groups[row] for row in part} for part in parts) == 1
    assert {f"{number:04}" for number in range(6)} <= set(review.frame["id"])


def test_the_same_input_gives_the_same_review():
    inputs, truth = clusters(200)
    labels, _ = planted(truth, 10)
    manifest = manifest_of(labels)
    first, again = (review_labels(manifest, inputs, CONFIG) for _ in range(2))
    assert first.content_hash == again.content_hash
    assert len(first) >= 5
    assert review_labels(manifest, inputs, CONFIG, seed=1).content_hash != first.content_hash
    scaled = review_labels(manifest, 1000 * inputs + 5, CONFIG)
    assert scaled.frame["id"].tolist() == first.frame["id"].tolist(), "the strength means the same for any encoder"


def test_small_classes_are_left_out_and_said():
    inputs, truth = clusters(120)
    keep = [number for number, label in enumerate(truth) if label != "sleeping" or number < 16]
    labels = [truth[number] for number in keep]
    assert labels.count("sleeping") == 4
    told = []
    review = review_labels(manifest_of(labels), inputs[keep], CONFIG, progress=lambda *numbers: told.append(numbers))
    assert review.left_out == ("sleeping",)
    assert review.reviewed == len(keep) - 4
    assert not {"sleeping"} & set(review.frame["label"]) | {"sleeping"} & set(review.frame["suggested"])
    assert told == [(number, 7) for number in range(1, 8)]
    assert "Too few photographs to judge: sleeping" in review.to_html()


@pytest.mark.parametrize("why", ["off", "too few", "one class"])
def test_nothing_to_review(why, tmp_path):
    inputs, truth = clusters(200 if why != "too few" else 12)
    labels = ["calling"] * len(truth) if why == "one class" else truth
    review = review_labels(manifest_of(labels), inputs, LabelReviewConfig(enabled=why != "off"))
    assert (review.reviewed, len(review), review.agreement) == (0, 0, None)
    assert review.to_html() == "<p>No label was reviewed.</p>"
    review.write(tmp_path)
    assert LabelReview.read(tmp_path).content_hash == review.content_hash
    assert review.shown(tmp_path)["examples"] == []


def test_clean_labels_of_clear_classes_raise_no_alarm():
    inputs, truth = clusters(200, noise=0.02)
    review = review_labels(manifest_of(truth), inputs, CONFIG)
    assert review.agreement == 1
    assert len(review) == 0


def test_embeddings_of_other_data_are_refused():
    inputs, truth = clusters(40)
    with pytest.raises(DataError, match=r"each of 40 samples; got \[39, 16\]"):
        review_labels(manifest_of(truth), inputs[:39], CONFIG)


def test_the_list_is_written_and_shown(tmp_path: Path):
    inputs, truth = clusters(200)
    labels, _ = planted(truth, 10)
    review = review_labels(manifest_of(labels), inputs, CONFIG)
    review.write(tmp_path / "stored")
    read = LabelReview.read(tmp_path / "stored")
    assert read.frame.equals(review.frame)
    assert (read.summary(), read.content_hash) == (review.summary(), review.content_hash)
    uris = review.frame["uri"].tolist()
    for uri in uris[1:]:
        Image.new("RGB", (90, 60), "red").save(tmp_path / uri)
    shown = review.shown(tmp_path, count=3)
    assert [example["uri"] for example in shown["examples"]] == uris[:3]
    assert shown["examples"][0]["picture"] is None, "a picture that is gone"
    assert shown["examples"][1]["picture"].startswith("data:image/jpeg;base64,")
    assert shown["listed"] == len(review)


@pytest.mark.slow
def test_errors_planted_among_photographs_are_found(har_folder, har_dual_encoder):
    """Two labels of a hundred made wrong: half of them are in a list of a twentieth of the photographs."""
    import csv

    from clip_har.data.loading import map_ahead
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.models.preprocessing import Preprocessor

    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    chosen = ("cycling", "eating", "sleeping", "using_laptop")
    with open(har_folder / "Training_set.csv", newline="") as file:
        rows = [(row["filename"], row["label"]) for row in csv.DictReader(file) if row["label"] in chosen]
    rows = [row for label in chosen for row in [row for row in rows if row[1] == label][:100]]
    preprocessor = Preprocessor(encoder.preprocessing)
    pixels = list(map_ahead(lambda row: preprocessor(preprocessor.decode(har_folder / "train" / row[0])), rows))
    inputs = np.concatenate([encoder.encode_images(np.stack(pixels[at : at + 50])) for at in range(0, 400, 50)])
    names = dict(zip(chosen, LABELS, strict=True))
    labels, wrong = planted([names[label] for _, label in rows], 8)
    review = review_labels(manifest_of(labels), inputs, CONFIG)
    assert len(review) <= 20
    assert len(wrong & set(review.frame["id"])) >= 4
