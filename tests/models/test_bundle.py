"""The model bundle: whole or not at all, sure of its files, and readable by plain transformers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from clip_har.errors import BundleError
from clip_har.hashing import sha256_file, sha256_json
from clip_har.models import bundle as module
from clip_har.models.backbone import ModelConfig
from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
from clip_har.models.calibration import Calibration
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.head import LinearHead, TextHead
from clip_har.models.preprocessing import Preprocessor
from tests.models.conftest import KINDS, LABELS


def info(**changes) -> BundleInfo:
    facts = {
        "labels": LABELS,
        "head": "text",
        "method": "zero_shot",
        "recipe": {"method": "zero_shot", "prompts": "single"},
        "backbone": "tiny",
        "backbone_hash": "b+t",
        "encoder_hash": "e",
        "data_hash": "d",
        "data_revision": "r",
        "config_hash": "c",
        "open_vocabulary": OpenVocabulary(word="kept", basis="nothing was adapted"),
        "metrics": {"accuracy": 0.5},
    }
    return BundleInfo(**(facts | changes))


def create(target: Path, encoder: DualEncoder, **changes) -> ModelBundle:
    parts = {
        "save_encoder": encoder.save,
        "info": info(),
        "head": TextHead(encoder.logit_scale, encoder.logit_bias),
        "class_matrix": encoder.encode_texts(LABELS),
        "prompts": {
            "single": "{}",
            "templates": ["{}"],
            "class_names": {},
            "texts": {label: [label] for label in LABELS},
        },
        "calibration": Calibration(temperature=1.5, split="calibration", samples=3, data_hash="d"),
    }
    return ModelBundle.create(target, **(parts | changes))


@pytest.fixture(scope="module")
def made(encoders, tmp_path_factory) -> ModelBundle:
    """A bundle that no test changes."""
    return create(tmp_path_factory.mktemp("made") / "bundle", encoders["clip"])


@pytest.fixture
def bundle(made, tmp_path) -> ModelBundle:
    """A copy of it that a test may spoil."""
    shutil.copytree(made.path, tmp_path / "bundle")
    return ModelBundle.load(tmp_path / "bundle")


def files_of(bundle: ModelBundle) -> dict[str, str]:
    paths = (path for path in bundle.path.rglob("*") if path.is_file())
    return {path.relative_to(bundle.path).as_posix(): sha256_file(path) for path in paths}


def test_it_comes_back_as_it_was_made(made, encoders):
    read = ModelBundle.load(made.path)
    assert read.info == info()
    assert read.labels == LABELS
    assert read.head == TextHead(pytest.approx(encoders["clip"].logit_scale), 0.0)
    assert np.array_equal(read.class_matrix, encoders["clip"].encode_texts(LABELS))
    assert read.class_matrix.dtype == np.float32
    assert read.prompts["texts"]["running"] == ["running"]
    assert (read.calibration.temperature, read.calibration.split) == (1.5, "calibration")


def test_a_head_with_weights_comes_back(tmp_path, encoders):
    head = LinearHead(np.random.default_rng(0).normal(size=(3, 16)), np.arange(3.0))
    read = create(tmp_path / "bundle", encoders["clip"], head=head, info=info(head="linear"))
    assert np.array_equal(read.head.weight, head.weight.astype(np.float32))
    assert np.array_equal(read.head.bias, np.float32([0, 1, 2]))


@pytest.mark.parametrize("kind", KINDS)
def test_its_encoder_is_the_one_that_was_saved(kind, tmp_path, encoders, photos):
    encoder = encoders[kind]
    read = create(tmp_path / "bundle", encoder, info=info(decoder_reduction=True)).load_encoder()
    preprocessor = Preprocessor(encoder.preprocessing)
    pixels = preprocessor.batch(preprocessor.decode(path) for path in photos)
    assert np.array_equal(read.encode_images(pixels), encoder.encode_images(pixels))
    assert np.array_equal(read.encode_texts(LABELS), encoder.encode_texts(LABELS))
    assert read.preprocessing == encoder.preprocessing.model_copy(update={"decoder_reduction": True})


PLAIN = textwrap.dedent(
    """
    import json, sys
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    photo, labels, folders = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
    found = []
    for folder in folders:
        model = AutoModel.from_pretrained(folder).eval()
        tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
        long = {"padding": "max_length", "max_length": 64} if model.config.model_type == "siglip" else {"padding": True}
        with torch.inference_mode():
            image = model.get_image_features(**processor(Image.open(photo), return_tensors="pt")).pooler_output
            text = model.get_text_features(**tokenizer(labels, return_tensors="pt", **long)).pooler_output
        found.append([(rows / rows.norm(dim=-1, keepdim=True)).tolist() for rows in (image, text)])
    assert not any(name.partition(".")[0] == "clip_har" for name in sys.modules)
    print(json.dumps(found))
    """
)


def assert_plain_transformers_loads(tmp_path: Path, encoders: list[DualEncoder], photo: Path) -> None:
    """In a process of its own, in which our code cannot be imported."""
    folders = [str(create(tmp_path / f"bundle_{n}", encoder).path) for n, encoder in enumerate(encoders)]
    blocked = tmp_path / "blocked" / "clip_har"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('our code was imported')")
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(photo), ",".join(LABELS), *folders],
        env=os.environ | {"PYTHONPATH": str(blocked.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for encoder, found in zip(encoders, json.loads(done.stdout), strict=True):
        image, texts = (np.array(rows) for rows in found)
        preprocessor = Preprocessor(encoder.preprocessing)
        own = encoder.encode_images(preprocessor.batch([preprocessor.decode(photo)]))
        assert image == pytest.approx(own, abs=1e-4)
        assert texts == pytest.approx(encoder.encode_texts(LABELS), abs=1e-4)


@pytest.mark.slow
def test_plain_transformers_loads_it_from_its_root(tmp_path, encoders, photos):
    assert_plain_transformers_loads(tmp_path, list(encoders.values()), photos[0])


@pytest.mark.slow
def test_plain_transformers_loads_the_real_one_from_its_root(tmp_path, har_dual_encoder, photos):
    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    assert_plain_transformers_loads(tmp_path, [encoder], photos[0])


# What a file may be


@pytest.mark.parametrize("kind", [*KINDS, pytest.param("real", marks=pytest.mark.slow)])
def test_there_is_no_pickle_and_no_trace_of_a_machine_in_it(kind, tmp_path, request):
    encoder = (
        DualEncoder.load(ModelConfig(backbone=str(request.getfixturevalue("har_dual_encoder"))))
        if kind == "real"
        else request.getfixturevalue("encoders")[kind]
    )
    made = create(tmp_path / "bundle", encoder)
    names = files_of(made)
    assert {Path(name).suffix for name in names} <= {".json", ".safetensors", ".txt", ".model", ".jinja"}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"} <= set(names)

    def texts_in(value) -> list[str]:
        if isinstance(value, dict):
            return [text for key, item in value.items() for text in (str(key), *texts_in(item))]
        if isinstance(value, list):
            return [text for item in value for text in texts_in(item)]
        return [value] if isinstance(value, str) else []

    for name in names:
        data = (made.path / name).read_bytes()
        assert not data.startswith((b"\x80", b"PK")), f"{name} is a pickle or an archive"
        if name.endswith(".json") and name != "tokenizer.json":  # whose words may well begin with a slash
            content = json.loads(data)
            paths = [text for text in texts_in(content) if re.match(r"(/|~|[A-Za-z]:\\|\\\\|file:)", text)]
            assert not paths, name
            assert not {"_name_or_path", "name_or_path", "local_files_only"} & set(texts_in(content)), name
        assert str(tmp_path).encode() not in data
        assert encoder.backbone.encode() not in data


def test_the_same_model_is_the_same_bundle(made, encoders, backbones, tmp_path):
    """From another folder and another load: the id says what the model is, not where it was made."""
    shutil.copytree(backbones["clip"], tmp_path / "elsewhere" / "clip")
    again = create(tmp_path / "bundle", DualEncoder.load(ModelConfig(backbone=str(tmp_path / "elsewhere" / "clip"))))
    assert files_of(again) == files_of(made)
    assert again.model_id == made.model_id


def test_the_model_id_is_the_hash_of_the_core(made, tmp_path, encoders):
    core = {name: digest for name, digest in files_of(made).items() if name != "clip_har/checksums.json"}
    assert json.loads((made.path / "clip_har" / "checksums.json").read_text()) == core
    assert made.model_id == sha256_json(core)
    others = [
        create(tmp_path / "a", encoders["clip"], info=info(metrics={"accuracy": 0.6})),
        create(tmp_path / "b", encoders["clip"], head=TextHead(9.0)),
        create(tmp_path / "c", encoders["siglip"]),
    ]
    assert len({made.model_id, *(other.model_id for other in others)}) == 4


# What loading refuses

CORE = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
OURS = [f"clip_har/{name}" for name in ("bundle.json", "head.safetensors", "prompts.json", "calibration.json")]


@pytest.mark.parametrize("name", [*CORE, *OURS])
def test_a_changed_file_is_found(bundle, name):
    data = bytearray((bundle.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle.path / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"bundle is damaged: {re.escape(name)} differ"):
        ModelBundle.load(bundle.path)


@pytest.mark.parametrize("name", [*CORE, *OURS])
def test_a_missing_file_is_found(bundle, name):
    (bundle.path / name).unlink()
    with pytest.raises(BundleError, match=rf"bundle is incomplete: {re.escape(name)} missing"):
        ModelBundle.load(bundle.path)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model-00001.safetensors", "clip_har/extra.json", "code/modeling.py"]
)
def test_a_file_that_does_not_belong_is_found(bundle, name):
    """Code or weights put beside ours would be what transformers loads."""
    (bundle.path / name).parent.mkdir(exist_ok=True)
    (bundle.path / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=rf"do not belong to its core: {re.escape(name)}"):
        ModelBundle.load(bundle.path)


@pytest.mark.parametrize("name", ["README.md", ".gitattributes", ".cache/huggingface/x.json", "attachments/notes.txt"])
def test_what_hosts_of_folders_put_beside_it_is_let_be(bundle, name):
    (bundle.path / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle.path / name).write_text("x")
    assert ModelBundle.load(bundle.path).model_id == bundle.model_id


def resealed(folder: Path) -> Path:
    """Checksums that fit again: what a newer version, or a careless hand, could have written."""
    (folder / "clip_har" / "checksums.json").write_text(json.dumps(module._core_checksums(folder)))
    return folder


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bundle.json", {"format_version": 2}, r"a bundle of format 2; this version of clip_har reads format 1"),
        ("bundle.json", {"labels": 3}, r"is a damaged bundle: .*labels"),
        ("bundle.json", {"surplus": 3}, r"is a damaged bundle: .*surplus"),
        ("bundle.json", {"head": "cach"}, r"class head of type 'cach'"),
        ("bundle.json", {"head": "linear"}, r"linear head lacks the array"),
        ("calibration.json", {"temperature": -1}, r"is a damaged bundle: .*temperature"),
    ],
)
def test_content_that_does_not_fit_is_refused(bundle, name, change, message):
    path = bundle.path / "clip_har" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError, match=rf"(?s){message}"):
        ModelBundle.load(resealed(bundle.path))


@pytest.mark.parametrize(
    "name", ["bundle.json", "head.safetensors", "prompts.json", "calibration.json", "checksums.json"]
)
def test_a_file_of_ours_that_cannot_be_read_is_told(bundle, name):
    (bundle.path / "clip_har" / name).write_bytes(b"\xff{")
    if name != "checksums.json":
        resealed(bundle.path)
    with pytest.raises(BundleError, match="bundle"):
        ModelBundle.load(bundle.path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path, backbones):
    for folder in (tmp_path, tmp_path / "absent", backbones["clip"]):
        with pytest.raises(BundleError, match=r"is not a model bundle: there is no clip_har/checksums\.json"):
            ModelBundle.load(folder)


# Writing


@pytest.mark.parametrize("moment", ["encoder", "head", "checksums"])
def test_an_interrupted_writing_leaves_nothing(tmp_path, encoders, monkeypatch, moment):
    def interrupted(*_):
        raise KeyboardInterrupt

    def half_an_encoder(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    changes = {"save_encoder": half_an_encoder} if moment == "encoder" else {}
    if moment != "encoder":
        monkeypatch.setattr(module, {"head": "write_atomic", "checksums": "_core_checksums"}[moment], interrupted)
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "bundle", encoders["clip"], **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_never_overwritten(bundle, encoders):
    before = files_of(bundle)
    with pytest.raises(FileExistsError, match="bundle exists already"):
        create(bundle.path, encoders["siglip"])
    assert files_of(bundle) == before


# Attachments


def test_attachments_do_not_change_the_model(bundle):
    before, identity = files_of(bundle), bundle.model_id
    folder = bundle.attach("exports/onnx", lambda folder: (folder / "model.onnx").write_bytes(b"1"))
    bundle.attach("reports", lambda folder: (folder / "report.html").write_text("report"))
    assert (folder / "model.onnx").read_bytes() == b"1"
    again = ModelBundle.load(bundle.path)
    assert again.model_id == identity
    assert again.attachment("exports/onnx") == folder
    after = files_of(again)
    assert before.items() <= after.items()
    assert all(name.startswith("attachments/") for name in set(after) - set(before))
    assert json.loads((folder / "attachment.json").read_text()) == {"kind": "exports/onnx", "model_id": identity}


def test_an_attachment_is_replaced_whole(bundle):
    bundle.attach("reports", lambda folder: (folder / "old.html").write_text("old"))

    def interrupted(folder: Path) -> None:
        (folder / "half.html").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle.attach("reports", interrupted)
    assert sorted(path.name for path in bundle.attachment("reports").iterdir()) == ["attachment.json", "old.html"]
    bundle.attach("reports", lambda folder: (folder / "new.html").write_text("new"))
    assert sorted(path.name for path in bundle.attachment("reports").iterdir()) == ["attachment.json", "new.html"]
    assert [path.name for path in (bundle.path / "attachments").iterdir()] == ["reports"]


def test_an_attachment_of_another_model_is_refused(bundle, encoders, tmp_path):
    bundle.attach("exports/onnx", lambda folder: (folder / "model.onnx").write_bytes(b"1"))
    other = create(tmp_path / "other", encoders["siglip"])
    shutil.copytree(bundle.path / "attachments", other.path / "attachments")
    with pytest.raises(BundleError, match=rf"'exports/onnx' .*another model \({bundle.model_id}\)"):
        other.attachment("exports/onnx")
    with pytest.raises(BundleError, match="has no attachment 'reports'"):
        other.attachment("reports")


def test_a_copied_bundle_is_the_same_model(bundle, tmp_path):
    bundle.attach("reports", lambda folder: (folder / "a.html").write_text("a"))
    copy = ModelBundle.load(shutil.copytree(bundle.path, tmp_path / "copy"))
    assert copy.model_id == bundle.model_id
    assert copy.attachment("reports").is_dir()
