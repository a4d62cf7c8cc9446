"""What the service saw and was told: predictions, feedback and, if switched on, images."""

from clip_har.capture.config import CaptureConfig
from clip_har.capture.errors import CaptureError
from clip_har.capture.prediction import CapturedPrediction
from clip_har.capture.statistics import image_statistics
from clip_har.capture.store import CaptureStore
from clip_har.capture.writer import CaptureWriter

__all__ = ["CaptureConfig", "CaptureError", "CaptureStore", "CaptureWriter", "CapturedPrediction", "image_statistics"]
