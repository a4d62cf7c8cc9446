"""What is said of failures that do not come as an answer of the Hub, and what is left as it is."""

from __future__ import annotations

import errno

import pytest

from clip_har.errors import DataError
from clip_har.registry.hub.failures import HubError, in_words


def said(error: BaseException) -> str:
    with pytest.raises(HubError) as caught, in_words("the repository a/b", "fetching from", "Run the same again."):
        raise error
    return str(caught.value)


def test_a_full_disk_is_said_with_its_folder() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/somewhere/model.safetensors")
    assert said(full) == (
        "There is no space left while fetching from the repository a/b, in /somewhere. Make room; run the same again."
    )


def test_what_breaks_within_hf_xet_is_a_broken_connection() -> None:
    space = {"__name__": "huggingface_hub._upload_pipeline"}
    exec("def wait():\n    raise RuntimeError('Data processing error: connection reset')", space)
    wanted = r"broke while fetching from the repository a/b \(RuntimeError: Data.*\)\. Run"
    with pytest.raises(HubError, match=wanted), in_words("the repository a/b", "fetching from", "Run the same again."):
        space["wait"]()


def test_the_cause_below_a_wrapper_is_what_is_said() -> None:
    from huggingface_hub.errors import OfflineModeIsEnabled

    wrapped = RuntimeError("Error while uploading 'x' to the Hub.")
    wrapped.__cause__ = OfflineModeIsEnabled("offline")
    assert "offline mode is set" in said(wrapped)


@pytest.mark.parametrize("error", [RuntimeError("ours"), ValueError("ours"), KeyError("ours"), DataError("ours")])
def test_our_own_faults_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="ours"), in_words("the repository a/b", "reading", "Again."):
        raise error
