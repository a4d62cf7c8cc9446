"""ZenML caching is truth: a change of data, config or code reruns what it touches and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.command import Workplace
from tests.e2e.conftest import TRAIN

pytestmark = pytest.mark.slow

ALWAYS = {"open_data", "publish_run"}
AFTER_FITTING = {"compare_methods", "assemble", "evaluate_model"}


@pytest.fixture(scope="module")
def trained(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A place of this module's own, in which `train` has run."""
    folder = tmp_path_factory.mktemp("caching") / "place"
    shutil.copytree(furnished, folder)
    place = Workplace(folder)
    done = place.run("train", *TRAIN)
    assert done.code == 0, done.err
    return place


def test_nothing_changed_nothing_reruns(trained: Workplace) -> None:
    before = trained.metrics()
    done = trained.run("train", *TRAIN)
    assert done.code == 0, done.err
    assert trained.ran() == ALWAYS
    assert "validate_data" not in done.err, "the version that was published is used"
    assert trained.metrics() == before
    assert "cached" in done.out


def test_a_learning_rate_reruns_what_depends_on_it(trained: Workplace) -> None:
    done = trained.run("train", *TRAIN, "--set", "adaptation.lora.training.learning_rate=0.01")
    assert done.code == 0, done.err
    ran = trained.ran()
    assert "adapt_lora" in ran
    assert ran - ALWAYS - AFTER_FITTING == {"adapt_lora"}


@pytest.mark.thorough
def test_evaluation_settings_rerun_the_evaluation_only(trained: Workplace) -> None:
    done = trained.run("train", *TRAIN, "--set", "evaluation.resamples=150")
    assert done.code == 0, done.err
    assert trained.ran() == ALWAYS | {"evaluate_model"}


@pytest.mark.thorough
def test_one_photograph_more_reruns_the_data_and_what_follows(trained: Workplace, tmp_path: Path) -> None:
    added = trained.folder / "photos" / "running" / "one-more.jpg"
    shutil.copy(trained.folder / "photos" / "running" / "broken.jpg", added)
    try:
        done = trained.run("train", *TRAIN)
        assert done.code == 0, done.err
        # the new file is rejected: a version is made that has the same accepted photographs, so nothing follows
        assert "✓ validate_data" in done.err
        assert trained.ran() == ALWAYS
        assert trained.metrics()["data"]["rejected"] == 3
    finally:
        added.unlink()


@pytest.mark.thorough
def test_code_reruns_the_steps_that_use_it(trained: Workplace, project_copy: Path) -> None:
    place = Workplace(trained.folder, project=project_copy)  # the same code elsewhere, at first
    source = project_copy / "src" / "clip_har"
    environment = {"PYTHONPATH": str(project_copy / "src")}
    for file, touched in (
        (source / "adaptation" / "linear_probe.py", {"adapt_linear_probe"}),
        (source / "adaptation" / "assembly.py", {"assemble"}),
    ):
        file.write_text(file.read_text() + "\n# changed\n")
        done = place.run("train", *TRAIN, **environment)
        assert done.code == 0, done.err
        # its artifact comes out the same, so that what follows is still valid
        assert place.ran() == ALWAYS | touched
