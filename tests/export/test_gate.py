"""The gate: what it lets through, what it keeps out, and the reasons that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from clip_har.export import EXPORTERS
from clip_har.export.base import Run
from clip_har.export.config import Bounds, GateConfig
from clip_har.export.gate import Gate
from clip_har.export.report import Check, FormReport
from clip_har.inference.exported import ExportedForm
from clip_har.models.head import softmax
from clip_har.models.preprocessing import Preprocessor
from tests.export.conftest import Exported

Inputs = Mapping[str, np.ndarray]


@pytest.fixture(scope="session")
def clip(exported: Callable[[str], Exported]) -> Exported:
    return exported("clip")


def gate(made: Exported, **settings: object) -> Gate:
    """The gate of a tiny bundle, on 24 validation photographs."""
    samples = made.study.manifest.split("validation")
    crop = Preprocessor(made.encoder.preprocessing)
    pixels = np.stack([crop.resize_and_crop(crop.decode(path)) for path in samples.paths])
    return Gate(made.bundle, made.encoder, pixels, samples.label_indices, GateConfig(**settings))


def form(encoder: str = "image", precision: str = "fp32", **changes: object) -> ExportedForm:
    return ExportedForm(
        encoder=encoder, format="onnx", precision=precision, file="onnx/x.onnx", sha256="0" * 64, **changes
    )


def pytorch(made: Exported, change: Callable[[np.ndarray], np.ndarray] = lambda embeddings: embeddings) -> Run:
    """A form that gives what PyTorch gives, changed."""
    return lambda inputs: change(made.encoder.encode_images(inputs["pixel_values"]))


def named(report: FormReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def test_every_form_of_the_tiny_model_passes(clip: Exported) -> None:
    assert clip.report.not_made == ()
    assert len(clip.report.forms) == 10
    for row in clip.report.forms:
        assert row.accepted, (row.form.name, row.reasons)
    assert clip.report.samples == 24
    assert clip.report.decision == "10 of 10 forms are kept."


@pytest.mark.parametrize("encoder", ["image", "text"])
def test_damaged_weights_are_refused_with_reasons(clip: Exported, encoder: str, tmp_path) -> None:
    model = onnx.load(clip.path("onnx", encoder))
    largest = max((array for array in model.graph.initializer if len(array.dims) == 2), key=lambda a: np.prod(a.dims))
    noise = np.random.default_rng(0).permutation(numpy_helper.to_array(largest).ravel()).reshape(largest.dims)
    largest.CopyFrom(numpy_helper.from_array(noise.astype(np.float32), largest.name))
    onnx.save(model, tmp_path / "damaged.onnx")
    damaged = clip.form("onnx", encoder)
    run = EXPORTERS.get("onnx").open(tmp_path / "damaged.onnx", damaged, 1)
    report = gate(clip).check(damaged, run, 1)
    assert not report.accepted
    assert named(report, "Lowest cosine").verdict == "failed"
    assert any(
        reason.startswith("Lowest cosine: ") and "wanted: at least 0.9999." in reason for reason in report.reasons
    )


def test_what_is_not_a_number_is_refused(clip: Exported) -> None:
    """Float16 beyond its range."""

    def overflow(embeddings: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(embeddings))[:, None] == 0, np.nan, embeddings)

    report = gate(clip).check(form(precision="fp16"), pytorch(clip, overflow), 1)
    assert not report.accepted
    assert "24 of 24 embeddings are not numbers" in report.reasons[0]
    assert report.model_dump_json()  # and can be written down


def rotated(degrees: float) -> Callable[[np.ndarray], np.ndarray]:
    """Every embedding turned by an angle, so that its cosine is known."""

    def turn(embeddings: np.ndarray) -> np.ndarray:
        aside = np.roll(embeddings, 1, axis=1)
        aside -= (aside * embeddings).sum(axis=1, keepdims=True) * embeddings
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        angle = np.deg2rad(degrees)
        return (np.cos(angle) * embeddings + np.sin(angle) * aside).astype(np.float32)

    return turn


@pytest.mark.parametrize(
    ("precision", "degrees", "verdict"),
    [
        ("fp32", 0.5, "passed"),  # cosine 0.99996
        ("fp32", 1.0, "failed"),  # 0.99985
        ("fp16", 1.0, "passed"),
        ("fp16", 2.7, "failed"),  # 0.99889
        ("int8", 2.7, "passed"),
        ("int8", 8.2, "failed"),  # 0.98978
    ],
)
def test_the_default_bounds_of_the_cosine(clip: Exported, precision: str, degrees: float, verdict: str) -> None:
    report = gate(clip).check(form(precision=precision), pytorch(clip, rotated(degrees)), 1)
    check = named(report, "Mean cosine" if precision == "int8" else "Lowest cosine")
    assert check.figure == pytest.approx(np.cos(np.deg2rad(degrees)), abs=1e-5)
    assert check.verdict == verdict
    other = named(report, "Lowest cosine" if precision == "int8" else "Mean cosine")
    assert other.verdict == "shown"


class _Scores:
    """A gate whose scores are given: for what depends on them alone."""

    def __init__(self, made: Exported, reference: np.ndarray, scores: np.ndarray, **settings: object) -> None:
        self.gate = gate(made, **settings)
        self.gate.__dict__["reference"] = self.gate.reference.__class__(self.gate.reference.embeddings, reference)
        self.gate._scores_of_images = lambda embeddings: scores[: len(embeddings)]  # type: ignore[method-assign]

    def check(self, made: Exported, precision: str) -> FormReport:
        return self.gate.check(form(precision=precision), pytorch(made), 1)


def scores_for(best: np.ndarray, second: np.ndarray, margin: float) -> np.ndarray:
    """Probabilities [n, 4] of which two are nearly alike, the first by a margin."""
    scores = np.full((len(best), 4), 0.05)
    rows = np.arange(len(best))
    scores[rows, best], scores[rows, second] = 0.45 + margin / 2, 0.45 - margin / 2
    return scores


@pytest.mark.parametrize(("margin", "agreement", "accepted"), [(5e-6, 1.0, True), (5e-5, 23 / 24, False)])
def test_a_tie_is_no_disagreement(clip: Exported, margin: float, agreement: float, accepted: bool) -> None:
    """Float32 has to agree on all photographs; one whose two best labels float noise decides is not counted."""
    first, second = np.zeros(24, int), np.ones(24, int)
    reference = scores_for(first, second, margin)
    scores = reference.copy()
    scores[7] = scores_for(second, first, margin)[7]
    report = _Scores(clip, reference, scores).check(clip, "fp32")
    check = named(report, "Same best label")
    assert check.figure == pytest.approx(agreement)
    assert report.accepted == accepted
    assert ("1 ties" in check.note) == accepted
    assert ("1 of 24 photographs differ" in check.note) != accepted


@pytest.mark.parametrize(("wrong", "verdict"), [(0, "passed"), (1, "failed")])
def test_int8_may_not_lose_half_a_point(clip: Exported, wrong: int, verdict: str) -> None:
    """One of 24 photographs is four points; the interval says how sure that is."""
    labels = gate(clip).labels
    reference = scores_for(labels, (labels + 1) % 4, 0.5)
    scores = reference.copy()
    scores[:wrong] = scores_for((labels + 1) % 4, labels, 0.5)[:wrong]
    check = named(_Scores(clip, reference, scores).check(clip, "int8"), "Change in accuracy")
    assert check.figure == pytest.approx(-wrong / 24)
    assert check.verdict == verdict
    assert check.interval.low <= check.figure <= check.interval.high
    if wrong:
        assert check.interval.low < check.interval.high
        assert check.text(check.figure) == "−4.17"


def test_a_gain_elsewhere_is_no_loss(clip: Exported) -> None:
    labels = gate(clip).labels
    reference = scores_for((labels + 1) % 4, labels, 0.5)
    report = _Scores(clip, reference, scores_for(labels, (labels + 1) % 4, 0.5)).check(clip, "int8")
    assert named(report, "Change in accuracy").figure == 1.0
    assert report.accepted


def test_calibration_error_is_shown_beside_pytorchs(clip: Exported) -> None:
    labels = gate(clip).labels
    sure = np.eye(4)[labels] * 0.98 + 0.005
    report = _Scores(clip, scores_for(labels, (labels + 1) % 4, 0.0001), sure).check(clip, "int8")
    check = named(report, "Calibration error (ECE)")
    assert check.figure == pytest.approx(0.015, abs=1e-6)
    assert check.note == "PyTorch's is 54.99 %"


def test_a_form_that_its_neighbours_change_is_for_single_pictures(clip: Exported) -> None:
    """As dynamic quantisation is: its scale is the batch's."""

    def by_its_batch(embeddings: np.ndarray) -> np.ndarray:
        step = np.abs(embeddings).max() / 127
        return (np.round(embeddings / step) * step).astype(np.float32)

    report = gate(clip, batch_samples=24).check(form(precision="int8"), pytorch(clip, by_its_batch), 1)
    check = named(report, "Alone or in a batch")
    assert check.figure > 1e-5
    assert check.verdict == "batch 1 only"
    assert report.form.single_only
    assert report.accepted


