"""The gate: every exported form beside the PyTorch encoder, on the validation photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import DataError
from clip_har.export.base import Run
from clip_har.export.config import GateConfig
from clip_har.export.report import Check, FormReport, Verdict
from clip_har.inference.exported import ExportedForm
from clip_har.models.estimates import Estimate, difference, reliability
from clip_har.models.head import TextHead, softmax
from clip_har.models.preprocessing import Preprocessor

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.progress import Report

_TOGETHER = 8  # pictures, or texts, in a batch of others
_MATES = "Alone or in a batch"


@dataclass(frozen=True)
class _Outcome:
    """What one encoder makes of the photographs: scores of the bundle's labels, or of the classes' texts."""

    embeddings: np.ndarray
    scores: np.ndarray


class Gate:
    """Measures forms against a bundle's PyTorch encoders.

    Args:
        bundle: what they were exported from.
        encoder: its encoders, in float32.
        pixels: validation photographs as the preprocessing crops them, uint8 [n, h, w, 3].
        labels: their classes, int [n], in the order of the bundle's labels.
        batch_size: photographs that PyTorch encodes at one time.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        encoder: DualEncoder,
        pixels: np.ndarray,
        labels: np.ndarray,
        config: GateConfig,
        *,
        batch_size: int = 32,
    ) -> None:
        if not len(pixels):
            raise DataError("The gate needs validation photographs; there are none.")
        self.config = config
        self.labels = np.asarray(labels)
        self._bundle = bundle
        self._encoder = encoder
        self._pixels = pixels
        self._batch_size = batch_size
        self._preprocessor = Preprocessor(encoder.preprocessing)
        self.texts: dict[str, list[str]] = {label: list(bundle.prompts["texts"][label]) for label in bundle.labels}

    @property
    def samples(self) -> int:
        """How many photographs there are."""
        return len(self._pixels)

    @cached_property
    def flat_texts(self) -> list[str]:
        """The classes' texts, each once."""
        return list(dict.fromkeys(text for texts in self.texts.values() for text in texts))

    @cached_property
    def reference(self) -> _Outcome:
        """PyTorch's image embeddings [n, d], and the bundle's scores of them [n, c]."""
        parts = []
        for start in range(0, self.samples, self._batch_size):
            parts.append(
                self._encoder.encode_images(self._input(range(start, min(start + self._batch_size, self.samples))))
            )
        embeddings = np.concatenate(parts)
        return _Outcome(embeddings, self._scores_of_images(embeddings))

    @cached_property
    def text_reference(self) -> _Outcome:
        """PyTorch's embeddings of the texts [m, d], and the scores of the photographs against their classes [n, c]."""
        embeddings = self._encoder.encode_texts(self.flat_texts)
        return _Outcome(embeddings, self._scores_of_texts(embeddings))

    @property
    def accuracy(self) -> Estimate:
        """Of PyTorch, with its 95 % interval."""
        best = self.reference.scores.argmax(axis=1)
        # the gain over a model that is never right
        return difference(
            np.full_like(best, -1), best, self.labels, resamples=self.config.resamples, seed=self.config.seed
        )

    @property
    def ece(self) -> float:
        """Expected calibration error of PyTorch."""
        return reliability(self.reference.scores, self.labels)["ece"]

    def check(
        self, form: ExportedForm, run: Run, size: int, *, on_cpu: bool = True, progress: Report | None = None
    ) -> FormReport:
        """Measure one form.

        Args:
            run: the form at work.
            size: of its file, in bytes.
            on_cpu: whether it runs on the CPU, where nothing may depend on what shares a batch.
        """
        measured = self._image_form(run, progress) if form.encoder == "image" else self._text_form(form, run, progress)
        reference = self.reference if form.encoder == "image" else self.text_reference
        lost = int((~np.isfinite(measured.embeddings)).any(axis=1).sum())
        if lost:
            checks = [self._finite(lost, len(measured.embeddings))]
        else:
            checks = [
                *self._cosines(form, measured.embeddings, reference.embeddings),
                self._agreement(form, measured.scores, reference.scores),
                self._accuracy(form, measured.scores, reference.scores),
                self._calibration(measured.scores, reference.scores),
                self._batch_mates(form, run, measured, on_cpu),
            ]
        reasons = tuple(check.said for check in checks if check.verdict == "failed")
        limited = any(check.verdict == "batch 1 only" for check in checks)
        kept = form.model_copy(update={"single_only": form.single_only or limited})
        return FormReport(form=kept, size=size, checks=tuple(checks), accepted=not reasons, reasons=reasons)

    def _input(self, rows: Sequence[int]) -> np.ndarray:
        return np.stack([self._preprocessor.normalise(self._pixels[row]) for row in rows])

    def _image_form(self, run: Run, progress: Report | None) -> _Outcome:
        """Embeddings one by one, as a CPU serves them."""
        rows = []
        for row in range(self.samples):
            rows.append(run({"pixel_values": self._input([row])}))
            if progress:
                progress(row + 1, self.samples)
        embeddings = np.concatenate(rows)
        return _Outcome(embeddings, self._scores_of_images(embeddings))

    def _text_form(self, form: ExportedForm, run: Run, progress: Report | None) -> _Outcome:
        rows = []
        for number, text in enumerate(self.flat_texts):
            rows.append(run(self._tokens(form, [text])))
            if progress:
                progress(number + 1, len(self.flat_texts))
        embeddings = np.concatenate(rows)
        return _Outcome(embeddings, self._scores_of_texts(embeddings))

    def _tokens(self, form: ExportedForm, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """What the tokenizer gives, padded to the form's length if it has one."""
        tokens = {name: tensor.cpu().numpy() for name, tensor in self._encoder.tokenize(texts).items()}
        missing = form.details.get("length", 0) - tokens["input_ids"].shape[1]
        if missing <= 0:
            return tokens
        padding = {"input_ids": self._encoder.tokenizer.pad_token_id or 0}
        return {
            name: np.pad(values, ((0, 0), (0, missing)), constant_values=padding.get(name, 0))
            for name, values in tokens.items()
        }

    def _scores_of_images(self, embeddings: np.ndarray) -> np.ndarray:
        logits = self._bundle.head.score(embeddings, self._bundle.class_matrix)
        return softmax(logits, self._bundle.calibration.temperature)

    def _scores_of_texts(self, embeddings: np.ndarray) -> np.ndarray:
        """Through the class matrix that these texts give, as requests with other labels are answered."""
        rows = dict(zip(self.flat_texts, embeddings, strict=True))
        means = np.stack([np.mean([rows[text] for text in texts], axis=0) for texts in self.texts.values()])
        matrix = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        head = TextHead(self._encoder.logit_scale, self._encoder.logit_bias)
        return softmax(head.score(self.reference.embeddings, matrix))

    def _cosines(self, form: ExportedForm, embeddings: np.ndarray, reference: np.ndarray) -> list[Check]:
        bounds = self.config.bounds(form.precision)
        first, second = embeddings.astype(np.float64), reference.astype(np.float64)
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = np.clip((first * second).sum(axis=1) / norms, -1, 1)
        return [
            _check("Lowest cosine", float(cosines.min()), bounds.cosine_minimum, unit="cosine"),
            _check("Mean cosine", float(cosines.mean()), bounds.cosine_mean, unit="cosine"),
        ]

    def _agreement(self, form: ExportedForm, scores: np.ndarray, reference: np.ndarray) -> Check:
        """Same best label; a tie in PyTorch's own scores, which float noise decides, is no disagreement."""
        rows = np.arange(len(scores))
        best, other = reference.argmax(axis=1), scores.argmax(axis=1)
        differs = best != other
        tied = differs & (reference[rows, best] - reference[rows, other] <= self.config.tie)
        ties = f"{int(tied.sum())} ties, decided by float noise, count as agreement" if tied.any() else ""
        wrong = int((differs & ~tied).sum())
        note = f"{wrong} of {len(scores)} photographs differ" if wrong else ""
        agreement = 1 - wrong / len(scores)
        wanted = self.config.bounds(form.precision).agreement
        return _check("Same best label", agreement, wanted, unit="share", note="; ".join(filter(None, (note, ties))))

    def _accuracy(self, form: ExportedForm, scores: np.ndarray, reference: np.ndarray) -> Check:
        change = difference(
            reference.argmax(axis=1),
            scores.argmax(axis=1),
            self.labels,
            resamples=self.config.resamples,
            seed=self.config.seed,
        )
        loss = self.config.bounds(form.precision).accuracy_loss
        bound = None if loss is None else -loss
        return _check("Change in accuracy", change.value, bound, unit="points", interval=change)

    def _calibration(self, scores: np.ndarray, reference: np.ndarray) -> Check:
        before, after = (reliability(given, self.labels)["ece"] for given in (reference, scores))
        return _check("Calibration error (ECE)", after, None, unit="share", note=f"PyTorch's is {100 * before:.2f} %")

    def _batch_mates(self, form: ExportedForm, run: Run, alone: _Outcome, on_cpu: bool) -> Check:
        """The largest change of a score between a sample alone and the same sample in batches of others."""
        if form.single_only:
            return Check(name=_MATES, figure=None, unit="probability", note="never in a batch", verdict="batch 1 only")
        if form.encoder == "image":
            change, tried = self._change_among_images(run, alone)
        else:
            change, tried = self._change_among_texts(form, run, alone)
        bound = self.config.batch_mates
        note = f"largest change of a score, {tried}"
        verdict: Verdict = "passed" if change <= bound else "batch 1 only"
        if not on_cpu:
            return Check(name=_MATES, figure=change, unit="probability", note=f"{note}, on a GPU", verdict="shown")
        return Check(
            name=_MATES, figure=change, bound=bound, at_least=False, unit="probability", note=note, verdict=verdict
        )

    def _change_among_images(self, run: Run, alone: _Outcome) -> tuple[float, str]:
        generator = np.random.default_rng(self.config.seed)
        chosen = generator.permutation(self.samples)[: self.config.batch_samples]
        largest = 0.0
        for number, row in enumerate(chosen):
            rows = generator.integers(0, self.samples, _TOGETHER)
            place = number % _TOGETHER
            rows[place] = row
            scores = self._scores_of_images(run({"pixel_values": self._input(rows)}))
            largest = max(largest, _largest_change(scores[place], alone.scores[row]))
        return largest, f"{len(chosen)} photographs in batches of {_TOGETHER}"

    def _change_among_texts(self, form: ExportedForm, run: Run, alone: _Outcome) -> tuple[float, str]:
        """Texts of different lengths in one batch are padded, too."""
        order = np.random.default_rng(self.config.seed).permutation(len(self.flat_texts))
        embeddings = np.empty_like(alone.embeddings)
        for start in range(0, len(order), _TOGETHER):
            rows = order[start : start + _TOGETHER]
            embeddings[rows] = run(self._tokens(form, [self.flat_texts[row] for row in rows]))
        changed = _largest_change(self._scores_of_texts(embeddings), alone.scores)
        return changed, f"{len(order)} texts in batches of {_TOGETHER}"

    @staticmethod
    def _finite(lost: int, of: int) -> Check:
        note = f"{lost} of {of} embeddings are not numbers (an overflow, as a rule)"
        return Check(
            name="Embeddings lost", figure=lost, bound=0, at_least=False, unit="count", note=note, verdict="failed"
        )


def _largest_change(scores: np.ndarray, others: np.ndarray) -> float:
    """Infinite where something is not a number."""
    change = float(np.abs(scores.astype(np.float64) - others).max())
    return change if np.isfinite(change) else 1.0


def _check(
    name: str,
    figure: float,
    bound: float | None,
    *,
    unit: str,
    note: str = "",
    interval: Estimate | None = None,
) -> Check:
    """A figure that must be at least its bound, if it has one."""
    verdict: Verdict = "shown" if bound is None else "passed" if figure >= bound else "failed"
    return Check(name=name, figure=figure, bound=bound, unit=unit, note=note, interval=interval, verdict=verdict)
