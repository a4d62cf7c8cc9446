from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from clip_har.client import ServiceProblem
from clip_har.errors import ImageError
from clip_har.ui.failures import told


@pytest.mark.parametrize(
    ("problem", "advice"),
    [
        (ServiceProblem("No service answers."), "under **Service**"),
        (ServiceProblem("A key is wanted.", status=401, code="unauthorized"), "key"),
        (ServiceProblem("Too large.", status=413, code="too_large"), "smaller"),
        (ServiceProblem("Not an image.", status=415, code="not_an_image"), "JPEG"),
        (ServiceProblem("Cut.", status=422, code="truncated"), "damaged"),
        (ServiceProblem("It failed.", status=500, code="internal", request_id="abc"), "abc"),
        (ServiceProblem("What?", status=200, code="unreadable_answer"), "Something else"),
        (ImageError("truncated", "Cut."), "damaged"),
    ],
)
def test_every_failure_says_what_to_do(problem, advice):
    found = told(problem)
    assert advice in found.advice
    assert found.sentence == str(problem)
    assert not found.passing


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_says_when_to_try_again(status):
    found = told(ServiceProblem("Busy.", status=status, code="x", retry_after=3))
    assert found.passing
    assert "3\u202fs" in found.advice


def test_a_fault_of_ours_shows_no_traceback(caplog):
    script = (
        "from clip_har.ui import failures\nimport streamlit as st\n"
        "with failures.caught('Nothing was sent.'):\n    raise KeyError('secret-of-the-app')\nst.markdown('the rest')"
    )
    page = AppTest.from_string(script).run()
    assert not page.exception
    assert page.error[0].value.startswith("Nothing was sent. Something in the app failed")
    assert "secret" not in page.error[0].value
    assert page.markdown[0].value == "the rest"
    assert "secret-of-the-app" in caplog.text  # for the log


def test_a_problem_cannot_format_the_page():
    assert "\\!\\[x\\]" in told(ServiceProblem("![x](http://example.org)", status=422, code="x")).markdown
