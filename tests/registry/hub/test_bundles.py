"""A bundle goes to the Hub whole, private and named, comes back the same, and is never half there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clip_har.errors import BundleError, ClipHarError, ConfigError
from clip_har.hashing import sha256_file
from clip_har.models.bundle import ModelBundle
from clip_har.registry.hub import HubConfig, HubError, HubReference, pull_bundle, push_bundle
from clip_har.registry.hub.bundles import own_tag, pulled_bundle, stage_bundle
from tests.hub_server import READER, Fault, Hub
from tests.registry.hub.conftest import make_bundle

NAME = "owner/actions"
CARD = "---\nlicense: apache-2.0\n---\n\n# a model\n"
LARGE = "model.safetensors"


def push(bundle: ModelBundle, **changes: object):
    return push_bundle(bundle, CARD, HubConfig(**({"repository": NAME} | changes)))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pushed_comes_back_the_same(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    sent = push(bundle, tag="v1")
    there = hub.model(NAME)
    assert there.private, "unless it is said otherwise"
    assert sent.commit == there.branches["main"] == there.tags["v1"] == there.tags[own_tag(bundle)]
    assert sent.url == f"{hub.address}/{NAME}"
    assert set(sent.sent) == {file.path for file in sent.files} == set(there.files())
    assert {f.path: f.sha256 for f in sent.files}[LARGE] == sha256_file(bundle.path / LARGE)
    assert there.files()["README.md"] == CARD.encode()

    pulled = pull_bundle(NAME, "v1", tmp_path / "pulled")
    assert pulled.model_id == bundle.model_id
    assert files_of(pulled.path) == there.files()
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"], "nothing is left beside it"
    asked = len(hub.asked)
    assert pull_bundle(NAME, "v1", tmp_path / "pulled").model_id == bundle.model_id
    assert not any(LARGE in request for request in hub.asked[asked:]), "it was there"


def test_reference_data_stay_here_unless_asked_for(hub: Hub, bundle: ModelBundle) -> None:
    push(bundle)
    attached = {path.split("/")[1] for path in hub.model(NAME).files() if path.startswith("attachments/")}
    assert attached == {"exports"}
    push(bundle, attachments=("notes", "missing"), include_reference=True)
    attached = {path.split("/")[1] for path in hub.model(NAME).files() if path.startswith("attachments/")}
    assert attached == {"notes", "reference"}, "what is not sent any more is removed"
    with pytest.raises(ValueError, match="include_reference"):
        HubConfig(repository=NAME, attachments=("reference",))


def test_a_dry_run_asks_nothing_of_the_hub(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    config = HubConfig(repository=NAME, dry_run=True, tag="v1")
    planned = push_bundle(bundle, CARD, config, dry_run_folder=tmp_path / "would_send")
    assert hub.asked == []
    assert planned.commit is None
    assert planned.tags == ("v1", own_tag(bundle))
    sent = push(bundle, tag="v1")
    assert planned.files == sent.files
    assert files_of(tmp_path / "would_send") == hub.model(NAME).files()


def test_the_same_again_sends_nothing(hub: Hub, bundle: ModelBundle) -> None:
    first = push(bundle, tag="v1")
    uploads, commits = len(hub.uploaded), len(hub.model(NAME).commits)
    again = push(bundle, tag="v1")
    assert again.sent == ()
    assert again.commit == first.commit
    assert (len(hub.uploaded), len(hub.model(NAME).commits)) == (uploads, commits)


def test_a_broken_connection_goes_on_where_it_broke(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    oid = sha256_file(bundle.path / LARGE)
    hub.faults = [Fault("PUT", f"large/{oid}", after=1000)]
    with pytest.raises(HubError, match=r"connection to the Hub broke.*only what is missing is sent"):
        push(bundle)
    assert hub.model(NAME).files() == {}, "nothing half-done is to be seen"
    others = set(hub.uploaded)
    assert others, "the other large files came through"
    hub.faults, hub.uploaded = [], []
    push(bundle)
    assert hub.uploaded == [oid]
    assert pull_bundle(NAME, target=tmp_path / "pulled").model_id == bundle.model_id


def test_a_broken_download_leaves_no_bundle_and_goes_on(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    push(bundle)
    hub.faults = [Fault("GET", f"resolve/.*/{LARGE}", after=2000)]
    with pytest.raises(HubError, match=r"connection to the Hub broke.*only what is missing is fetched"):
        pull_bundle(NAME, target=tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    hub.faults, asked = [], len(hub.asked)
    assert pull_bundle(NAME, target=tmp_path / "pulled").model_id == bundle.model_id
    fetched = [request for request in hub.asked[asked:] if request.startswith("GET") and "/resolve/" in request]
    assert not any("tokenizer.json" in request for request in fetched), "what had come was kept"
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda data: data.replace(b'"labels"', b'"Labels"'),
            r"hf://owner/actions@main is damaged: clip_har/bundle.json",
        ),
        (None, r"hf://owner/actions@main is incomplete: clip_har/bundle.json missing"),
    ],
    ids=["changed", "missing"],
)
def test_a_damaged_bundle_is_not_kept(hub: Hub, bundle: ModelBundle, tmp_path: Path, spoil, said: str) -> None:
    push(bundle)
    there = hub.model(NAME)
    files = dict(there.commits[there.branches["main"]].files)
    data, large = files.pop("clip_har/bundle.json")
    if spoil is not None:
        files["clip_har/bundle.json"] = (spoil(data), large)
    there.commit("main", files, "by hand")
    with pytest.raises(BundleError, match=said):
        pull_bundle(NAME, target=tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


def test_an_attachment_that_is_garbled_on_the_way_is_noticed(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    """The bundle's own checksums are of its core alone."""
    push(bundle)
    name = "attachments/exports/image.onnx"
    hub.garbled = {name: b"x" * len(hub.model(NAME).files()[name])}
    with pytest.raises(HubError, match=rf"is not what the Hub has: {name}\. Nothing was kept"):
        pull_bundle(NAME, target=tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


def test_only_what_belongs_to_the_bundle_is_fetched(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    push(bundle)
    there = hub.model(NAME)
    files = there.commits[there.branches["main"]].files
    there.commit("main", files | {"LICENSE": (b"text", False), "pytorch_model.bin": (b"\x80pickle", True)}, "by hand")
    pulled = pull_bundle(NAME, target=tmp_path / "pulled")
    assert {"LICENSE", "pytorch_model.bin"}.isdisjoint(files_of(pulled.path))
    push(bundle)
    assert "pytorch_model.bin" not in there.files(), "transformers would load it"


def test_a_tag_is_for_good(hub: Hub, bundle: ModelBundle, tiny_encoder, tmp_path: Path) -> None:
    push(bundle, tag="v1")
    other = make_bundle(tmp_path / "other", tiny_encoder, method="prompt_ensemble")
    with pytest.raises(HubError, match=r"'v1' of owner/actions names other content already.*nothing was sent"):
        push(other, tag="v1")
    assert hub.model(NAME).files() == hub.model(NAME).files("v1")
    push(other, tag="v2")
    assert pull_bundle(NAME, "v1", tmp_path / "v1").model_id == bundle.model_id
    assert pull_bundle(NAME, "v2", tmp_path / "v2").model_id == other.model_id


def test_a_branch_of_its_own(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    push(bundle, revision="try/this")
    assert hub.model(NAME).files() == {}
    assert pull_bundle(NAME, "try/this", tmp_path / "pulled").model_id == bundle.model_id


def test_a_public_repository_is_refused_where_a_private_one_is_wanted(hub: Hub, bundle: ModelBundle) -> None:
    hub.create("models", NAME)
    with pytest.raises(HubError, match=r"is public on the Hub.*nothing was sent"):
        push(bundle)
    assert hub.model(NAME).files() == {}
    push(bundle, private=False)
    assert LARGE in hub.model(NAME).files()


def in_between(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone else commits right before ours."""
    from huggingface_hub import HfApi

    own = HfApi.upload_folder

    def first(self, **arguments):
        there = hub.model(NAME)
        there.commit("main", there.commits[there.branches["main"]].files | {"theirs.txt": (b"x", False)}, "theirs")
        return own(self, **arguments)

    monkeypatch.setattr(HfApi, "upload_folder", first)


def test_someone_else_in_between_is_not_overwritten(hub: Hub, bundle: ModelBundle, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        in_between(hub, patch)
        with pytest.raises(HubError, match=r"Someone else changed .* \(412\); nothing of theirs was overwritten"):
            push(bundle)
    assert hub.model(NAME).files() == {"theirs.txt": b"x"}
    assert push(bundle).removed == ("theirs.txt",)


def test_the_clients_streamed_upload(hub: Hub, bundle: ModelBundle, tmp_path: Path, monkeypatch) -> None:
    """What the client does by default (hf_xet), as far as a Hub without its storage can show it: no file is a large one."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.large_suffixes = ()
    with monkeypatch.context() as patch:
        in_between(hub, patch)
        with pytest.raises(HubError, match=r"Someone else changed .* \(412\)"):
            push(bundle, tag="v1")
    assert hub.model(NAME).files() == {"theirs.txt": b"x"}
    sent = push(bundle, tag="v1")
    assert sent.removed == ("theirs.txt",)
    assert sent.commit == hub.model(NAME).tags["v1"] == hub.model(NAME).branches["main"]
    assert pull_bundle(NAME, "v1", tmp_path / "pulled").model_id == bundle.model_id
    assert push(bundle, tag="v1").sent == ()


def test_no_token(hub: Hub, bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(
        HubError, match=r"needs a token, and there is none\. Log in with `hf auth login`, or set HF_TOKEN"
    ):
        push(bundle)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "name", "said"),
    [
        ("hf_wrong", NAME, "does not accept your token.*Log in"),
        (READER, NAME, r"Your token may not do this.*\(403\)"),
        (None, "stranger/actions", r"Your token may not do this.*\(403\).*another owner's name"),
    ],
)
def test_no_permission(hub: Hub, bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, token, name, said) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=said):
        push(bundle, repository=name)
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("POST", "/commit/", 409), r"Someone else changed .* \(409\)"),
        (Fault("POST", "/preupload/", 403), r"Your token may not do this"),
        (Fault("POST", "/commit/", 503), r"could not answer .* \(503\).*run the same again"),
        (Fault("POST", "/commit/", after=0), "connection to the Hub broke"),
        (Fault("POST", "/tag/", after=0), "connection to the Hub broke"),
        (Fault("POST", "/commit/", 422), r"refused sending .* \(422\)"),
    ],
    ids=lambda value: f"{value.path} {value.status}" if isinstance(value, Fault) else "",
)
def test_a_hub_that_fails_is_said_and_the_same_again_mends_it(hub: Hub, bundle, tmp_path, fault, said) -> None:
    hub.faults = [fault]
    with pytest.raises(HubError, match=said):
        push(bundle, tag="v1")
    hub.faults = []
    push(bundle, tag="v1")
    assert pull_bundle(NAME, "v1", tmp_path / "pulled").model_id == bundle.model_id


