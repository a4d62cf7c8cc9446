"""Which bundle a run is about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clip_har.config import RunConfig, load_config
from clip_har.errors import BundleError, ClipHarError, ConfigError
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.registry.hub import HubConfig, push_bundle
from pipelines.bundles import bundle_path, bundle_to_share
from pipelines.checks import check
from tests.command import PROJECT
from tests.hub_server import Hub
from tests.registry.hub.conftest import bundle, hub, make_bundle, tiny_encoder

__all__ = ["bundle", "hub", "tiny_encoder"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the configuration of a run in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def make(*overrides: str) -> RunConfig:
        return load_config(PROJECT / "configs" / "sample.yaml", overrides)

    return make


def test_the_newest_the_champion_and_one_by_its_folder(config, bundle: ModelBundle, tiny_encoder, tmp_path) -> None:
    shutil.copytree(bundle.path, "outputs/2026-01-01_train/bundle")
    newest = (tmp_path / "outputs/2026-01-01_train/bundle").resolve()
    assert bundle_path(config()) == bundle_to_share(config()) == newest
    with pytest.raises(BundleError, match="there is no champion in workspace yet"):
        bundle_path(config("bundle=champion"))
    registry = Registry.of("workspace")
    champion = registry.add(make_bundle(tmp_path / "better", tiny_encoder, method="prompt_ensemble"))
    registry.promote(champion.model_id, instead_of=None)
    assert bundle_path(config("bundle=champion")) == champion.path
    assert bundle_path(config()) == newest
    assert bundle_to_share(config()) == champion.path
    assert bundle_to_share(config("bundle=better")) == Path("better")


def test_one_of_the_hub(config, hub: Hub, bundle: ModelBundle, tmp_path: Path) -> None:
    sent = push_bundle(bundle, "---\nlicense: mit\n---\n", HubConfig(repository="owner/actions", tag="v1"))
    found = bundle_path(config("bundle=hf://owner/actions@v1"))
    assert found == tmp_path / "workspace/hub" / f"owner--actions@{sent.commit}"
    assert ModelBundle.load(found).model_id == bundle.model_id
    with pytest.raises(ConfigError, match="'owner' is not the id of a repository"):
        bundle_path(config("bundle=hf://owner"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "hub: the pipeline publish needs this section.*--set hub.repository=OWNER/NAME"),
        (("hub.repository=owner/actions",), "There is no bundle yet"),
        (("hub.repository=owner/actions", "bundle=nowhere"), "bundle: there is no folder 'nowhere'"),
        (("hub.repository=owner/actions", "bundle=here"), "needs a token, and there is none"),
    ],
)
def test_what_publish_cannot_do_is_said_before_it_starts(
    config, hub: Hub, bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    shutil.copytree(bundle.path, "here")
    with pytest.raises(ClipHarError, match=said):
        check("publish", config(*settings))
    check("publish", config("hub.repository=owner/actions", "bundle=here", "hub.dry_run=true"))
    assert hub.asked == []
