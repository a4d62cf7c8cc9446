"""CoOp: the words around a class's name, learned as vectors.

Zhou et al. 2022, "Learning to Prompt for Vision-Language Models" (IJCV), equations 2 and 3: a prompt is
[V]₁ … [V]_M [CLASS]. with the same vectors for all classes (unified) or others for each (class-specific); cross-entropy
of the scaled cosines flows through the frozen text encoder into them. Trained on cached image embeddings; at the end the
prompts are encoded once and only the class matrix is kept.

The vectors take the place of a text's first word embeddings, by a hook on the text encoder's embedding layer: positions,
masks and pooling are the text encoder's own, whatever its architecture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import BALANCE_DESCRIPTION, Balance, EmbeddingTask
from clip_har.adaptation.fitting import fit_task
from clip_har.errors import ModelError
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead
from clip_har.training.config import TrainerConfig

if TYPE_CHECKING:
    import torch

    from clip_har.models.dual_encoder import DualEncoder

_PLACEHOLDERS = ("x", "a", "the")  # words that are one token in every vocabulary worth the name


class CoopConfig(MethodConfig):
    """The context vectors and their training."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": {
            "length": 4,
            "words": "a photo of a person",
            "training": {
                "epochs": 50,
                "max_steps": 150,
                "batch_size": 256,
                "learning_rate": 5e-3,
                "weight_decay": 0.0,
                "evaluate_every": 25,
                "select_by": "log_loss",
            },
        },
        "published": {
            "length": 16,
            "words": None,
            "training": {
                "epochs": 200,
                "batch_size": 32,
                "optimiser": "sgd",
                "learning_rate": 2e-3,
                "weight_decay": 5e-4,
                "warmup_share": 0.005,
                "clip_norm": None,
                "patience": None,
            },
        },
    }

    method: Literal["coop"] = "coop"
    preset: Literal["cpu", "published"] = Field(
        "cpu",
        description="Settings that are not given: published is the paper's recipe for 8 and 16 shots; cpu is bounded in "
        "its steps and begins with words.",
    )
    context: Literal["unified", "class_specific"] = Field(
        "unified", description="The same vectors for all classes, or others for each."
    )
    length: int = Field(4, ge=1, description="Number of vectors, where they do not begin with words.")
    words: str | None = Field(None, description="Words that the vectors begin as; random (0.02) if not given.")
    balance: Balance = Field("none", description=BALANCE_DESCRIPTION)
    training: TrainerConfig = Field(TrainerConfig(), description="The training run.")


class Coop(AdaptationMethod):
    """Learned context; the encoders stay as they are."""

    Config = CoopConfig
    config: CoopConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        import torch

        config, encoder = self.config, context.encoder
        task, prompts = _build(context, config)
        images = context.embeddings.of(context.validation.ids)
        with frozen(encoder):
            result = fit_task(context, config, config.training, task, builder=f"{__name__}:build_task")
            with torch.inference_mode():
                class_matrix = prompts.class_features().float().cpu().numpy()
        head = TextHead(encoder.logit_scale, encoder.logit_bias)
        remarks = []
        if result.best_step == 0:
            remarks.append("No step improved on the start: the vectors are as they were.")
        count = prompts.vectors.shape[-2]
        return AdaptedModel(
            name=name,
            method=config.method,
            recipe=config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts={
                label: [f"<{count} learned vectors> {context.prompts.names(label)[0]}."]
                for label in context.manifest.labels
            },
            open_vocabulary=OpenVocabulary(
                word="kept", basis="the encoders were not changed: other labels are scored as zero-shot"
            ),
            validation_ids=tuple(context.validation.ids),
            validation_logits=head.score(images, class_matrix),
            trained_parameters=prompts.vectors.numel(),
            history=result.history,
            remarks=remarks,
        )


def build_task(context: AdaptationContext, config: CoopConfig) -> EmbeddingTask:
    """The vectors as they begin, and the loss that they are trained with."""
    return _build(context, config)[0]


def _build(context: AdaptationContext, config: CoopConfig) -> tuple[EmbeddingTask, LearnedPrompts]:
    import torch

    encoder, labels = context.encoder, context.manifest.labels
    torch.manual_seed(context.seed)
    names = [context.prompts.names(label)[0] for label in labels]
    prompts = LearnedPrompts(encoder, names, starting_vectors(config, encoder, len(labels)))
    scale, bias = encoder.logit_scale, encoder.logit_bias

    def logits(
        parameters: list[torch.nn.Parameter], images: torch.Tensor, positions: torch.Tensor | None
    ) -> torch.Tensor:
        return scale * images @ prompts.class_features(parameters[0]).T + bias

    task = EmbeddingTask(
        (context.embeddings.of(context.train.ids), context.train.label_indices),
        (context.embeddings.of(context.validation.ids), context.validation.label_indices),
        len(labels),
        [prompts.vectors],
        logits,
        encoder.device,
        balance=config.balance,
        seed=context.seed,
    )
    return task, prompts