def test_a_card_that_the_hub_refuses(hub: Hub, bundle: ModelBundle) -> None:
    with pytest.raises(HubError, match="refuses the card's front matter"):
        push_bundle(bundle, CARD.replace("apache-2.0", "my own!"), HubConfig(repository=NAME))


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        ("owner/nothing", None, "no such thing as the repository owner/nothing, or it is private"),
        (NAME, "v9", "The repository owner/actions at 'v9' has no such branch, tag or commit"),
        ("actions", None, "'actions' is not the id of a repository on the Hub"),
        (NAME, "a b", "'a b' cannot name a branch or a tag"),
    ],
)
def test_what_is_not_there(hub: Hub, bundle: ModelBundle, tmp_path: Path, name, revision, said) -> None:
    push(bundle)
    with pytest.raises(ClipHarError, match=said):
        pull_bundle(name, revision, tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []


def test_a_private_one_without_a_token(hub: Hub, bundle: ModelBundle, tmp_path: Path, monkeypatch) -> None:
    push(bundle)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"it is private and your token may not see it\. Log in"):
        pull_bundle(NAME, target=tmp_path / "pulled")


def test_a_model_of_others_is_no_bundle(hub: Hub, tmp_path: Path) -> None:
    hub.create("models", "openai/clip", files={"config.json": b"{}"})
    with pytest.raises(BundleError, match="hf://openai/clip@main is no model bundle of clip_har"):
        pull_bundle("openai/clip", target=tmp_path / "pulled")


