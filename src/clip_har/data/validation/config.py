"""The checks: each a key of `validation` with a severity and its threshold. A check's key is the reason that it gives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.image import REASONS as IMAGE_REASONS
from clip_har.data.image import ImageLimits

REASONS = IMAGE_REASONS | {
    "unusable_name": "the file's name is not text (UTF-8), so that no table can hold it",
    "outside_data_folder": "the listed path leaves the data folder",
    "missing_label": "no label",
    "unknown_label": "the label is not one of the classes",
    "discarded": "a person has decided to leave it out",
    "wrong_type": "the file is of another type than its name says",
    "animated": "the file holds several pictures: an animation, or pages",
    "too_small": "a side is shorter than the smallest allowed",
    "extreme_aspect_ratio": "one side is many times the other",
    "nearly_constant": "the picture is nearly of one colour",
    "too_dark": "hardly anything can be seen",
    "blurred": "edges are washed out",
    "exact_duplicate": "the same bytes as another accepted file",
    "label_conflict": "the same bytes are listed with different labels",
    "also_in_test_folder": "the same bytes lie in the folder of test pictures too",
    "near_duplicates": "nearly the same picture as another accepted one",
    "near_duplicate_label_conflict": "nearly the same picture has another label",
    "between_splits": "nearly the same as pictures that lie in different splits of an earlier version",
    "class_size": "the class has too few photographs to be split",
    "imbalance": "another class has many times as many photographs",
}

Severity = Literal["reject", "warn", "off"]


class Check(ComponentConfig):
    """What becomes of a sample that fails: rejected, accepted with a warning in the report, or not looked at."""

    severity: Severity = Field("reject", description="`reject`, `warn` (accepted, and in the report) or `off`.")


class FirmCheck(ComponentConfig):
    """A check without which there would be no usable sample: its severity cannot be another."""

    severity: Literal["reject"] = Field("reject", description="Always `reject`: there is nothing that could be used.")


class SizeCheck(Check):
    """Shortest side."""

    min_side: int = Field(32, ge=1, description="Shortest side, in pixels, from which a picture is large enough.")


class AspectRatioCheck(Check):
    """Long and narrow pictures, of which a square crop shows next to nothing."""

    max_ratio: float = Field(5.0, ge=1, description="Longer side over shorter side, at most.")


class ContrastCheck(Check):
    """Pictures with nothing in them."""

    min_contrast: float = Field(
        0.02, ge=0, le=1, description="Standard deviation (0 to 1) of the colour channel that varies most, at least."
    )


class BrightnessCheck(Check):
    """Pictures in which nothing is lit."""

    severity: Severity = Field("warn", description="`reject`, `warn` (accepted, and in the report) or `off`.")
    min_brightness: float = Field(
        0.25, ge=0, le=1, description="Brightness (0 to 1) that one pixel in a hundred reaches, at least."
    )


class SharpnessCheck(Check):
    """Pictures without edges."""

    severity: Severity = Field("warn", description="`reject`, `warn` (accepted, and in the report) or `off`.")
    min_sharpness: float = Field(
        0.12,
        ge=0,
        description="Standard deviation of the Laplacian over that of the picture, at most 320 pixels a side, at least.",
    )


class ClassSizeCheck(Check):
    """Photographs of a class. `reject` refuses the data set."""

    severity: Severity = Field("warn", description="`reject` (the data set is refused), `warn` or `off`.")
    minimum: int = Field(
        20, ge=1, description="Photographs that a class needs: with fewer, a split of a tenth may well get none."
    )


class ImbalanceCheck(Check):
    """Largest class against each other one. `reject` refuses the data set."""

    severity: Severity = Field("warn", description="`reject` (the data set is refused), `warn` or `off`.")
    max_ratio: float = Field(10.0, ge=1, description="Photographs of the largest class over those of another, at most.")


class NearDuplicateCheck(Check):
    """The same picture saved again, resized, recompressed or slightly cropped. Kept, in one split."""

    severity: Severity = Field(
        "warn", description="`warn` (grouped, so that a split holds all of them), `reject` (one is kept) or `off`."
    )
    distance: int = Field(
        10, ge=0, le=32, description="Bits of the 64-bit perceptual hash in which near-duplicates may differ."
    )
    similarity: float = Field(
        0.9, gt=0, le=1, description="Correlation of the small pictures from which a candidate pair is one."
    )
    two_labels: Severity = Field("warn", description="What becomes of both if they have different labels.")


_FIRM, _REJECT = FirmCheck(), Check()


class ValidationConfig(ComponentConfig):
    """What a sample must be to be accepted. The order is that of the checks; the first that rejects gives the reason."""

    limits: ImageLimits = Field(ImageLimits(), description="Limits of decoding: thresholds of the checks of files.")
    outside_data_folder: Check = Field(
        _REJECT, description="A link that leaves the data folder ('..' and absolute paths are always rejected)."
    )
    unusable_name: FirmCheck = Field(_FIRM, description="A name that is not text.")
    missing_file: FirmCheck = Field(_FIRM, description="A listed file that is not there.")
    empty_file: FirmCheck = Field(_FIRM, description="No bytes.")
    too_many_bytes: FirmCheck = Field(_FIRM, description="More than `limits.max_bytes`.")
    missing_label: FirmCheck = Field(_FIRM, description="No label.")
    unknown_label: FirmCheck = Field(_FIRM, description="A label that is not one of the classes.")
    not_an_image: FirmCheck = Field(_FIRM, description="No image of `limits.formats`.")
    too_many_pixels: FirmCheck = Field(_FIRM, description="A header that announces more than `limits.max_pixels`.")
    truncated: FirmCheck = Field(_FIRM, description="Cut off, or damaged.")
    wrong_type: Check = Field(_REJECT, description="Of another type than its name says (a PNG named .jpg).")
    animated: Check = Field(_REJECT, description="Several pictures in one file, of which the first would be taken.")
    too_small: SizeCheck = Field(SizeCheck(), description="Too few pixels.")
    extreme_aspect_ratio: AspectRatioCheck = Field(AspectRatioCheck(), description="Too long and narrow.")
    nearly_constant: ContrastCheck = Field(ContrastCheck(), description="Nearly of one colour.")
    too_dark: BrightnessCheck = Field(BrightnessCheck(), description="Too dark.")
    blurred: SharpnessCheck = Field(SharpnessCheck(), description="Too blurred.")
    label_conflict: FirmCheck = Field(_FIRM, description="The same bytes with two labels: all of them are rejected.")
    exact_duplicate: FirmCheck = Field(_FIRM, description="The same bytes again: the first is kept.")
    also_in_test_folder: Check = Field(
        Check(severity="warn"), description="The same bytes among the pictures that the source keeps for tests."
    )
    class_size: ClassSizeCheck = Field(ClassSizeCheck(), description="Classes too small for splits.")
    imbalance: ImbalanceCheck = Field(ImbalanceCheck(), description="Classes of very different sizes.")
    near_duplicates: NearDuplicateCheck = Field(NearDuplicateCheck(), description="Nearly the same picture.")

    def severity(self, reason: str) -> Severity:
        """What becomes of a sample with this reason."""
        return getattr(self, reason).severity
