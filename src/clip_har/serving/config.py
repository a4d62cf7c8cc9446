"""All settings of the service, and how a process finds them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clip_har.capture.config import CaptureConfig
from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits


class RequestLimits(ComponentConfig):
    """What a request may hold."""

    max_body_bytes: int = Field(10_000_000, gt=0, description="Largest body of a request, in bytes.")
    images: ImageLimits = Field(
        ImageLimits(max_bytes=10_000_000, max_pixels=50_000_000, max_pixels_in_flight=100_000_000),
        description="What is accepted as an image.",
    )
    max_images: int = Field(16, ge=1, description="Pictures in one request.")
    max_labels: int = Field(100, ge=1, description="Labels of the caller's own in one request.")
    max_label_characters: int = Field(100, ge=1, description="Length of one of them.")
    max_templates: int = Field(16, ge=1, description="Templates of the caller's own in one request.")
    max_template_characters: int = Field(200, ge=1, description="Length of one of them.")
    max_top_k: int = Field(100, ge=1, description="Labels to answer with.")


class QueueConfig(ComponentConfig):
    """How much may wait, and how long."""

    deadline_seconds: float = Field(
        10.0, gt=0, description="A request that would not be answered within this is refused, or given up."
    )
    max_waiting: int = Field(
        64, ge=1, description="Pictures waiting or being answered in one process; more are refused."
    )
    drain_seconds: float = Field(20.0, gt=0, description="How long a shutdown waits for accepted requests.")


class ConnectionsConfig(ComponentConfig):
    """What an HTTP connection may do before there is a request."""

    head_seconds: float = Field(10.0, gt=0, description="How long a request's header may take to arrive.")
    max_head_bytes: int = Field(65_536, ge=1024, description="Largest header, in bytes.")


class SecurityConfig(ComponentConfig):
    """Who may ask, and what the service may fetch."""

    keys_file: str | None = Field(
        None,
        min_length=1,
        description="File with the hashed API keys (`clip-har keys`); no key is wanted if not given.",
    )
    public: bool = Field(False, description="Serve on a public address without keys.")
    cors_origins: tuple[str, ...] = Field((), description="Origins that browsers may call from; none.")
    url_hosts: tuple[str, ...] = Field(
        (), description="Hosts that pictures may be fetched from; none: no URL is taken."
    )
    url_seconds: float = Field(5.0, gt=0, description="How long a fetch may take in all.")
    url_private_addresses: bool = Field(
        False,
        description="Whether those hosts may resolve to loopback and private addresses. For tests and closed networks.",
    )


class GrpcConfig(ComponentConfig):
    """The gRPC side."""

    enabled: bool = Field(True, description="Whether it is served.")
    port: int = Field(3001, ge=0, le=65535, description="0: any free one.")
    max_message_bytes: int = Field(10_000_000, gt=0, description="Largest message taken, in bytes.")
    reflection: bool = Field(True, description="Whether clients may ask which services there are.")
    tls_certificate: str | None = Field(None, description="PEM file; with `tls_key`, only TLS is spoken.")
    tls_key: str | None = Field(None, description="PEM file of its private key.")
    tls_client_ca: str | None = Field(
        None, description="PEM file; if given, clients must show a certificate signed by it."
    )
    max_calls: int = Field(
        1000, ge=1, description="Calls open at one time in one process, streams and idle ones included."
    )
    stream_frames: int = Field(
        4, ge=1, description="Frames of one stream in work at one time; more are not read until one is answered."
    )
    stream_idle_seconds: float = Field(60.0, gt=0, description="A stream without a frame for so long is ended.")


class VersionsConfig(ComponentConfig):
    """Which models are served, and when they change."""

    watch_seconds: float = Field(2.0, gt=0, description="Time between two looks at the champion's pointer.")
    challenger: str | None = Field(
        None,
        description="A second version: `challenger` (as the registry says), a model id's first digits, or a folder.",
    )
    challenger_share: float = Field(0.0, ge=0, le=1, description="Share of requests that the challenger answers.")
    shadow: bool = Field(False, description="The challenger also answers the others; recorded, not returned.")


class ObservabilityConfig(ComponentConfig):
    """Logs and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity logged.")
    access_log: bool = Field(True, description="A line of JSON for every request.")
    tracing_endpoint: str | None = Field(
        None, description="OTLP/HTTP endpoint of a collector; `console` prints spans; off if not given."
    )
    tracing_share: float = Field(
        1.0, ge=0, le=1, description="Share of requests recorded; one with a `traceparent` is if that says so."
    )


class BentoConfig(ComponentConfig):
    """The Bento that `deploy` packs."""

    enabled: bool = Field(True, description="Whether `deploy` packs one.")
    explain: bool = Field(
        False,
        description="Whether heat maps work where only the Bento's own requirements are installed: torch and transformers "
        "come with it then. They come in any case if an encoder has no accepted ONNX form.",
    )


class ServingConfig(ComponentConfig):
    """Everything that the service depends on besides the bundle."""

    host: str = Field("127.0.0.1", description="Address that REST and gRPC are served on.")
    port: int = Field(3000, ge=0, le=65535, description="REST.")
    name: str = Field(
        "clip-har",
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="The model's name in the Open Inference Protocol, and the Bento's.",
    )
    runtime: str = Field("auto", description="What runs the image encoder, as in Predictor.load.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    threads: int | None = Field(None, ge=1, description="CPU threads; as many as there are cores if not given.")
    encoder: Literal["auto", "in_process", "runner"] = Field(
        "auto",
        description="Where images are encoded: in the API process, or in a runner with adaptive batching; auto: the runner where a GPU is.",
    )
    workers: int = Field(1, ge=1, description="API processes.")
    max_batch_size: int = Field(32, ge=1, description="Pictures to a batch of the runner.")
    max_latency_ms: int = Field(1000, ge=1, description="How long the runner may hold a picture back.")
    limits: RequestLimits = Field(RequestLimits(), description="What a request may hold.")
    queue: QueueConfig = Field(QueueConfig(), description="How much may wait.")
    connections: ConnectionsConfig = Field(
        ConnectionsConfig(), description="What a connection may do before there is a request."
    )
    security: SecurityConfig = Field(SecurityConfig(), description="Who may ask.")
    grpc: GrpcConfig = Field(GrpcConfig(), description="The gRPC side.")
    versions: VersionsConfig = Field(VersionsConfig(), description="Which models are served.")
    capture: CaptureConfig = Field(CaptureConfig(), description="What is kept of what was seen.")
    observability: ObservabilityConfig = Field(ObservabilityConfig(), description="Logs and traces.")
    response_cache: int = Field(0, ge=0, description="Answers kept by the pictures' bytes; 0: none.")
    bento: BentoConfig = Field(BentoConfig(), description="The Bento that `deploy` packs.")
