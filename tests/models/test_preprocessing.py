"""Preprocessing equals the Hugging Face image processor of the same config, and reads its config."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from transformers import CLIPImageProcessorPil, MobileNetV2ImageProcessorPil, SiglipImageProcessorPil

from clip_har.data.image import ImageLimits
from clip_har.errors import ImageError, ModelError
from clip_har.models.backbone import ModelConfig
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor

PROCESSORS = {
    "CLIP": CLIPImageProcessorPil(),
    "MobileNet": MobileNetV2ImageProcessorPil(),
    "SigLIP": SiglipImageProcessorPil(size={"height": 96, "width": 128}),
    "crop larger than the picture": CLIPImageProcessorPil(size={"shortest_edge": 101}, crop_size=150),
    "no scaling, no normalising": CLIPImageProcessorPil(do_rescale=False, do_normalize=False),
    "no resizing": CLIPImageProcessorPil(do_resize=False, crop_size={"height": 61, "width": 90}),
}
MODES = ("RGB", "L", "P", "RGBA", "LA", "CMYK", "1", "YCbCr", "HSV", "LAB", "I;16", "PA")
TWO_LEVELS = 2 / 255


def drawn(number: int) -> Image.Image:
    """A picture of any mode and shape: gradients, edges and noise together, so that every rounding is met."""
    generator = np.random.default_rng(number)
    short, ratio = int(np.exp(generator.uniform(np.log(9), np.log(300)))), np.exp(generator.uniform(0, np.log(4)))
    size = (short, min(450, int(short * ratio)))
    width, height = size if number % 2 else size[::-1]
    coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC if number % 3 else Image.Resampling.NEAREST)
    noise = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    image = Image.blend(image, noise, float(generator.choice([0.0, 0.2, 1.0])))
    mode = MODES[number % len(MODES)]
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257)
    if mode == "PA":
        return image.convert("LA").convert("PA")
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    return image.convert(mode)


def difference(processor, images) -> float:
    """The largest difference over images, in pixel values from 0 to 1."""
    preprocessor = Preprocessor(PreprocessingConfig.from_huggingface(processor.to_dict()))
    spread = np.asarray(preprocessor.config.std)[:, None, None] * (1 if processor.do_rescale else 1 / 255)
    largest = 0.0
    for image in images:
        expected = processor(image.convert("RGB"), return_tensors="np")["pixel_values"][0]
        found = preprocessor(image)
        assert found.dtype == np.float32
        assert found.shape == expected.shape == (3, *preprocessor.config.output_size)
        largest = max(largest, float(np.abs((found - expected) * spread).max()))
    return largest


@pytest.mark.parametrize("name", ["CLIP", "MobileNet"])
def test_it_equals_the_hugging_face_processor_on_pictures_of_every_mode_and_shape(name):
    assert difference(PROCESSORS[name], (drawn(number) for number in range(500))) <= TWO_LEVELS


@pytest.mark.parametrize("name", sorted(set(PROCESSORS) - {"CLIP", "MobileNet"}))
def test_it_equals_the_hugging_face_processor_of_other_configs(name):
    assert difference(PROCESSORS[name], (drawn(number) for number in range(60))) <= TWO_LEVELS


@pytest.mark.parametrize("name", ["CLIP", "MobileNet"])
def test_what_probabilities_see_is_exact(name):
    """Within two levels a probability could still move by 0.01; the same pixels give the same scores.

    In these sizes many values lie half-way between two integers, and Pillow may order its two passes either way.
    """
    sizes = [
        (183, 275),
        (240, 160),
        (275, 183),
        (300, 168),
        (259, 194),
        (225, 225),
        (512, 384),
        (100, 1000),
        (4000, 40),
    ]
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)) for size in sizes]
    assert difference(PROCESSORS[name], images) < 1e-6


@pytest.mark.parametrize("size", [(1, 400_000), (400_000, 1)])
def test_a_strip_of_one_pixel_does_not_fill_the_memory(size, monkeypatch):
    resize, sizes = Image.Image.resize, []

    def watched(image, size, *arguments):
        sizes.append(size)
        return resize(image, size, *arguments)

    monkeypatch.setattr(Image.Image, "resize", watched)
    preprocessor = Preprocessor(PreprocessingConfig.from_huggingface(PROCESSORS["CLIP"].to_dict()))
    assert preprocessor(Image.new("RGB", size, "white")).shape == (3, 224, 224)
    assert max(max(size) for size in sizes) <= 224 * 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CLIP", "MobileNet"])
def test_it_equals_the_hugging_face_processor_on_photographs(har_folder, name):
    paths = sorted((har_folder / "train").iterdir())[::9]
    assert len(paths) == 500
    assert difference(PROCESSORS[name], map(Image.open, paths)) < 1e-6


def test_a_picture_of_one_colour_gives_its_number():
    preprocessor = Preprocessor(PreprocessingConfig.from_huggingface(PROCESSORS["CLIP"].to_dict()))
    pixels = preprocessor(Image.new("RGB", (300, 200), (255, 0, 51)))
    mean, std = PROCESSORS["CLIP"].image_mean, PROCESSORS["CLIP"].image_std
    for channel, value in enumerate((1.0, 0.0, 0.2)):
        assert pixels[channel] == pytest.approx((value - mean[channel]) / std[channel], abs=1e-6)


def test_batches():
    preprocessor = Preprocessor(PreprocessingConfig.from_huggingface(PROCESSORS["SigLIP"].to_dict()))
    images = [drawn(number) for number in range(3)]
    batch = preprocessor.batch(iter(images))
    assert batch.shape == (3, 3, 96, 128)
    assert all(np.array_equal(row, preprocessor(image)) for row, image in zip(batch, images, strict=True))
    assert preprocessor.batch([]).shape == (0, 3, 96, 128)


def settings(**changes) -> dict:
    return {
        "size": {"shortest_edge": 8},
        "do_center_crop": True,
        "crop_size": 8,
        "image_mean": [0] * 3,
        "image_std": [1] * 3,
    } | changes


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (settings(), {"resize_shortest_edge": 8, "resize_to": None, "crop": (8, 8), "resample": 3, "scale": 1 / 255}),
        (settings(size=9), {"resize_shortest_edge": 9, "resize_to": None}),
        (settings(size=9, default_to_square=True), {"resize_shortest_edge": None, "resize_to": (9, 9)}),
        (settings(size={"height": 9, "width": 7}, do_center_crop=False), {"resize_to": (9, 7), "crop": None}),
        (settings(crop_size={"height": 9, "width": 7}), {"crop": (9, 7)}),
        (settings(do_resize=False), {"resize_shortest_edge": None, "resize_to": None, "crop": (8, 8)}),
        (settings(resample=2, rescale_factor=0.5), {"resample": 2, "scale": 0.5}),
        (settings(do_normalize=False, image_mean=[1] * 3), {"mean": (0, 0, 0), "std": (1, 1, 1)}),
        (settings(do_rescale=False), {"scale": 1.0}),
    ],
)
def test_a_processors_config_is_read(processor, expected):
    config = PreprocessingConfig.from_huggingface(processor)
    assert {key: getattr(config, key) for key in expected} == expected
    assert config.output_size == (config.crop or config.resize_to)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (settings(do_pad=True), "do_pad is not supported"),
        (settings(size={"longest_edge": 9}), "size .*longest_edge.* is not supported; wanted: shortest_edge"),
        (settings(size={"shortest_edge": 8, "longest_edge": 9}), "is not supported"),
        (settings(size=None), "size None is not supported"),
        (settings(do_center_crop=False), "do not fit into one batch"),
    ],
)
def test_a_config_that_we_do_not_do_is_refused(processor, message):
    with pytest.raises(ModelError, match=message):
        PreprocessingConfig.from_huggingface(processor)


def test_a_picture_in_any_form_is_the_same(tmp_path):
    preprocessor = Preprocessor(PreprocessingConfig.from_huggingface(settings()))
    array = np.asarray(drawn(0).convert("RGB"))
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    for source in (path, str(path), path.read_bytes(), Image.fromarray(array), array):
        assert np.array_equal(np.asarray(preprocessor.decode(source)), array)
    assert np.asarray(preprocessor.decode(array[:, :, 0])).shape == array.shape
    for wrong in (array.astype(np.float32), array[None], array[:, :, :2], array[0, 0]):
        with pytest.raises(ModelError, match=r"uint8 \[h, w, 3\] or \[h, w\]; got"):
            preprocessor.decode(wrong)
    with pytest.raises(ImageError) as refused:
        preprocessor.decode(path, ImageLimits(max_pixels=10))
    assert refused.value.reason == "too_many_pixels"


def test_large_jpegs_are_reduced_only_if_asked():
    buffer = io.BytesIO()
    drawn(1).convert("RGB").resize((1501, 1201)).save(buffer, "JPEG")
    processor = PROCESSORS["CLIP"].to_dict()
    for asked, size in ((False, (1501, 1201)), (True, (751, 601))):
        config = PreprocessingConfig.from_huggingface(processor, decoder_reduction=asked)
        assert config.reduce_above == (560 if asked else None)
        assert Preprocessor(config).decode(buffer.getvalue()).size == size


def ramp(width: int, height: int, orientation: int = 1) -> bytes:
    """A JPEG that is red as far right, and green as far down, as a pixel lies, before it is turned."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.linspace(20, 235, width)
    pixels[:, :, 1] = np.linspace(20, 235, height)[:, None]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "orientation"),
    [
        *(((2241, 2249), orientation) for orientation in range(1, 9)),
        *((size, orientation) for size in ((1201, 1121), (2755, 4501), (4501, 2755)) for orientation in (1, 6)),
    ],
)
def test_reduction_moves_nothing(size, orientation):
    """A reduced side is rounded up: taking it at its word would stretch the picture by part of a pixel."""
    exact, reduced = (
        Preprocessor(PreprocessingConfig.from_huggingface(PROCESSORS["CLIP"].to_dict(), decoder_reduction=asked))
        for asked in (False, True)
    )
    data = ramp(*size, orientation)
    full, small = exact.decode(data), reduced.decode(data)
    assert 560 <= min(small.size) < min(full.size) == min(size)
    moved = (reduced.resize_and_crop(small).astype(float) - exact.resize_and_crop(full)).mean(axis=(0, 1))
    assert np.abs(moved).max() < 0.1  # of a level, of which a pixel's width is about one
    part = small.crop((0, 0, 300, 300))  # what is cut from a reduced picture is a picture of its own
    assert np.array_equal(reduced.resize_and_crop(part), exact.resize_and_crop(Image.fromarray(np.asarray(part))))


