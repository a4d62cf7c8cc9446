"""Encoders as torch.export sees them: one graph from tensors to L2-normalised embeddings, for any batch."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from clip_har.errors import ModelError
from clip_har.inference.exported import EncoderName

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder

_LARGEST_BATCH = 4096
_SHORTEST_TEXT = 2  # tokens: the ones that begin and end it
# torch.export cannot tell a size of 1 from a broadcast, so examples are larger.
_EXAMPLES = ("a photo of a person running.", "sleeping")
_LONG = "a photo of a person who is running " * 100


@dataclass(frozen=True)
class TracedEncoder:
    """An encoder's graph.

    Attributes:
        name: which encoder it is.
        program: from `inputs` to embeddings.
        inputs: names, in the order of the program's arguments.
        length: tokens that every text must be padded to; None if any length will do.
        dimensions: sizes that are free, by the symbol that stands for them in the program.
    """

    name: EncoderName
    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    length: int | None
    dimensions: Mapping[str, str]

    @property
    def output(self) -> str:
        """Name of the embeddings."""
        return f"{self.name}_embeds"

    @property
    def details(self) -> dict[str, Any]:
        """For the details of an `ExportedForm`."""
        return {"inputs": list(self.inputs), **({"length": self.length} if self.length else {})}


class _ImageEncoder(torch.nn.Module):
    def __init__(self, encoder: DualEncoder) -> None:
        super().__init__()
        self.model = encoder.model
        self._features = encoder.image_features.__func__

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self._features(self, pixel_values)


class _TextEncoder(torch.nn.Module):
    def __init__(self, encoder: DualEncoder, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = encoder.model
        self._names = names
        self._features = encoder.text_features.__func__

    def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
        return self._features(self, dict(zip(self._names, tokens, strict=True)))


def trace_image_encoder(encoder: DualEncoder) -> TracedEncoder:
    """The image encoder for any number of pictures.

    Raises:
        ModelError: if torch.export cannot follow it.
    """
    example = torch.zeros(2, 3, *encoder.preprocessing.output_size)
    shapes = {"pixel_values": {0: torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)}}
    program = _exported(_ImageEncoder(encoder), (example,), shapes)
    return TracedEncoder("image", program, ("pixel_values",), None, _symbols(program, ("batch",)))


def trace_text_encoder(encoder: DualEncoder) -> TracedEncoder:
    """The text encoder for any number of texts, of any length if the tokenizer and the model allow it.

    Raises:
        ModelError: if torch.export cannot follow it.
    """
    tokens = encoder.tokenize(_EXAMPLES)
    names, longest = tuple(tokens), encoder.tokenize([_LONG])["input_ids"].shape[1]
    module = _TextEncoder(encoder, names)
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    if tokens["input_ids"].shape[1] < longest:
        length = torch.export.Dim("length", min=_SHORTEST_TEXT, max=longest)
        try:
            program = _exported(module, tuple(tokens.values()), {"tokens": tuple({0: batch, 1: length} for _ in names)})
            return TracedEncoder("text", program, names, None, _symbols(program, ("batch", "length")))
        except ModelError:  # a model that is written for one length only: texts are padded to it
            tokens = encoder.tokenize([_LONG, _LONG])
    program = _exported(module, tuple(tokens.values()), {"tokens": tuple({0: batch} for _ in names)})
    return TracedEncoder("text", program, names, longest, _symbols(program, ("batch",)))


def _exported(module: torch.nn.Module, example: tuple[torch.Tensor, ...], shapes: Any) -> torch.export.ExportedProgram:
    module = _only_what_runs(module.eval(), example)
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError, AssertionError) as error:
        raise ModelError(f"torch.export cannot follow this encoder: {_first_line(error)}") from error
    for node in program.graph.nodes:  # where this machine keeps its source files is nobody's business
        node.meta.pop("stack_trace", None)
    return program


def _only_what_runs(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """The module without the parts of its model that this encoder does not use, which would be written with it."""
    model, used = module.model, set()
    parts = dict(model.named_children())
    handles = [
        inner.register_forward_pre_hook(lambda *_, part=name: used.add(part))
        for name, part in parts.items()
        for inner in part.modules()
    ]
    try:
        with torch.no_grad():
            module(*example)
    finally:
        for handle in handles:
            handle.remove()
    slim = copy.copy(model)
    slim._modules = {name: part for name, part in model._modules.items() if name in used}
    slim._parameters = {name: value for name, value in model._parameters.items() if not name.startswith("logit_")}
    module.model = slim
    return module


def _symbols(program: torch.export.ExportedProgram, names: tuple[str, ...]) -> dict[str, str]:
    """Symbol → name, from the first input's free sizes."""
    names_of_inputs = program.graph_signature.user_inputs
    first = next(node for node in program.graph.nodes if node.name == names_of_inputs[0])
    return {str(first.meta["val"].shape[axis]): name for axis, name in enumerate(names)}


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' remarks on packages that are not installed and constants that they do not fold."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
