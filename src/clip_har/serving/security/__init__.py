"""Who may ask the service, how often, from where; and what the service itself may fetch."""

from clip_har.serving.security.gate import Caller, Security

__all__ = ["Caller", "Security"]
