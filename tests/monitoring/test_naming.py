"""Which check names what changed: figures of a picture before what follows from them, unless they moved too little for it."""

from __future__ import annotations

import pytest

from clip_har.monitoring.checks.naming import cause_of
from clip_har.monitoring.report import CheckResult


def drifted(name: str, kind: str, statistic: float, excess: float, reference: float, current: float) -> CheckResult:
    return CheckResult(
        name=name,
        title=name,
        kind=kind,
        statistic=statistic,
        excess=excess,
        reference=reference,
        current=current,
        verdict="drift",
    )


@pytest.mark.parametrize(
    ("distance", "brightness", "cause"), [(0.97, 0.15, "brightness"), (0.4, 0.38, "out_of_vocabulary")]
)
def test_pictures_like_nothing_known_are_the_cause_unless_all_of_them_are_otherwise(distance, brightness, cause):
    """Darkness makes all pictures strange; other things that happen to be a little darker are strange by themselves."""
    checks = [
        drifted("brightness", "image", distance, 47, 0.5, brightness),
        drifted("out_of_vocabulary", "vocabulary", 300, 729, 0.05, 0.95),
        drifted("embedding_mmd", "embeddings", 0.1, 300, 0.0, 0.1),
    ]
    assert cause_of(checks) == cause


def test_what_only_says_that_something_changed_names_it_when_it_is_alone():
    assert cause_of([drifted("embedding_mmd", "embeddings", 0.1, 9, 0.0, 0.1)]) == "embedding_mmd"
    assert cause_of([drifted("aspect", "image", 0.1, 3, 1.4, 1.3).model_copy(update={"verdict": "ok"})]) is None


def test_contrast_that_falls_with_the_light_is_not_the_cause():
    light = drifted("brightness", "image", 0.8, 26, 0.5, 0.25)
    contrast = drifted("contrast", "image", 0.8, 34, 0.2, 0.1)
    assert cause_of([contrast, light]) == "brightness"
    assert cause_of([contrast.model_copy(update={"current": 0.4}), light]) == "contrast"
