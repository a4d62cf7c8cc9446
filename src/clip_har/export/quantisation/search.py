"""Which layers stay in float: each group's harm is measured alone, and those with the most harm for their work are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clip_har.export.quantisation.building import build_int8
from clip_har.export.quantisation.config import QuantisationConfig, QuantisationTrial, RangeMethod
from clip_har.export.quantisation.graph import LayerGroup, QuantisableGraph
from clip_har.export.quantisation.measuring import Batch, cosines, embeddings, open_session
from clip_har.export.quantisation.ranges import ActivationRanges

if TYPE_CHECKING:
    import onnx

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Int8Form:
    """A form that was built, with what was measured of it."""

    model: onnx.ModelProto
    ranges: RangeMethod
    trial: QuantisationTrial


class Search:
    """Builds int8 forms of one graph and compares their embeddings with the float ones on one probe.

    Args:
        probe: batches of inputs.
        reference: float embeddings of the probe, float32 [m, d].
        report: called with a note whenever a form was measured.

    Attributes:
        trials: everything that was measured, in order.
    """

    def __init__(
        self,
        graph: QuantisableGraph,
        observed: ActivationRanges,
        probe: Sequence[Batch],
        reference: np.ndarray,
        config: QuantisationConfig,
        report: Callable[[str], None],
    ) -> None:
        self.trials: list[QuantisationTrial] = []
        self._graph = graph
        self._observed = observed
        self._probe = probe
        self._reference = reference
        self._config = config
        self._report = report

    def best(self) -> Int8Form:
        """The form with the most work in int8 that was found to reach the wanted cosine, else the nearest to it."""
        whole = [self._whole(method) for method in dict.fromkeys(self._config.ranges)]
        form = max(whole, key=lambda candidate: candidate.trial.cosine_mean)
        if self._reaches(form):
            return form
        ranges, groups = self._ranges(form.ranges), self._graph.groups(self._config.candidates)
        harms = [self._harm(group, ranges) for group in groups]
        return self._fewest_in_float(form, groups, harms)

    def _fewest_in_float(self, form: Int8Form, groups: list[LayerGroup], harms: list[float]) -> Int8Form:
        """Leave out the groups with the most harm for their work until what is left may reach the wanted cosine.

        Harms of single groups are taken to add up, as independent noise does; where the built form shows that they
        did not, half as much is allowed in the next attempt.
        """
        ranges, best = self._ranges(form.ranges), form
        smallest = max(min((group.work for group in groups if group.work > 0), default=1.0), 1.0)
        by_gain = sorted(
            range(len(groups)), key=lambda index: harms[index] / max(groups[index].work, smallest / 100), reverse=True
        )
        allowed = 1.0 - self._config.wanted_cosine
        left_out = 0
        for _ in range(self._config.attempts):
            before = left_out
            while left_out < len(groups) and sum(harms[index] for index in by_gain[left_out:]) > allowed:
                left_out += 1
            allowed /= 2
            if left_out == len(groups):
                break  # nothing would be int8
            if left_out == before:
                continue
            kept = [node for index in sorted(by_gain[left_out:]) for node in groups[index].nodes]
            attempt = self._measured(f"{left_out} of {len(groups)} groups in float", form.ranges, ranges, kept)
            best = max(best, attempt, key=lambda candidate: candidate.trial.cosine_mean)
            if self._reaches(attempt):
                return attempt
        return best

    def _harm(self, group: LayerGroup, ranges: Ranges) -> float:
        """1 - mean cosine when this group alone is int8."""
        model = self._build(ranges, group.nodes)
        values = self._cosines(model)
        left = tuple(node for node in self._graph.weighted if node not in group.nodes)
        self._note(f"{group.name} alone in int8", left, values)
        return max(0.0, 1.0 - float(values.mean()))

    def _whole(self, method: RangeMethod) -> Int8Form:
        return self._measured(f"all in int8, ranges by {method}", method, self._ranges(method), self._graph.nodes)

    def _measured(self, what: str, method: RangeMethod, ranges: Ranges, nodes: Sequence[str]) -> Int8Form:
        model = self._build(ranges, nodes)
        chosen = set(nodes)
        left = tuple(node for node in self._graph.weighted if node not in chosen)
        return Int8Form(model, method, self._note(what, left, self._cosines(model)))

    def _build(self, ranges: Ranges, nodes: Sequence[str]) -> onnx.ModelProto:
        return build_int8(self._graph, ranges, nodes, reduced_weight_range=self._config.reduced_weight_range)

    def _ranges(self, method: RangeMethod) -> Ranges:
        return self._observed.ranges(method, self._config.percentile)

    def _cosines(self, model: onnx.ModelProto) -> np.ndarray:
        return cosines(embeddings(open_session(model, self._config.threads), self._probe), self._reference)

    def _note(self, what: str, left_in_float: tuple[str, ...], values: np.ndarray) -> QuantisationTrial:
        trial = QuantisationTrial(
            what=what,
            left_in_float=left_in_float,
            cosine_mean=float(values.mean()),
            cosine_minimum=float(values.min()),
        )
        self.trials.append(trial)
        self._report(f"{what}: cosine {trial.cosine_mean:.4f}")
        return trial

    def _reaches(self, form: Int8Form) -> bool:
        return form.trial.cosine_mean >= self._config.wanted_cosine
