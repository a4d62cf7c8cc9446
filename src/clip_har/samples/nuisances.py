"""The dials that take a scene away from the normal world."""

from __future__ import annotations

from pydantic import Field

from clip_har.component import ComponentConfig


def _dial(description: str) -> float:
    return Field(default=0.0, ge=0.0, le=1.0, description=description)


class Nuisances(ComponentConfig):
    """Strength of each disturbance: 0 is the normal world with its natural variation, larger is stronger, 1 is severe."""

    light: float = _dial(
        "Less light and a colour cast, warm or cold by scene: 1 leaves about a quarter of the brightness."
    )
    blur: float = _dial("Camera out of focus: 1 adds a Gaussian blur of 1.6 % of the picture's height.")
    tilt: float = _dial("Camera held askew: 1 rolls the picture by 32 degrees to either side.")
    crowd: float = _dial("More bystanders (up to eight) and things between the subject and the camera (up to three).")
    colour: float = _dial(
        "Colours fade towards grey and their palette shifts to a dull green: 1 keeps a tenth of the saturation."
    )
    noise: float = _dial("Sensor noise: 1 adds noise with a standard deviation of 16 % of full scale.")
    compression: float = _dial("JPEG compression: 1 brings the quality down to 6.")
