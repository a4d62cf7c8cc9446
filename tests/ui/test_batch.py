from __future__ import annotations

import csv
import io
import json
import zipfile

import pyarrow.parquet as pq
import pytest

from clip_har.client import ServiceProblem
from clip_har.errors import DataError
from clip_har.ui.batch import sources
from clip_har.ui.batch.gallery import groups
from clip_har.ui.batch.job import Job
from clip_har.ui.batch.rows import COLUMNS, as_csv, as_parquet
from clip_har.ui.batch.sources import Given, in_folder, in_zip
from clip_har.ui.connection import Service
from tests.ui.conftest import URL, texts
from tests.ui.stand_in import model, picture


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def pictures(number: int) -> dict[str, bytes]:
    return {f"{place}.png": picture((place, 0, 0)) for place in range(number)}


def unreadable(name: str) -> Given:
    def read() -> bytes:
        raise DataError("It is encrypted.")

    return Given(name, read)


def known(files: dict[str, bytes]) -> list[Given]:
    return [Given(name, lambda data=data: data) for name, data in files.items()]


def test_a_zip_gives_its_pictures_and_nothing_else():
    files = {"b/1.JPG": b"x", "../up.png": b"y", "notes.txt": b"z", "__MACOSX/1.jpg": b"w", ".hidden/2.png": b"v"}
    given = in_zip(io.BytesIO(zipped(files)))
    assert [one.name for one in given] == ["b/1.JPG", "../up.png"]  # a name only: nothing is unpacked
    assert given[0].read() == b"x"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", zipped({"a.txt": b""})])
def test_what_has_no_pictures_is_refused(data):
    with pytest.raises(DataError, match=r"ZIP|picture"):
        in_zip(io.BytesIO(data))


def test_a_damaged_entry_is_its_own_error():
    data = bytearray(zipped({"a.png": picture() * 50, "b.png": b"b"}))
    data[60] ^= 0xFF
    first, second = in_zip(io.BytesIO(bytes(data)))
    with pytest.raises(DataError, match="cannot be read"):
        first.read()
    assert second.read() == b"b"


def test_an_entry_that_grows_is_cut_off(monkeypatch):
    monkeypatch.setattr(sources, "_LARGEST", 1000)
    (given,) = in_zip(io.BytesIO(zipped({"bomb.png": bytes(100_000)})))
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        given.read()


def test_a_folder_with_those_below_it(tmp_path):
    for name in ("b/2.png", "a.JPG", ".x/3.png", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"p")
    assert [one.name for one in in_folder(tmp_path)] == ["a.JPG", "b/2.png"]
    with pytest.raises(DataError, match="no folder"):
        in_folder(tmp_path / "none")


def test_bad_files_are_rows_in_their_place(client):
    given = [
        unreadable("0.png"),
        *known(pictures(6)),
        unreadable("z.png"),
        *known({"bad.png": b"bad"}),
        unreadable("y.png"),
    ]
    client.problems[b"bad"] = ServiceProblem("No image.", status=415, code="not_an_image", field="images")
    job = Job("x", given)
    assert list(job.go_on(Service(client, model(), URL))) == list(range(1, 11))
    assert [row.values["path"] for row in job.rows] == [one.name for one in given]
    assert [row.failed for row in job.rows] == [True, *[False] * 6, True, True, True]
    assert job.rows[8].values["error_code"] == "not_an_image"
    assert job.done
    assert not job.running


def test_an_interrupted_batch_goes_on_where_it_was(client):
    job = Job("x", known(pictures(12)))
    service = Service(client, model(), URL)
    going = job.go_on(service)
    for _ in range(5):
        next(going)
    going.close()  # somebody clicked
    assert len(job.rows) == 5
    assert job.running
    list(job.go_on(service))
    assert [row.values["path"] for row in job.rows] == [f"{place}.png" for place in range(12)]


