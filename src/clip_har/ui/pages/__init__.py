"""The pages, in the order of the navigation. Each is a module with a function `page`, imported when it is shown."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A page in the navigation.

    Attributes:
        path: its place in the address, and its module in this package.
        title: what it is called.
        icon: its icon, of those that come with Streamlit.
    """

    path: str
    title: str
    icon: str

    @property
    def run(self) -> Callable[[], None]:
        """What shows it."""

        def page() -> None:
            importlib.import_module(f"{__name__}.{self.path}").page()

        page.__name__ = self.path
        return page


PAGES = tuple(
    entry
    for entry in (
        Entry("recognise", "Recognise", ":material/image_search:"),
        Entry("any_action", "Any action", ":material/edit_note:"),
        Entry("live", "Live", ":material/videocam:"),
        Entry("video", "Video", ":material/movie:"),
        Entry("batch", "Batch", ":material/photo_library:"),
        Entry("model", "Model", ":material/monitoring:"),
        Entry("drift", "Drift", ":material/trending_up:"),
        Entry("data", "Data", ":material/dataset:"),
        Entry("label", "Label", ":material/label:"),
    )
    if importlib.util.find_spec(f"{__name__}.{entry.path}")
)
