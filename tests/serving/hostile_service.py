"""A running service as hostile clients see it: requests byte by byte, and what must be as it was afterwards."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

import grpc
import numpy as np
import psutil
from PIL import Image

from clip_har.serving.schemas.rpc.action_recognition_pb2 import PredictRequest, PredictResponse
from tests.serving.engines import Served

PREDICT = "/v1/predict"
MEGABYTE = 2**20
_FREE_SECONDS = 6  # until nobody's place is taken any more
_METHOD = "/clip_har.v1.ActionRecognition/Predict"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Service:
    """The running service, and the usual questions to it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.host, port = served.rest_url.removeprefix("http://").split(":")
        self.port = int(port)
        self.photograph = photograph()
        self.workers = self._workers()
        self.usual = self.ask(self.photograph).json["results"][0]["labels"]

    def ask(self, image: bytes) -> Answer:
        """For one picture's labels, as a form."""
        body, content_type = multipart(image)
        return self.post(body, {"Content-Type": content_type})

    def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        request = urllib.request.Request(self.served.rest_url + PREDICT, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers.items()), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers.items()), error.read())

    def call(self, images: Sequence[bytes]) -> tuple[str, dict | None, PredictResponse | None]:
        """The same through gRPC: code, problem, answer."""
        with grpc.insecure_channel(self.served.grpc_target) as channel:
            return call_on(channel, images)

    def connect(self, seconds: float = 30) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=seconds)

    def megabytes(self) -> float:
        return sum(process.memory_info().rss for process in self._family()) / MEGABYTE

    def depth(self) -> float:
        """Pictures that hold a place."""
        with urllib.request.urlopen(f"{self.served.rest_url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r"^clip_har_queue_depth(?:\{.*\})? (\S+)$", text, re.MULTILINE)
        assert found
        return sum(map(float, found))

    def check(self) -> None:
        """It is as it was."""
        deadline = time.monotonic() + _FREE_SECONDS
        while self.depth() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.depth() == 0
        assert self.ask(self.photograph).json["results"][0]["labels"] == self.usual
        assert self.call([self.photograph])[0] == "OK"
        assert self._workers() == self.workers
        assert "Traceback" not in self.served.log.read_text(errors="replace")

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.served.process.pid)
        return [parent, *parent.children(recursive=True)]

    def _workers(self) -> set[int]:
        return {process.pid for process in self._family()}


def call_on(channel: grpc.Channel, images: Sequence[bytes]) -> tuple[str, dict | None, PredictResponse | None]:
    """A prediction through gRPC: code, problem, answer."""
    ask = channel.unary_unary(_METHOD, lambda each: each.SerializeToString(), PredictResponse.FromString)
    try:
        answer = ask(PredictRequest(images=[{"content": each} for each in images]), timeout=30)
    except grpc.RpcError as error:
        told = dict(error.trailing_metadata() or ()).get("problem-bin")
        return error.code().name, told and json.loads(told), None
    return "OK", None, answer


def photograph(size: tuple[int, int] = (275, 183)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def multipart(image: bytes) -> tuple[bytes, str]:
    """A form with a file: body, content type."""
    head = '--xyz\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    return head.encode() + image + b"\r\n--xyz--\r\n", "multipart/form-data; boundary=xyz"


def whole_request(body: bytes, content_type: str, path: str = PREDICT, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def read_answer(connection: socket.socket) -> Answer | None:
    """What comes until the server hangs up, or one answer is whole; None if there is none."""
    came = bytearray()
    try:
        while data := connection.recv(65536):
            came += data
            head, found, body = bytes(came).partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if found and length and len(body) >= int(length[1]):
                break
    except ConnectionResetError:
        pass
    head, _, body = bytes(came).partition(b"\r\n\r\n")
    if not head:
        return None
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Answer(int(lines[0].split()[1]), headers, body)


def reset(connection: socket.socket) -> None:
    """Hang up as a client does that was killed: no goodbye."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def assert_problem(answer: Answer | None, *statuses: int) -> None:
    assert answer is not None
    assert answer.status in statuses, answer.body[:300]
    told = answer.json
    assert told["status"] == answer.status
    assert {"type", "title", "detail", "code", "request_id"} <= told.keys()