def test_only_a_few_pictures_are_held(client):
    read = []

    def reading(place: int) -> Given:
        return Given(f"{place}.png", lambda: read.append(place) or picture((place, 0, 0)))

    job = Job("x", [reading(place) for place in range(100)])
    going = job.go_on(Service(client, model(), URL))
    next(going)
    assert len(read) < 10
    going.close()


def test_the_files_have_every_row(client):
    client.problems[b"bad"] = ServiceProblem("No, =image.", status=415, code="not_an_image", field="images")
    job = Job("x", known({"ä.png": picture(), "bad.png": b"bad"}))
    list(job.go_on(Service(client, model(), URL), top_k=2))
    rows = list(csv.DictReader(io.StringIO(as_csv(job.rows).decode())))
    table = pq.read_table(io.BytesIO(as_parquet(job.rows)))
    assert tuple(rows[0]) == tuple(table.column_names) == COLUMNS
    assert rows[0]["path"] == "ä.png"
    assert rows[0]["abstained"] == "false"
    assert json.loads(rows[0]["labels"]) == table["labels"][0].as_py() == ["calling", "cycling"]
    assert table["scores"][0].as_py() == pytest.approx([0.7, 0.2])
    assert rows[1]["error"] == table["error"][1].as_py() == "No, =image."
    assert table["label"][1].as_py() is None


def test_groups_are_by_size_with_doubt_and_errors_last(client):
    client.problems[b"bad"] = ServiceProblem("No.", status=415, code="not_an_image", field="images")
    job = Job("x", known({"bad.png": b"bad", **pictures(3)}))
    list(job.go_on(Service(client, model(), URL)))
    assert list(groups(job.rows)) == ["calling", "could not be read"]


def chosen(page, data: bytes, name: str = "some.zip"):
    page.file_uploader[0].set_value((name, data, "application/zip"))
    return page.run()


def button(page, begins: str):
    return next(one for one in page.button if one.label.startswith(begins))


def test_the_page_from_zip_to_download(show, client):
    page = chosen(show("batch"), zipped({**pictures(5), "bad.png": b"bad"}))
    client.problems[b"bad"] = ServiceProblem("No image.", status=415, code="not_an_image", field="images")
    button(page, "Recognise 6 pictures").click().run()
    assert not page.exception
    assert [one.value for one in page.metric][:3] == ["6", "0", "1"]
    said = texts(page)
    assert "## calling (5)" in said
    assert "## could not be read (1)" in said
    assert said.count("<figure>") == 6
    page.slider(key="batch_confidence").set_value((80, 100)).run()
    assert "0 of 6 are shown" in texts(page)


def test_a_service_that_dies_stops_the_batch_with_a_sentence(show, client):
    page = chosen(show("batch"), zipped(pictures(3)))
    client.problems[None] = ServiceProblem("No service answers.")
    button(page, "Recognise").click().run()
    assert not page.exception
    assert page.error[0].value.startswith("It stopped after 0 of 3 pictures")
    client.problems.clear()
    button(page, "Go on").click().run()
    assert page.metric[0].value == "3"


def test_no_zip_is_a_sentence(show):
    page = chosen(show("batch"), b"this is no zip")
    assert "is not a ZIP" in page.error[0].value.replace("\\", "")


def test_folders_of_the_machine_are_offered_to_people_at_it_only(show, monkeypatch, place):
    (place / "photos").mkdir()
    (place / "photos" / "a.png").write_bytes(picture())
    for here, offered in ((True, True), (False, False)):
        monkeypatch.setattr("clip_har.ui.pages.batch.at_this_machine", lambda here=here: here)
        page = show("batch")
        assert ("A folder beside the app" in str(page.get("button_group")[0].proto)) is offered
    monkeypatch.setattr("clip_har.ui.pages.batch.at_this_machine", lambda: True)
    page = show("batch")
    page.session_state["batch_way"] = "A folder beside the app"
    page.run()
    page.text_input(key="batch_folder").set_value(str(place / "photos")).run()
    button(page, "Recognise 1 picture").click().run()
    assert page.metric[0].value == "1"
