"""A data set of the Hub, with the Hub's answers put in its place."""

from __future__ import annotations

import io
from types import SimpleNamespace

import datasets
import httpx
import numpy as np
import pytest
from huggingface_hub import HfApi, errors
from PIL import Image

from clip_har.data.sources import build_source, parse_source_config
from clip_har.errors import DataError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LABELS = ["running", "sitting"]


def source(workspace, **settings):
    return build_source(
        parse_source_config({"source": "hub", "dataset": "someone/actions", **settings}), str(workspace)
    )


def picture(seed: int, file_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


PICTURES = [picture(0), picture(1, "PNG"), picture(2, "WEBP"), picture(3)]


def data_set(labels, feature) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "labels": feature, "note": datasets.Value("string")})
    rows = {"image": [{"bytes": data, "path": None} for data in PICTURES], "labels": labels, "note": ["x"] * 4}
    return datasets.Dataset.from_dict(rows, features=features)


class Hub:
    """What the two calls of the source find; counts them."""

    def __init__(self, monkeypatch) -> None:
        self.table = data_set([1, 0, 1, 0], datasets.ClassLabel(names=LABELS))
        self.commit: str | Exception = COMMIT
        self.failure: Exception | None = None
        self.asked: list[str] = []
        monkeypatch.setattr(HfApi, "dataset_info", self._info)
        monkeypatch.setattr(datasets, "load_dataset", self._load)

    def _info(self, name, *, revision, timeout):
        if isinstance(self.commit, Exception):
            raise self.commit
        return SimpleNamespace(sha=self.commit)

    def _load(self, name, *, revision, split):
        self.asked.append(f"{name}@{revision}:{split}")
        if self.failure:
            raise self.failure
        return self.table


@pytest.fixture
def hub(monkeypatch) -> Hub:
    return Hub(monkeypatch)


def test_the_original_bytes_are_written_once(hub, tmp_path):
    seen = []
    first = source(tmp_path)
    first.prepare(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    assert [(record.label, record.problem) for record in first.records()] == [(LABELS[n], None) for n in (1, 0, 1, 0)]
    assert [(first.root / record.uri).read_bytes() for record in first.records()] == PICTURES
    assert [record.uri.rpartition(".")[2] for record in first.records()] == ["jpg", "png", "webp", "jpg"]
    assert hub.asked == [f"someone/actions@{COMMIT}:train"]
    again = source(tmp_path)
    assert again.records() == first.records()
    assert again.fingerprint() == first.fingerprint()
    assert len(hub.asked) == 1  # the same commit is not fetched twice


def test_another_commit_is_fetched_beside(hub, tmp_path):
    before = source(tmp_path)
    before.records()
    hub.commit = COMMIT[::-1]
    hub.table = hub.table.select(range(3))
    after = source(tmp_path)
    assert len(after.records()) == 3
    assert after.fingerprint() != before.fingerprint()
    assert len(before.records()) == 4
    assert source(tmp_path, split="validation").root != after.root


def test_an_interrupted_fetch_starts_again(hub, tmp_path):
    def interrupted(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source(tmp_path).prepare(interrupted)
    assert not source(tmp_path).root.exists()
    assert len(source(tmp_path).records()) == 4


@pytest.mark.parametrize(
    ("labels", "feature", "expected"),
    [
        (["b", "a", "b", None], datasets.Value("string"), ["b", "a", "b", None]),
        ([1, -1, 0, None], datasets.ClassLabel(names=LABELS), ["sitting", None, "running", None]),
        ([3, 1, 2, 1], datasets.Value("int64"), ["3", "1", "2", "1"]),
    ],
)
def test_labels_of_each_kind(hub, tmp_path, labels, feature, expected):
    hub.table = data_set(labels, feature)
    records = source(tmp_path).records()
    assert [record.label for record in records] == expected
    assert [record.problem and record.problem[0] for record in records] == [
        None if label else "missing_label" for label in expected
    ]


def test_an_unreachable_hub_leaves_what_was_fetched(hub, tmp_path):
    hub.commit = httpx.ConnectError("no route")
    with pytest.raises(DataError, match=r"'someone/actions' was never fetched.*cannot be reached.*ConnectError"):
        source(tmp_path).check()
    hub.commit = COMMIT
    expected = source(tmp_path).records()
    hub.commit = httpx.ConnectError("no route")
    assert source(tmp_path).records() == expected
    with pytest.raises(DataError, match="was never fetched"):
        source(tmp_path, revision="other").check()


def response(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.test"))


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (errors.RepositoryNotFoundError("x", response=response(404)), r"data\.dataset: the Hub has no .*HF_TOKEN"),
        (errors.GatedRepoError("x", response=response(403)), r"data\.dataset: .*terms to be accepted"),
        (errors.RevisionNotFoundError("x", response=response(404)), r"data\.revision: .*no revision 'main'"),
        (errors.HFValidationError("x"), r"data\.dataset: 'someone/actions' is not the id"),
    ],
)
def test_a_wrong_name_is_told_even_when_it_was_fetched_before(hub, tmp_path, failure, message):
    source(tmp_path).records()
    hub.commit = failure
    with pytest.raises(DataError, match=message):
        source(tmp_path).check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_column": "imge"}, r"data\.image_column: .*no column 'imge'\. Did you mean 'image'"),
        ({"label_column": "label"}, r"data\.label_column: .*no column 'label'\. Did you mean 'labels'"),
        ({"image_column": "note"}, r"data\.image_column: the column 'note' .* holds no images"),
    ],
)
def test_a_wrong_column_is_told(hub, tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        source(tmp_path, **settings).records()
    assert not source(tmp_path).root.exists()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ValueError("Unknown split 'train'."), r"cannot be loaded: Unknown split"),
        (ConnectionError("connection reset"), r"could not be fetched: connection reset"),
    ],
)
def test_a_failing_download_is_told(hub, tmp_path, failure, message):
    hub.failure = failure
    with pytest.raises(DataError, match=rf"data\.dataset: 'someone/actions' {message}"):
        source(tmp_path).records()


def test_an_empty_split_is_told(hub, tmp_path):
    hub.table = hub.table.select([])
    with pytest.raises(DataError, match=r"data\.split: the split 'train' .* is empty"):
        source(tmp_path).records()
