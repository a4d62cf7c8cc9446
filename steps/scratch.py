"""A folder that lasts as long as the step that works in it."""

import atexit
import shutil
import tempfile
from pathlib import Path

from zenml import get_step_context


def scratch_folder() -> Path:
    """A new folder, removed when the running step has stored its artifacts (outside a step: when Python ends)."""
    folder = Path(tempfile.mkdtemp(prefix="clip-har-"))

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        get_step_context()._cleanup_registry.register_callback(remove)
    except RuntimeError:
        atexit.register(remove)
    return folder
