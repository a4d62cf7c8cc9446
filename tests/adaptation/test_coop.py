"""CoOp: vectors in the text encoder's place for words, gradients through it, and what is frozen at the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clip_har.adaptation.coop import Coop, CoopConfig, LearnedPrompts, frozen, starting_vectors, word_embeddings
from clip_har.adaptation.zero_shot import ZeroShot, ZeroShotConfig
from clip_har.errors import ModelError
from clip_har.models.dual_encoder import DualEncoder
from clip_har.training.scores import validation_scores
from tests.adaptation.clouds import accuracy, clouds
from tests.adaptation.tiny_study import ARCHITECTURES, LABELS, Study, tiny_study

WORDS = "a photo of a person"


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return tiny_study(tmp_path_factory.mktemp(request.param), request.param).load()


def start(encoder: DualEncoder, words: str = WORDS) -> torch.Tensor:
    return starting_vectors(CoopConfig(words=words), encoder, len(LABELS))


def test_vectors_that_are_words_say_these_words(encoder: DualEncoder) -> None:
    prompts = LearnedPrompts(encoder, list(LABELS), start(encoder))
    expected = encoder.encode_texts([f"{WORDS} {label}." for label in LABELS])
    np.testing.assert_allclose(prompts.class_features().detach().numpy(), expected, atol=1e-5)


def test_gradients_reach_every_vector_and_no_weight_of_the_encoder(encoder: DualEncoder) -> None:
    prompts = LearnedPrompts(encoder, list(LABELS), start(encoder))
    with frozen(encoder):
        (prompts.class_features() @ torch.randn(16 if encoder.model_type != "siglip" else 32)).sum().backward()
    assert (prompts.vectors.grad.norm(dim=1) > 0).all()
    assert all(parameter.grad is None for parameter in encoder.model.parameters())
    assert all(parameter.requires_grad for parameter in encoder.model.parameters())


def test_class_specific_vectors_move_their_own_class_only(encoder: DualEncoder) -> None:
    vectors = start(encoder).repeat(len(LABELS), 1, 1)
    vectors[2] += torch.randn(vectors[2].shape, generator=torch.Generator().manual_seed(0))
    changed = LearnedPrompts(encoder, list(LABELS), vectors).class_features()
    same = LearnedPrompts(encoder, list(LABELS), start(encoder)).class_features()
    moved = (changed - same).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == [False, False, True, False]


def test_the_encoder_is_left_as_it_was(encoder: DualEncoder) -> None:
    before = encoder.encode_texts(["a photo"])
    LearnedPrompts(encoder, list(LABELS), start(encoder)).class_features()
    np.testing.assert_array_equal(encoder.encode_texts(["a photo"]), before)


@pytest.mark.parametrize("context", ["unified", "class_specific"])
def test_it_beats_zero_shot(context: str, study: Study) -> None:
    given = clouds(study.load(), spread=1.2, shift=1.5)
    config = CoopConfig(context=context, training={"learning_rate": 2e-2, "max_steps": 100, "patience": None})
    adapted = Coop(config).fit(given, "coop")
    assert accuracy(given, adapted) > accuracy(given, ZeroShot(ZeroShotConfig()).fit(given, "zero_shot")) + 0.02
    vectors = len(study.load().tokenizer(WORDS, add_special_tokens=False)["input_ids"])
    assert adapted.trained_parameters == vectors * 32 * (1 if context == "unified" else len(LABELS))
    assert adapted.encoder is None
    assert adapted.open_vocabulary.word == "kept"


def test_the_class_matrix_is_of_the_best_state(study: Study) -> None:
    context = clouds(study.load(), spread=1.2, shift=1.5)
    config = CoopConfig(
        words=None, length=3, training={"learning_rate": 2e-2, "max_steps": 60, "select_by": "accuracy"}
    )
    adapted = Coop(config).fit(context, "coop")
    best = max(adapted.history, key=lambda row: (row["accuracy"], -row["log_loss"]))
    scores = validation_scores(adapted.validation_logits, context.validation.label_indices)
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-4)
    assert adapted.texts["running"] == ["<3 learned vectors> running."]
    np.testing.assert_allclose(np.linalg.norm(adapted.class_matrix, axis=1), 1, atol=1e-5)


def test_seeds_give_other_random_vectors(study: Study) -> None:
    config = CoopConfig(words=None, length=3, training={"max_steps": 2})
    first, again, other = (study.fit(config, seed).class_matrix for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


def test_too_many_vectors_are_refused(study: Study) -> None:
    with pytest.raises(ModelError, match=r"CoOp.*(too many|Lower `length`)"):
        study.fit(CoopConfig(words=None, length=30))


def test_a_text_tower_without_word_embeddings_says_so(study: Study) -> None:
    encoder = study.load()
    del encoder.model.text_model.embeddings.token_embedding
    with pytest.raises(ModelError, match=r"CoOp needs the text encoder's word embeddings"):
        word_embeddings(encoder)


def test_a_tokenizer_without_whole_words_says_so(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = study.load()
    monkeypatch.setattr("clip_har.adaptation.coop._reads", lambda encoder, row, place: "?")
    with pytest.raises(ModelError, match="its tokenizer has no word that is always one token"):
        LearnedPrompts(encoder, list(LABELS), start(encoder))