def starting_vectors(config: CoopConfig, encoder: DualEncoder, classes: int) -> torch.Tensor:
    """float32 [m, k], or [c, m, k] for class-specific vectors."""
    import torch

    table = word_embeddings(encoder).weight.detach().float()
    if config.words is None:
        start = 0.02 * torch.randn(config.length, table.shape[1])
    else:
        numbers = encoder.tokenizer(config.words, add_special_tokens=False)["input_ids"]
        start = table[torch.as_tensor(numbers, device=table.device)].cpu()
    start = start.to(encoder.device)
    return start.repeat(classes, 1, 1) if config.context == "class_specific" else start


class LearnedPrompts:
    """Class features of prompts that begin with vectors.

    Args:
        encoder: its text encoder is used as it is.
        names: of the c classes, in words.
        start: the vectors at first, [m, k] or [c, m, k].

    Attributes:
        vectors: the parameter.

    Raises:
        ModelError: if the text encoder has no layer of word embeddings, or its tokenizer no place for the vectors.
    """

    def __init__(self, encoder: DualEncoder, names: list[str], start: torch.Tensor) -> None:
        import torch

        self.vectors = torch.nn.Parameter(start.clone())
        self._encoder, self._layer = encoder, word_embeddings(encoder)
        self._tokens, self._first = self._tokenize(names, start.shape[-2])

    def _tokenize(self, names: list[str], count: int) -> tuple[dict[str, torch.Tensor], int]:
        """Tokens with placeholders where the vectors go, and the place of the first."""
        encoder = self._encoder
        for word in _PLACEHOLDERS:
            texts = [f"{' '.join([word] * count)} {name}." for name in names]
            tokens = encoder.tokenize(texts)
            rows = tokens["input_ids"].tolist()
            first = next((place for place in range(3) if _reads(encoder, rows[0], place) == word), None)
            if first is None:
                continue
            places = range(first, first + count)
            if all(
                len(row) > first + count and all(_reads(encoder, row, one) == word for one in places) for row in rows
            ):
                self._refuse_what_is_too_long(texts, tokens["input_ids"].shape[1])
                return tokens, first
        raise ModelError(
            f"CoOp cannot put its vectors into the texts of {encoder.backbone!r}: its tokenizer has no word that is always "
            f"one token (tried: {', '.join(_PLACEHOLDERS)}), or {count} vectors are too many for its texts."
        )

    def _refuse_what_is_too_long(self, texts: list[str], available: int) -> None:
        longest = max(len(ids) for ids in self._encoder.tokenizer(texts)["input_ids"])
        if longest > available:
            raise ModelError(
                f"CoOp: {self.vectors.shape[-2]} vectors and the longest class name are {longest} tokens; the text encoder "
                f"of {self._encoder.backbone!r} takes {available}. Lower `length`."
            )

    def class_features(self, vectors: torch.Tensor | None = None) -> torch.Tensor:
        """[c, d], L2-normalised; carries gradients for the vectors: its own, or those given."""
        vectors = self.vectors if vectors is None else vectors
        places = slice(self._first, self._first + self.vectors.shape[-2])

        def put_in(module: torch.nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
            changed = output.clone()
            changed[:, places] = vectors.to(output.dtype)
            return changed

        hook = self._layer.register_forward_hook(put_in)
        try:
            return self._encoder.text_features(self._tokens)
        finally:
            hook.remove()


def _reads(encoder: DualEncoder, row: list[int], place: int) -> str:
    return encoder.tokenizer.decode([row[place]]).strip().lower() if place < len(row) else ""


def word_embeddings(encoder: DualEncoder) -> torch.nn.Embedding:
    """The text encoder's layer of word embeddings.

    Raises:
        ModelError: if it has none.
    """
    import torch

    tower = getattr(encoder.model, "text_model", None)
    if tower is not None:
        size = len(encoder.tokenizer)
        for module in tower.modules():
            if isinstance(module, torch.nn.Embedding) and module.num_embeddings >= size:
                return module
    raise ModelError(
        f"CoOp needs the text encoder's word embeddings; {encoder.backbone!r} ({encoder.model_type}) has none that could be "
        "found (looked for: an embedding layer as large as the tokenizer's vocabulary in `text_model`)."
    )


@contextmanager
def frozen(encoder: DualEncoder) -> Iterator[None]:
    """No gradients for the encoder's own weights, which saves computing them."""
    wanted = {parameter: parameter.requires_grad for parameter in encoder.model.parameters()}
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, before in wanted.items():
            parameter.requires_grad_(before)