def test_offline_mode_and_no_route(hub: Hub, bundle: ModelBundle, tmp_path: Path, monkeypatch) -> None:
    from huggingface_hub import constants

    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        for call in (lambda: push(bundle), lambda: pull_bundle(NAME, target=tmp_path / "pulled")):
            with pytest.raises(HubError, match="offline mode is set: unset HF_HUB_OFFLINE"):
                call()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="connection to the Hub broke"):
        pull_bundle(NAME, target=tmp_path / "pulled")


def test_a_hub_that_never_answers_is_given_up(hub: Hub, bundle: ModelBundle) -> None:
    hub.faults = [Fault("POST", "repos/create", wait=2)]
    with pytest.raises(HubError, match=r"connection to the Hub broke .* \(ReadTimeout"):
        push(bundle, timeout=0.2)


def test_a_folder_with_something_else_is_left_alone(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    push(bundle)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(BundleError, match="has something else in it than hf://owner/actions@main"):
        pull_bundle(NAME, target=tmp_path / "mine")
    assert files_of(tmp_path / "mine") == {"notes.txt": b"x"}


def test_a_damaged_bundle_is_not_sent(hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "bundle")
    opened = ModelBundle.load(tmp_path / "bundle")
    (tmp_path / "bundle" / "clip_har" / "prompts.json").write_text("{}")
    with pytest.raises(BundleError, match="is damaged"):
        push(opened)
    assert hub.asked == []


def test_a_reference_is_fetched_once_and_then_needs_no_hub(hub: Hub, bundle, tiny_encoder, tmp_path: Path) -> None:
    commit = push(bundle).commit
    reference = HubReference.parse(f"hf://{NAME}")
    place = pulled_bundle(reference, tmp_path)
    assert place == tmp_path / "hub" / f"owner--actions@{commit}"
    asked = len(hub.asked)
    assert pulled_bundle(reference, tmp_path) == place
    assert not any("/resolve/" in request for request in hub.asked[asked:])
    (place / "config.json").write_text("{}")
    assert ModelBundle.load(pulled_bundle(reference, tmp_path)).model_id == bundle.model_id, (
        "spoilt here, fetched again"
    )
    other = make_bundle(tmp_path / "other", tiny_encoder, method="prompt_ensemble")
    push(other)
    moved = pulled_bundle(reference, tmp_path)
    assert ModelBundle.load(moved).model_id == other.model_id
    hub.faults = [Fault("GET", "", 503)]
    assert pulled_bundle(reference, tmp_path) == moved, "what it last stood for"
    with pytest.raises(HubError, match=r"could not answer"):
        pulled_bundle(HubReference.parse(f"hf://{NAME}@v1"), tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hf://a/b", HubReference("a/b", "main")),
        ("hf://a/b@refs/pr/1", HubReference("a/b", "refs/pr/1")),
        ("outputs/latest/bundle", None),
    ],
)
def test_references(text: str, wanted: HubReference | None) -> None:
    assert HubReference.parse(text) == wanted
    if wanted is not None:
        assert HubReference.parse(str(wanted)) == wanted


@pytest.mark.parametrize("text", ["hf://a", "hf://a/b/c", "hf://a/b@", "hf://a/b@x..y", "hf://../b", "hf://a/b.git"])
def test_bad_references(text: str) -> None:
    with pytest.raises(ConfigError, match="wanted:"):
        HubReference.parse(text)


def test_staging_takes_no_hidden_file_and_nothing_that_is_not_listed(bundle: ModelBundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "bundle")
    (tmp_path / "bundle" / ".env").write_text("HF_TOKEN=secret")
    opened = ModelBundle.load(tmp_path / "bundle")
    staged = stage_bundle(opened, CARD, HubConfig(repository=NAME), tmp_path / "staged")
    assert ".env" not in files_of(staged)
    assert ModelBundle.load(staged).model_id == bundle.model_id
