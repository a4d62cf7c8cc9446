"""The reference profile goes where the bundle goes: renewed in the registry, left behind where the bundle is opened to be exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clip_har.export.exporting import MadeForms
from clip_har.export.report import ExportReport
from clip_har.models.bundle import ModelBundle
from clip_har.models.estimates import Estimate
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.registry.champion import Registry
from steps.deployment.complete_bundle import complete_bundle
from steps.evaluation.open_bundle import open_bundle
from tests.adaptation.tiny_study import tiny_study
from tests.monitoring.observed import observations


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    from clip_har.adaptation import METHODS

    study = tiny_study(tmp_path_factory.mktemp("study"))
    return study.assemble(tmp_path_factory.mktemp("made") / "bundle", study.fit(METHODS.get("zero_shot").Config()))


def profile_of(bundle: ModelBundle, seed: int = 0) -> ReferenceProfile:
    seen = replace(observations(40, seed), model_id=bundle.model_id)
    return ReferenceProfile.made_of(seen, ProfileConfig(partitions=100))


def completed(bundle: ModelBundle, target: Path, *profiles: ReferenceProfile) -> ModelBundle:
    """With no forms: that they go along is shown elsewhere."""
    report = ExportReport(
        **{"model_id": bundle.model_id, "method": "zero_shot", "backbone": "b", "split": "validation", "samples": 24},
        texts=8,
        accuracy=Estimate(value=0.5, low=0.4, high=0.6),
        ece=0.1,
        forms=(),
    )
    return complete_bundle(bundle, MadeForms(target, bundle.model_id, ()), report, profiles, target / "bundle")


def test_deploying_the_same_bundle_again_renews_what_the_registry_has(bundle, tmp_path):
    registry = Registry.of(tmp_path)
    first, second = profile_of(bundle), profile_of(bundle, 1)
    for number, profile in enumerate((first, second)):
        place = tmp_path / str(number)
        place.mkdir()
        registry.add(completed(bundle, place, profile))
        assert ReferenceProfile.of(registry.load(bundle.model_id)).content_hash == profile.content_hash
    with pytest.raises(MonitoringError, match="no reference profile"):
        ReferenceProfile.of(bundle)


def test_opened_to_be_exported_a_bundle_has_no_profile_of_earlier_forms(bundle, tmp_path):
    whole = completed(bundle, tmp_path, profile_of(bundle))
    assert ReferenceProfile.of(open_bundle.entrypoint(path=str(whole.path))).model_id == bundle.model_id
    trained = open_bundle.entrypoint(path=str(whole.path), with_exports=False)
    assert trained.model_id == bundle.model_id
    with pytest.raises(MonitoringError, match="no reference profile"):
        ReferenceProfile.of(trained)


def test_the_profile_of_another_model_is_not_attached(bundle, tmp_path):
    with pytest.raises(MonitoringError, match="was made with the model aaaaaaaaaaaa"):
        completed(bundle, tmp_path, ReferenceProfile.made_of(observations(40), ProfileConfig(partitions=100)))
