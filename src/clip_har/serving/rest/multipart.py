"""multipart/form-data (RFC 7578) out of a body that is in memory already: no temporary files, no threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from clip_har.serving.errors import BadRequest, TooLarge, UnsupportedMedia

_PLAIN = (b"", b"7bit", b"8bit", b"binary")
_MOST_HEADER_BYTES = 2048


def parse_form(content_type: str, body: bytes, *, max_parts: int) -> list[tuple[str, bytes]]:
    """A form's parts in order: name and content.

    Args:
        content_type: header, with the boundary.
        max_parts: in one form.

    Raises:
        BadRequest: if it is no whole form.
        TooLarge: if it has more parts than allowed.
        UnsupportedMedia: if a part is encoded, as mails are.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise BadRequest("Content-Type: multipart/form-data wants a boundary.", field="Content-Type")
    parts = _Parts(body, max_parts)
    try:
        parser = MultipartParser(boundary, parts.callbacks, max_header_size=_MOST_HEADER_BYTES)
        parser.logger.disabled = True  # what a caller gets wrong is the caller's to read
        parser.write(body)
    except FormParserError as error:
        raise BadRequest(f"The form cannot be read: {error}.", field="body") from None
    if not parts.ended:
        raise BadRequest("The form ends before its last boundary.", field="body")
    return parts.found


class _Parts:
    """Collects what the parser finds."""

    def __init__(self, body: bytes, most: int) -> None:
        self._body, self._most = body, most
        self.found: list[tuple[str, bytes]] = []
        self.ended = False
        self._header = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._pieces: list[bytes] = []

    @property
    def callbacks(self) -> Mapping:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        if len(self.found) >= self._most:
            raise TooLarge(f"The form has more than the {self._most} parts that are allowed.", field="body")
        self._headers, self._pieces = {}, []

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name")
        if kind != b"form-data" or not name:
            raise BadRequest("Each part of the form wants a name: Content-Disposition: form-data; name=…", field="body")
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in _PLAIN:
            raise UnsupportedMedia("Content-Transfer-Encoding: parts are taken as they are only.", field="body")
        try:
            self._name = name.decode()
        except UnicodeDecodeError:
            raise BadRequest("A part's name is not UTF-8.", field="body") from None

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        self.found.append((self._name, self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)))

    def _on_end(self) -> None:
        self.ended = True


def text_of(name: str, parts: Sequence[bytes]) -> list[str]:
    """Text fields of a form.

    Raises:
        BadRequest: if one is not UTF-8.
    """
    try:
        return [part.decode() for part in parts]
    except UnicodeDecodeError:
        raise BadRequest(f"{name}: the text is not UTF-8.", field=name) from None
