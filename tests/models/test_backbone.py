"""What can be found wrong about a backbone in a moment."""

from __future__ import annotations

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors
from pydantic import ValidationError

from clip_har.errors import ModelError
from clip_har.models.backbone import ComputeConfig, ModelConfig, check_backbone, is_folder


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("openai/clip-vit-base-patch16", False),
        ("./clip", True),
        ("../shared/models/clip", True),
        ("/models/clip", True),
        ("~/clip", True),
        ("clip", True),
        ("a/b/c", True),
    ],
)
def test_a_name_is_a_folder_or_an_id(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_folder(name) is folder
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").mkdir()
    assert is_folder("models/mine")  # looks like an id, and is here


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, r"model\.backbone: there is no folder .*backbone.*looked in .*id of the Hub"),
        ({}, r"is not a Hugging Face dual encoder: no config\.json, preprocessor_config\.json"),
        ({"config.json": "{}"}, r"no preprocessor_config\.json"),
        ({"config.json": "{", "preprocessor_config.json": "{}"}, r"config\.json is damaged or has no model_type"),
        ({"config.json": "{}", "preprocessor_config.json": "{}"}, r"config\.json is damaged or has no model_type"),
    ],
)
def test_a_folder_that_is_no_backbone_is_refused(tmp_path, files, message):
    folder = tmp_path / "backbone"
    if files is not None:
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    with pytest.raises(ModelError, match=message):
        check_backbone(ModelConfig(backbone=str(folder)))


def response(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.test"))


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (errors.RepositoryNotFoundError("x", response=response(404)), r"model\.backbone: 'a/b' is neither .* HF_TOKEN"),
        (errors.GatedRepoError("x", response=response(403)), r"model\.backbone: 'a/b' asks for its terms"),
        (errors.RevisionNotFoundError("x", response=response(404)), r"model\.revision: 'a/b' has no revision 'v1'"),
        (errors.RemoteEntryNotFoundError("x", response=response(404)), r"'a/b' has no config\.json"),
        (errors.LocalEntryNotFoundError("x"), r"'a/b' is not a folder here, was never fetched.*cannot be reached"),
        (errors.HFValidationError("x"), r"'a/b' is neither a folder nor the id of a model"),
        (httpx.ConnectError("no route"), r"cannot be reached now \(ConnectError\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_hub_answers_is_told_in_words(monkeypatch, failure, message):
    def refused(*_, **__):
        raise failure

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    with pytest.raises(ModelError, match=message):
        check_backbone(ModelConfig(backbone="a/b", revision="v1"))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ValidationError, match="wanted: auto, cpu, cuda or cuda:N"):
        ComputeConfig(device=device)
    assert ComputeConfig(device="cuda:1").device == "cuda:1"
