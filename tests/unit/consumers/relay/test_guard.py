"""Which addresses webhooks may go to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.relay.guard import METADATA, Forbidden, Guard


def guard(*allow: str) -> Guard:
    return Guard([ip_network(network) for network in allow])


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("0.0.0.0", "an unspecified address"),
        ("0.1.2.3", "an unspecified address"),
        ("10.0.0.1", "a private address"),
        ("10.255.255.255", "a private address"),
        ("100.64.0.1", "a carrier-grade NAT address"),
        ("100.127.255.255", "a carrier-grade NAT address"),
        ("127.0.0.1", "a loopback address"),
        ("127.255.255.254", "a loopback address"),
        ("169.254.1.1", "a link-local address"),
        ("172.16.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.0.0.8", "a reserved address"),
        ("192.0.2.1", "a documentation address"),
        ("192.88.99.1", "a 6to4 address"),
        ("192.168.1.1", "a private address"),
        ("198.18.0.1", "a benchmarking address"),
        ("198.19.255.255", "a benchmarking address"),
        ("198.51.100.1", "a documentation address"),
        ("203.0.113.1", "a documentation address"),
        ("224.0.0.1", "a multicast address"),
        ("239.255.255.255", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "the broadcast address"),
        ("::", "an unspecified address"),
        ("::1", "a loopback address"),
        ("100::1", "a reserved address"),
        ("2001::1", "an unspecified address in IPv6"),  # Teredo by way of the server 0.0.0.0
        ("2001:2::1", "a benchmarking address"),
        ("2001:10::1", "a reserved address"),
        ("2001:20::1", "a reserved address"),
        ("2001:db8::1", "a documentation address"),
        ("3fff::1", "a documentation address"),
        ("3ffe::1", "a reserved address"),
        ("2620:4f:8000::1", "a reserved address"),
        ("4000::1", "a reserved address"),
        ("5f00::1", "a reserved address"),
        ("fc00::1", "a private address"),
        ("fdff::1", "a private address"),
        ("fe80::1", "a link-local address"),
        ("fec0::1", "a site-local address"),
        ("ff02::1", "a multicast address"),
    ],
)
def test_what_is_not_public_is_refused(address: str, what: str) -> None:
    assert guard().refusal(address) == what
    with pytest.raises(Forbidden, match=what):
        guard().check(address, 443)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:a00:1", "a private address"),
        ("::ffff:169.254.169.254", "an address of a cloud's metadata"),
        ("::127.0.0.1", "a loopback address in IPv6"),
        ("::8.8.8.8", "an IPv4-compatible address"),
        ("2002:7f00:1::", "a loopback address in IPv6"),
        ("2002:a9fe:a9fe::1", "an address of a cloud's metadata in IPv6"),
        ("2002:808:808::1", "a 6to4 address"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "a private address in IPv6"),  # Teredo, of the client 10.0.0.1
        ("2001:0:a00:1:8000:63bf:3fff:fdd2", "a private address in IPv6"),  # Teredo, of the server 10.0.0.1
        ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "a Teredo address"),  # of public ones
        ("64:ff9b::127.0.0.1", "a loopback address"),
        ("64:ff9b::a00:1", "a private address"),
        ("64:ff9b::169.254.169.254", "an address of a cloud's metadata"),
        ("64:ff9b:1::808:808", "a NAT64 address of local use"),
        ("2a00:1450:4001::5efe:10.0.0.1", "a private address in IPv6"),  # ISATAP
        ("2a00:1450:4001:0:200:5efe:7f00:1", "a loopback address in IPv6"),
    ],
)
def test_an_ipv4_address_in_an_ipv6_address_is_judged(address: str, what: str) -> None:
    assert guard().refusal(address) == what


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001:80b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",  # what DNS64 gives for every name in a network of IPv6 alone
    ],
)
def test_what_is_public_may_be_dialled(address: str) -> None:
    guard().check(address, 443)


@given(st.ip_addresses(v=4))
def test_nothing_is_dialled_in_ipv4_that_python_does_not_call_global(address: IPv4Address) -> None:
    if guard().refusal(str(address)) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(
    st.one_of(
        st.ip_addresses(v=6),
        st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address),  # the public part
    )
)
def test_nothing_is_dialled_in_ipv6_that_python_does_not_call_global(address: IPv6Address) -> None:
    if guard().refusal(str(address)) is None and address.ipv4_mapped is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_one_in_it(address: IPv4Address) -> None:
    assert guard().refusal(f"::ffff:{address}") == guard().refusal(str(address))


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%1", "localhost", "", "127.1", "0x7f000001", "1"])
def test_what_is_not_plainly_an_address_is_refused(address: str) -> None:
    with pytest.raises(Forbidden):
        guard("0.0.0.0/0", "::/0").check(address, 443)


def test_a_network_is_allowed_and_its_neighbours_are_not() -> None:
    allowing = guard("10.1.0.0/16", "fd00:1::/32")
    for address in ("10.1.0.1", "10.1.255.255", "::ffff:10.1.0.1", "64:ff9b::10.1.0.1", "fd00:1::1"):
        allowing.check(address, 443)
    for address in ("10.0.255.255", "10.2.0.0", "127.0.0.1", "::ffff:10.2.0.1", "fd00:2::1"):
        with pytest.raises(Forbidden):
            allowing.check(address, 443)


def test_an_allowed_network_does_not_open_the_forms_of_another() -> None:
    allowing = guard("2002::/16", "::/96")
    allowing.check("2002:808:808::1", 443)
    for address in ("2002:7f00:1::", "::10.0.0.1"):
        with pytest.raises(Forbidden):
            allowing.check(address, 443)


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_metadata_is_refused_even_in_an_allowed_network_unless_it_is_named_by_itself(address: str) -> None:
    with pytest.raises(Forbidden, match="metadata"):
        guard("0.0.0.0/0", "::/0").check(address, 80)
    guard(address).check(address, 80)


def test_the_forms_of_metadata_are_refused_in_an_allowed_network() -> None:
    for address in ("::ffff:100.100.100.200", "64:ff9b::168.63.129.16", "2002:a9fe:a9fe::"):
        with pytest.raises(Forbidden, match="metadata"):
            guard("0.0.0.0/0", "::/0").check(address, 80)


def test_without_ports_every_port_will_do_and_with_them_no_other() -> None:
    Guard().check("1.1.1.1", 22)
    chosen = Guard(ports=[8443, 443])
    chosen.check("1.1.1.1", 443)
    with pytest.raises(Forbidden, match="port 80 is none of those that webhooks may go to: 443, 8443"):
        chosen.check("1.1.1.1", 80)
