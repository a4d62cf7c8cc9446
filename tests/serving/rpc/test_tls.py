"""TLS and mutual TLS, and what is said at the start of files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from clip_har.errors import ConfigError
from clip_har.serving.config import GrpcConfig
from clip_har.serving.rpc.tls import server_credentials
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from clip_har.serving.schemas.rpc.action_recognition_pb2_grpc import ActionRecognitionStub
from tests.serving.rpc.service import Service, grpc_service, picture

pytest.importorskip("cryptography")
from tests.serving.rpc.certificates import Authority, Files

REQUEST = v1.PredictRequest(images=[v1.Image(content=picture())])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Files:
    return authority.issue("server")


def predicted(service: Service, authority: Authority, client: Files | None = None) -> str:
    credentials = grpc.ssl_channel_credentials(
        authority.files.certificate.read_bytes(),
        client.key.read_bytes() if client else None,
        client.certificate.read_bytes() if client else None,
    )
    with grpc.secure_channel(service.target, credentials) as channel:
        return ActionRecognitionStub(channel).Predict(REQUEST, timeout=5).results[0].label


def refused(call: Callable[[], object]) -> bool:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_with_a_certificate_only_tls_is_spoken(
    served_bundle: Path, folder: Path, authority: Authority, server: Files
) -> None:
    tls = {"tls_certificate": str(server.certificate), "tls_key": str(server.key)}
    with grpc_service(served_bundle, grpc=tls) as service:
        assert predicted(service, authority)
        assert refused(lambda: service.ours.Predict(REQUEST, timeout=2))
        assert refused(lambda: predicted(service, Authority(folder, "stranger")))


def test_with_an_authority_clients_must_show_a_certificate_of_it(
    served_bundle: Path, folder: Path, authority: Authority, server: Files
) -> None:
    tls = {"tls_certificate": str(server.certificate), "tls_key": str(server.key)}
    with grpc_service(served_bundle, grpc={**tls, "tls_client_ca": str(authority.files.certificate)}) as service:
        assert predicted(service, authority, authority.issue("client"))
        assert refused(lambda: predicted(service, authority))
        assert refused(lambda: predicted(service, authority, Authority(folder, "stranger").issue("impostor")))


def test_files_that_cannot_be_used_are_named(folder: Path, authority: Authority, server: Files) -> None:
    other, locked = authority.issue("other"), authority.issue("locked", password=b"secret")
    text, empty = folder / "text.pem", folder / "empty.pem"
    text.write_text("no certificate")
    empty.write_text("")
    certificate, key, missing = str(server.certificate), str(server.key), str(folder / "missing.pem")
    for wrong, said in (
        ({"tls_certificate": certificate}, "grpc.tls_key"),
        ({"tls_key": key}, "grpc.tls_certificate"),
        ({"tls_client_ca": certificate}, "grpc.tls_certificate"),
        ({"tls_certificate": missing, "tls_key": key}, "missing.pem cannot be read"),
        ({"tls_certificate": certificate, "tls_key": missing}, "missing.pem cannot be read"),
        ({"tls_certificate": certificate, "tls_key": str(folder)}, "cannot be read"),
        ({"tls_certificate": str(text), "tls_key": key}, "text.pem holds no certificate"),
        ({"tls_certificate": str(empty), "tls_key": key}, "empty.pem holds no certificate"),
        ({"tls_certificate": key, "tls_key": certificate}, "holds no certificate"),
        ({"tls_certificate": certificate, "tls_key": str(text)}, "text.pem holds no private key"),
        ({"tls_certificate": certificate, "tls_key": str(other.key)}, "not the key of the certificate"),
        ({"tls_certificate": str(locked.certificate), "tls_key": str(locked.key)}, "protected by a password"),
        ({"tls_certificate": certificate, "tls_key": key, "tls_client_ca": missing}, "missing.pem cannot be read"),
        ({"tls_certificate": certificate, "tls_key": key, "tls_client_ca": str(text)}, "grpc.tls_client_ca"),
    ):
        with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
            server_credentials(GrpcConfig(**wrong))
    assert server_credentials(GrpcConfig()) is None


def test_a_port_that_is_taken_is_named(served_bundle: Path) -> None:
    with grpc_service(served_bundle) as service:
        port = int(service.target.rsplit(":")[1])
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"), grpc_service(served_bundle, grpc={"port": port}):
            pass


def test_workers_share_a_port(served_bundle: Path) -> None:
    with grpc_service(served_bundle, workers=2) as one:
        port = int(one.target.rsplit(":")[1])
        with grpc_service(served_bundle, workers=2, grpc={"port": port}) as two:
            assert two.target == one.target
            assert two.ours.Predict(REQUEST).results[0].label
