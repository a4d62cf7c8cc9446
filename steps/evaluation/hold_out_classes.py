"""Step: say which classes are held out to measure the open vocabulary, before anything is computed or fitted."""

from typing import Annotated

from zenml import step

from clip_har.adaptation.open_vocabulary import OpenVocabularyConfig, hold_out
from clip_har.data.manifest import Manifest


@step
def hold_out_classes(
    manifest: Manifest, open_vocabulary: OpenVocabularyConfig, seed: int
) -> Annotated[list[str], "novel_classes"]:
    """The novel classes; a name that the data do not have, or too many names, is an error here."""
    return list(hold_out(manifest, open_vocabulary, seed))