def test_on_a_gpu_neighbours_are_only_looked_at(clip: Exported) -> None:
    def by_its_batch(embeddings: np.ndarray) -> np.ndarray:
        return embeddings if len(embeddings) == 1 else rotated(0.2)(embeddings)

    report = gate(clip).check(form(precision="fp16"), pytorch(clip, by_its_batch), 1, on_cpu=False)
    assert named(report, "Alone or in a batch").verdict == "shown"
    assert not report.form.single_only


def test_a_form_for_single_pictures_is_never_given_two(clip: Exported) -> None:
    def alone(inputs: Inputs) -> np.ndarray:
        assert len(inputs["pixel_values"]) == 1
        return clip.encoder.encode_images(inputs["pixel_values"])

    assert gate(clip).check(form(precision="int8", single_only=True), alone, 1).accepted


def test_texts_are_padded_to_the_length_of_their_form(clip: Exported) -> None:
    import torch

    seen = set()

    def run(inputs: Inputs) -> np.ndarray:
        seen.add(inputs["input_ids"].shape[1])
        assert set(inputs) == {"input_ids", "attention_mask"}
        with torch.inference_mode():
            return clip.encoder.text_features({name: torch.from_numpy(v) for name, v in inputs.items()}).numpy()

    report = gate(clip).check(form("text", details={"length": 30}), run, 1)
    assert seen == {30}
    assert report.accepted, report.reasons


def test_bounds_are_settings(clip: Exported) -> None:
    run = pytorch(clip, rotated(1.0))
    assert not gate(clip).check(form(), run, 1).accepted
    assert gate(clip, fp32=Bounds(cosine_minimum=0.99)).check(form(), run, 1).accepted


def test_scores_are_those_of_the_bundle(clip: Exported) -> None:
    """Head, class matrix and temperature, as the Predictor applies them."""
    here = gate(clip)
    head, matrix = clip.bundle.head, clip.bundle.class_matrix
    wanted = softmax(head.score(here.reference.embeddings, matrix), clip.bundle.calibration.temperature)
    np.testing.assert_array_equal(here.reference.scores, wanted)
    assert here.accuracy.value == pytest.approx((wanted.argmax(axis=1) == here.labels).mean())