@pytest.mark.slow
def test_reduction_keeps_embeddings_on_photographs(har_folder, har_dual_encoder):
    """Photographs enlarged to a camera's size and saved as JPEG: cosine at least 0.999 to the exact embeddings."""
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    config = encoder.preprocessing
    processor = json.loads(Path(har_dual_encoder, "preprocessor_config.json").read_text())
    assert PreprocessingConfig.from_huggingface(processor) == config
    exact, reduced = Preprocessor(config), Preprocessor(config.model_copy(update={"decoder_reduction": True}))
    pixels = {"exact": [], "reduced": []}
    for number, path in enumerate(sorted((har_folder / "train").iterdir())[::190]):
        buffer = io.BytesIO()
        with Image.open(path) as image:
            factor = (1300, 1500, 2600)[number % 3] / min(image.size)
            image.convert("RGB").resize([round(side * factor) for side in image.size], 3).save(
                buffer, "JPEG", quality=90
            )
        full, small = exact.decode(buffer.getvalue()), reduced.decode(buffer.getvalue())
        assert 640 <= min(small.size) <= min(full.size) / 2 + 1
        pixels["exact"].append(exact(full))
        pixels["reduced"].append(reduced(small))
    embeddings = {name: encoder.encode_images(np.stack(batch)) for name, batch in pixels.items()}
    cosine = (embeddings["exact"] * embeddings["reduced"]).sum(axis=1)
    assert len(cosine) >= 20
    assert cosine.min() >= 0.999
