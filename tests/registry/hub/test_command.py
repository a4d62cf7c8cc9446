"""`clip-har hub`, as it is typed, and what docs/hub.md says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from clip_har import cli
from clip_har.data.versions.store import VersionStore
from clip_har.models.bundle import ModelBundle
from clip_har.registry.hub import HubConfig, push_bundle
from tests.command import PROJECT
from tests.data.versions.world import described
from tests.hub_server import Fault, Hub
from tests.tiny_models import colour_photos

DOCUMENT = PROJECT / "docs" / "hub.md"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: ModelBundle, hub: Hub) -> Path:
    """A folder with a photograph, a version of the data in its workspace, and a bundle on the Hub."""
    monkeypatch.chdir(tmp_path)
    photos = colour_photos(tmp_path / "photos", ("running", "sitting"), 8)
    VersionStore("workspace").publish(*described(photos), source_key="s", tag="first")
    (tmp_path / "photo.jpg").write_bytes(next((photos / "running").iterdir()).read_bytes())
    push_bundle(bundle, "---\nlicense: mit\n---\n", HubConfig(repository="owner/actions", tag="v1"))
    return tmp_path


def commands() -> list[list[str]]:
    """The lines of docs/hub.md that begin with clip-har, in their order."""
    text = DOCUMENT.read_text(encoding="utf-8").replace("OWNER", "owner")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["clip-har"]]


def test_the_commands_of_the_document(place: Path, hub: Hub, bundle: ModelBundle, capsys) -> None:
    said = []
    for words in commands():
        assert cli.main(words) == 0, (words, capsys.readouterr().err)
        said.append(capsys.readouterr().out)
    pulled, planned, sent, fetched = said
    assert f"actions: zero_shot, 3 classes, model {bundle.model_id[:12]}; verified." in pulled
    assert ModelBundle.load("actions").model_id == bundle.model_id
    assert "would be sent to owner/photographs; they are in would_send. Nothing was sent." in planned
    files = {path.relative_to("would_send").as_posix() for path in Path("would_send").rglob("*") if path.is_file()}
    assert files == set(hub.dataset("owner/photographs").files())
    assert f"at {hub.address}/datasets/owner/photographs" in sent
    assert "tags first, data-" in sent
    assert "16 pictures are published in workspace as theirs" in fetched
    store = VersionStore("workspace")
    assert store.resolve("theirs").manifest_hash == store.resolve("first").manifest_hash
    assert not list((place / "workspace" / "hub").iterdir()), "nothing is left of the way"


def test_the_code_of_the_document_that_needs_our_package(place: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    text = DOCUMENT.read_text(encoding="utf-8").replace("OWNER", "owner")
    own = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "clip_har" in code]
    assert len(own) == 1
    exec(compile(own[0], "hub.md", "exec", dont_inherit=True), {})
    assert "cycling" in capsys.readouterr().out


def test_a_folder_for_the_data(place: Path, capsys) -> None:
    assert cli.main(["hub", "push-data", "owner/photographs"]) == 0
    assert cli.main(["hub", "pull-data", "hf://owner/photographs@first", "--to", "here"]) == 0
    assert len(list(Path("here/images").rglob("*.jpg"))) == 16
    assert "here: 16 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pull", "actions"], "error: 'actions' is not the id of a repository on the Hub: wanted: OWNER/NAME"),
        (["pull", "owner/nothing"], "error: The Hub has no such thing as the repository owner/nothing"),
        (["pull", "owner/actions", "--revision", "v9"], "error: The repository owner/actions at 'v9' has no such"),
        (["pull", "owner/actions", "--to", "photos"], "error: photos has something else in it"),
        (["push-data", "photographs"], "error: hub.repository: 'photographs' is not the id"),
        (["push-data", "stranger/photographs"], "error: Your token may not do this"),
        (["push-data", "owner/photographs", "--version", "secnd"], "error: "),
        (["pull-data", "owner/photographs"], "error: The Hub has no such thing as the data set owner/photographs"),
        (["pul", "owner/actions"], "error: clip-har hub has no command 'pul'. Did you mean 'pull'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes(place: Path, capsys, words: list[str], said: str) -> None:
    before = sorted(path.name for path in place.iterdir())
    assert cli.main(["hub", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert sorted(path.name for path in place.iterdir()) == before


def test_data_that_broke_off_go_on(place: Path, hub: Hub, capsys) -> None:
    assert cli.main(["hub", "push-data", "owner/photographs"]) == 0
    hub.faults = [Fault("GET", "resolve/.*/data/test", after=100)]
    assert cli.main(["hub", "pull-data", "owner/photographs", "--workspace", "other"]) == 2
    assert "only what is missing is fetched" in capsys.readouterr().err
    hub.faults, asked = [], len(hub.asked)
    assert cli.main(["hub", "pull-data", "owner/photographs", "--workspace", "other"]) == 0
    fetched = [request for request in hub.asked[asked:] if request.startswith("GET") and "/resolve/" in request]
    assert not any("data/train" in request for request in fetched), "it had come"


def test_help_is_quick_and_needs_no_client() -> None:
    import subprocess

    code = "import sys, clip_har.registry.hub.command as c; c.main(['--help']); print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
