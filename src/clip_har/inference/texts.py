"""Texts → embeddings for a bundle, without torch where an accepted ONNX text encoder is there; class matrices of requests."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.errors import ModelError
from clip_har.inference.exported import Exports
from clip_har.inference.runtimes.sessions import cpu_session
from clip_har.models.tokens import TextTokens

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle

_PRECISIONS = ("fp32", "int8", "fp16")  # a class matrix is made once and used often: the exact one first
_TEXT_BATCH = 64


class OnnxTextEncoder:
    """The exported text encoder on the CPU. Safe to call from several threads."""

    def __init__(self, tokens: TextTokens, session: Any, *, one_by_one: bool = False) -> None:
        self._tokens = tokens
        self._session = session
        self._inputs = [given.name for given in session.get_inputs()]
        self._batch = 1 if one_by_one else _TEXT_BATCH

    @classmethod
    def load(cls, bundle: ModelBundle, threads: int) -> OnnxTextEncoder | None:
        """The bundle's, or None if there is no accepted one, or no tokenizer that works without torch.

        Raises:
            BundleError: if its file is not what it was.
        """
        exports = Exports.read(bundle)
        kinds = [(precision, single) for single in (False, True) for precision in _PRECISIONS]
        found = (exports.find("text", "onnx", precision, single_only=single) for precision, single in kinds)
        form = next((form for form in found if form is not None), None)
        if form is None:
            return None
        try:
            tokens = TextTokens.read(bundle.path, form.details.get("length"))
        except ModelError:
            return None
        return cls(tokens, cpu_session(Exports.path(bundle, form), threads), one_by_one=form.single_only)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """n texts → float32 [n, d], L2-normalised."""
        parts = []
        for start in range(0, len(texts), self._batch):
            tokens = self._tokens(texts[start : start + self._batch])
            parts.append(self._session.run(["text_embeds"], {name: tokens[name] for name in self._inputs})[0])
        if parts:
            return np.concatenate(parts)
        return np.empty((0, self._session.get_outputs()[0].shape[1]), dtype=np.float32)


class ClassMatrices:
    """Class matrices by the content of what they are made of; the ones used last are kept. Safe to use from threads.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._matrices: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The matrix of a key, made if it is not there."""
        with self._lock:
            if key in self._matrices:
                self._matrices.move_to_end(key)
                return self._matrices[key]
        matrix = make()
        with self._lock:
            self._matrices[key] = matrix
            while len(self._matrices) > self._kept:
                self._matrices.popitem(last=False)
        return matrix

    def __len__(self) -> int:
        return len(self._matrices)
