"""Certificates from files, checked before anything is served."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from clip_har.errors import ConfigError
from clip_har.serving.config import GrpcConfig


def server_credentials(config: GrpcConfig) -> grpc.ServerCredentials | None:
    """What TLS is spoken with; None if it is not.

    With `tls_client_ca`, only clients that show a certificate signed by it are let in.

    Raises:
        ConfigError: if a file is missing, is none of its kind, or the key is another certificate's.
    """
    certificate, key, authority = config.tls_certificate, config.tls_key, config.tls_client_ca
    if certificate is None and key is None:
        if authority is not None:
            raise ConfigError("grpc.tls_client_ca wants grpc.tls_certificate and grpc.tls_key beside it.")
        return None
    if certificate is None or key is None:
        missing, given = ("tls_certificate", "tls_key") if certificate is None else ("tls_key", "tls_certificate")
        raise ConfigError(f"grpc.{given} is given without grpc.{missing}: TLS wants both.")
    chain = _read("tls_certificate", certificate)
    private = _read("tls_key", key)
    roots = _read("tls_client_ca", authority) if authority is not None else None
    _check(certificate, key, authority)
    return grpc.ssl_server_credentials([(private, chain)], roots, require_client_auth=roots is not None)


def _read(setting: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"grpc.{setting}: {file} cannot be read: {error.strerror}.") from error


def _check(certificate: str, key: str, authority: str | None) -> None:
    def refuse_password() -> str:  # OpenSSL would ask for it on the terminal
        raise ConfigError(f"grpc.tls_key: {key} is protected by a password; a key without one is wanted.")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise ConfigError(f"grpc.tls_certificate: {certificate} holds no certificate in PEM form.") from error
    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"grpc.tls_key: {key} is not the key of the certificate in {certificate}.") from error
        raise ConfigError(f"grpc.tls_key: {key} holds no private key in PEM form.") from error
    if authority is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(authority)
        except ssl.SSLError as error:
            raise ConfigError(f"grpc.tls_client_ca: {authority} holds no certificate in PEM form.") from error
