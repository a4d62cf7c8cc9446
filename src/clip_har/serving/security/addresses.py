"""Which addresses are this machine's alone, and which ones the service may fetch from."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_network

Address = IPv4Address | IPv6Address

# Global by the registry, and still no place to fetch from, or one behind which an IPv4 address hides.
_NEVER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "168.63.129.16/32",  # Azure's own wire server
            "192.0.0.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "::/96",  # IPv4-compatible
            "64:ff9b::/96",  # NAT64
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",  # Teredo among them
            "2002::/16",  # 6to4
            "fec0::/10",  # site-local
        ),
    )
)
# Never fetched from, private addresses allowed or not: machines' metadata live here.
_METADATA = tuple(map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32")))


def parsed(text: str) -> Address | None:
    """The address that a text is, IPv4 inside IPv6 taken out; None if it is none, or has a zone."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reached from this machine only; names other than localhost are not looked up."""
    address = parsed(host.strip("[]"))
    return host.lower() == "localhost" if address is None else address.is_loopback


def may_fetch_from(text: str, private: bool = False) -> bool:
    """Whether an address (as a resolver gives it) may be connected to.

    Args:
        private: whether loopback and private addresses are allowed; link-local ones never are.
    """
    address = parsed(text)
    if address is None or any(_within(address, network) for network in _METADATA):
        return False
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    if private and (address.is_loopback or address.is_private):
        return True
    never = any(_within(address, network) for network in _NEVER)
    return address.is_global and not address.is_reserved and not never


def _within(address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address.version == network.version and address in network
