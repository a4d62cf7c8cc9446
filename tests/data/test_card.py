"""The dataset card: everything that is in a version of the data, said once for people and once for the Hub."""

from __future__ import annotations

import re
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from clip_har.data.card import CardConfig, dataset_card
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.splits import SplitConfig, split_manifest
from clip_har.data.validation import Inspection, ValidationConfig, deduplicate, validate
from clip_har.errors import DataError
from tests.self_contained import requests_of
from tests.tiny_models import colour_photos

LABELS = ["cycling", "listening_to_music", "sitting"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(Manifest, report, Inspection) of 36 photographs, some flaws, two exact copies and a near-duplicate."""
    folder = colour_photos(tmp_path_factory.mktemp("card") / "photos", LABELS, 12)
    first = (folder / "cycling" / "cycling_000.jpg").read_bytes()
    (folder / "cycling" / "copy_1.jpg").write_bytes(first)
    (folder / "cycling" / "copy_2.jpg").write_bytes(first)
    (folder / "sitting" / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (20, 20), "red").save(folder / "sitting" / "small.png")
    with Image.open(folder / "sitting" / "sitting_003.jpg") as image:
        image.save(folder / "sitting" / "saved_again.jpg", quality=60)
    source = build_source(parse_source_config({"source": "folder", "path": str(folder)}), "unused")
    config = ValidationConfig()
    manifest, report, inspection = validate(source, config, data_revision="r1")
    manifest, report = deduplicate(manifest, report, inspection, config)
    return split_manifest(manifest, SplitConfig(seed=_seed_that_fills(manifest))), report, inspection


def _seed_that_fills(manifest) -> int:
    for seed in range(200):
        try:
            split_manifest(manifest, SplitConfig(seed=seed))
        except DataError:
            continue
        return seed
    raise AssertionError("no seed fills all splits")


@pytest.fixture(scope="module")
def card(made):
    return dataset_card(
        *made, CardConfig(name="Small | world", description="Drawn *shapes*.", license="cc-by-4.0", examples=2)
    )


def table(markdown: str, heading: str) -> dict[str, list[str]]:
    """First cell → other cells of the table under a heading."""
    section = markdown.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
    return {first.strip().strip("*"): [cell.strip().strip("*") for cell in rest] for first, *rest in rows[2:]}


def text_of(page: str) -> str:
    page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_front_matter_is_the_hub_s(card):
    about = huggingface_hub.DatasetCard(card.markdown).data
    assert about.license == "cc-by-4.0"
    assert about.pretty_name == "Small | world"
    assert about.task_categories == ["image-classification"]
    assert about.size_categories == ["n<1K"]


def test_a_licence_that_was_not_stated_is_unknown(made):
    card = dataset_card(*made, CardConfig(examples=0))
    assert huggingface_hub.DatasetCard(card.markdown).data.license == "unknown"
    assert "Licence: not stated" in text_of(card.html)


def test_counts_are_the_manifest_s(made, card):
    manifest = made[0]
    counts = manifest.counts()
    rows = table(card.markdown, "Classes and splits")
    for label in LABELS:
        expected = [*counts.loc[label].tolist(), counts.loc[label].sum()]
        assert rows[label.replace("_", " ")] == [str(number) for number in expected]
        cells = re.search(rf"<tr><td>{label.replace('_', ' ')}</td>.*?</tr>", card.html, flags=re.DOTALL)
        assert [int(cell) for cell in re.findall(r'<td class="number">(?:<b>)?(\d+)', cells[0])] == expected
    assert rows["all"] == [*(str(number) for number in counts.sum()), str(len(manifest))]


def test_rejections_warnings_and_duplicates_are_the_report_s(made, card):
    _, report, _ = made
    assert {reason: int(cells[0]) for reason, cells in table(card.markdown, "Rejected").items()} == report.reasons
    assert report.reasons == {"exact_duplicate": 2, "empty_file": 1, "too_small": 1}
    warned = table(card.markdown, "Accepted with a warning")
    assert {reason: int(cells[0]) for reason, cells in warned.items()} == report.warned_reasons != {}
    assert "* 1 picture was listed more than once" in card.markdown
    assert "* 1 group of nearly the same pictures (2 photographs, 1 pairs)" in card.markdown
    page = text_of(card.html)
    assert "1 picture was listed more than once" in page
    assert "cycling/copy_1.jpg cycling/copy_2.jpg, cycling/cycling_000.jpg" in page
    nearly = card.html.split("<h3>Nearly the same</h3>")[1].split("<details>")[0]
    assert re.findall(r'title="([^"]*)"', nearly) == ["sitting/saved_again.jpg", "sitting/sitting_003.jpg"]
    assert nearly.count("data:image/jpeg") == 2


def test_hashes_and_version_are_named(made, card):
    manifest = replace(made[0], dvc_hash="0123.dir")
    for said in (card.markdown, text_of(card.html)):
        assert manifest.content_hash in said
        assert "r1" in said
        assert "DVC" not in said
    published = dataset_card(manifest, *made[1:], CardConfig(examples=0))
    assert "`0123.dir`" in published.markdown
    assert "0123.dir" in published.html


def test_sizes_and_formats_are_counted(made, card):
    frame = made[0].frame
    number, width, height = (
        frame.value_counts(["width", "height"])
        .reset_index()
        .sort_values(["count"])[["count", "width", "height"]]
        .iloc[-1]
    )
    assert table(card.markdown, "Sizes")[f"{width} × {height}"] == [str(number)]
    sizes = table(card.markdown, "Sizes")
    assert sum(int(cells[0]) for cells in sizes.values()) == len(frame)
    assert f"JPEG ({len(frame)})" in card.markdown
    assert f"folder ({len(frame)})" in card.markdown
    titles = re.findall(r"<figcaption><b>([^<]*)</b>", card.html)
    assert titles == [
        "Width and height",
        "Shorter side",
        "Width over height",
        "File size",
        "Brightness",
        "Contrast",
        "Sharpness",
    ]
    for chart in re.findall(r'<figure class="card histogram">.*?</figure>', card.html, flags=re.DOTALL):
        assert sum(int(count) for count in re.findall(r": (\d+)</title>", chart)) == len(frame)


def test_examples_are_training_pictures_of_their_class_and_only_on_the_page(made, card):
    section = card.html.split('id="examples"')[1].split("<h2")[0]
    assert section.count("data:image/jpeg") == 2 * len(LABELS)
    assert "data:image" not in card.markdown
    assert "examples" not in dataset_card(*made, CardConfig(examples=0)).html.split("<nav")[1]


def test_the_page_asks_nothing_of_anybody(card):
    assert requests_of(card.html) == []
    assert "prefers-color-scheme: dark" in card.html


def test_equal_data_give_an_equal_card(made, card):
    manifest, report, inspection = made
    config = CardConfig(name="Small | world", description="Drawn *shapes*.", license="cc-by-4.0", examples=2)
    shuffled = Inspection(inspection.frame.sample(frac=1, random_state=3).reset_index(drop=True))
    again = dataset_card(manifest, report, shuffled, config)
    assert again == card


def test_a_stranger_s_words_are_words(made):
    manifest, report, inspection = made
    evil = '<script>alert(1)</script>|"\n# x'
    renamed = replace(
        manifest,
        frame=manifest.frame.assign(label=manifest.frame["label"].replace("cycling", evil)),
        labels=(evil, *LABELS[1:]),
    )
    card = dataset_card(renamed, report, inspection, CardConfig(name=evil, description=evil, license="mit: [x"))
    assert requests_of(card.html) == []
    assert huggingface_hub.DatasetCard(card.markdown).data.license == "mit: [x"
    cells = next(iter(table(card.markdown, "Classes and splits").values()))
    assert len(cells) == 5  # the label's own bar and line break make no cells


def test_pictures_that_are_gone_are_left_out(made, tmp_path):
    card = dataset_card(replace(made[0], root=str(tmp_path)), *made[1:])
    assert "data:image" not in card.html
    assert "At a glance" in card.html


def test_one_size_and_no_measurement_have_charts_too(made):
    manifest, report, inspection = made
    same = replace(manifest, frame=manifest.frame.assign(width=np.int32(64), height=np.int32(64)))
    card = dataset_card(same, report, Inspection(inspection.frame.iloc[:0]), CardConfig(examples=0))
    assert re.findall(r"<figcaption><b>([^<]*)</b>", card.html) == [
        "Width and height",
        "Shorter side",
        "Width over height",
    ]


def test_progress_is_told(made):
    told = []
    dataset_card(*made, CardConfig(examples=1), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(LABELS) + 2, len(LABELS) + 2)
