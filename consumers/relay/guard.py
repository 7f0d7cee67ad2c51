"""Which addresses a webhook may go to: public ones, and those that the operator allows. Everything else is refused.

The networks are those of IANA's special-purpose registries (RFC 6890 and its updates). Of IPv6 only 2000::/3 is public.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), what)
    for what, networks in {
        "an unspecified address": ("0.0.0.0/8", "::/128"),
        "a loopback address": ("127.0.0.0/8", "::1/128"),
        "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),
        "a carrier-grade NAT address": ("100.64.0.0/10",),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "the broadcast address": ("255.255.255.255/32",),
        "a documentation address": (
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001:db8::/32",
            "3fff::/20",
        ),
        "a benchmarking address": ("198.18.0.0/15", "2001:2::/48"),
        "a site-local address": ("fec0::/10",),
        "a 6to4 address": ("2002::/16", "192.88.99.0/24"),
        "a Teredo address": ("2001::/32",),
        "a NAT64 address of local use": ("64:ff9b:1::/48",),
        "an IPv4-compatible address": ("::/96",),
        "a reserved address": (
            "240.0.0.0/4",
            "192.0.0.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.175.48.0/24",
            "2001::/23",
            "2620:4f:8000::/48",
            "3ffe::/16",
        ),
    }.items()
    for network in networks
)
"""The first one that fits gives the reason."""

PUBLIC_IPV6 = IPv6Network("2000::/3")

METADATA = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # AWS, of a container
        "169.254.170.23",  # AWS, of a pod
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure; a public address
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, of a pod
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:42::42",  # Scaleway
        "fd00:a9fe:a9fe::1",  # Akamai
        "fe80::a9fe:a9fe",  # OpenStack
    )
)
"""Where clouds hand out credentials. They are allowed only by themselves, never with a network around them."""

MAPPED = IPv6Network("::ffff:0:0/96")
COMPATIBLE = IPv6Network("::/96")
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = 0x5EFE


class Forbidden(ValueError):
    """A webhook may not go there."""


class Guard:
    """Judges addresses and ports. `allow` lists networks beyond the public ones; without `ports` every port will do."""

    def __init__(self, allow: Sequence[Network] = (), ports: Sequence[int] = ()) -> None:
        self._networks = tuple(allow)
        self._exactly = frozenset(n.network_address for n in allow if n.prefixlen == n.max_prefixlen)
        self._ports = frozenset(ports)

    def check(self, address: str, port: int) -> None:
        """Raise `Forbidden` unless this may be dialled."""
        self.check_port(port)
        if (what := self.refusal(address)) is not None:
            raise Forbidden(f"{address} is {what}, and webhooks go to public addresses")

    def check_port(self, port: int) -> None:
        """Raise `Forbidden` unless the port is among those that are allowed."""
        if self._ports and port not in self._ports:
            allowed = ", ".join(map(str, sorted(self._ports)))
            raise Forbidden(f"port {port} is none of those that webhooks may go to: {allowed}")

    def refusal(self, address: str) -> str | None:
        """What the address is that it is refused, such as `a private address`; None for one that may be dialled."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return "not an address"
        if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
            return "an address with a zone"
        return self._judge(parsed)

    def _judge(self, address: Address) -> str | None:
        if address in self._exactly:
            return None
        if address in METADATA:
            return "an address of a cloud's metadata"
        if isinstance(address, IPv6Address):
            # The packets of these two go to the IPv4 address, so it alone counts.
            if address in MAPPED or address in NAT64:
                return self._judge(_low_32_bits(address))
            for embedded in _embedded(address):
                if (what := self._judge(embedded)) is not None:
                    return f"{what} in IPv6"
        if any(address in network for network in self._networks):
            return None
        for network, what in REFUSED:
            if address in network:
                return what
        if isinstance(address, IPv6Address) and address not in PUBLIC_IPV6:
            return "a reserved address"
        return None


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses in an IPv6 address that some machine on the way may send its packets to."""
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in COMPATIBLE and int(address) > 1:
        yield _low_32_bits(address)
    # ISATAP, RFC 5214: the interface's half begins with 0000:5efe or 0200:5efe.
    if (int(address) >> 32) & 0xFDFFFFFF == ISATAP:
        yield _low_32_bits(address)


def _low_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
