"""Which URLs are endpoints."""

from __future__ import annotations

import pytest
from support.certificates import Authority

from headrace.consumers.relay.target import Target
from headrace.consumers.relay.tls import Tls

AUTHORITY = Authority()
IDENTITY = AUTHORITY.issue("client")


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "path", "authority"),
    [
        ("http://example.com", "example.com", 80, False, "/", "example.com"),
        ("https://example.com", "example.com", 443, True, "/", "example.com"),
        ("HTTPS://Example.COM:8443/Hook?a=B#part", "example.com", 8443, True, "/Hook?a=B", "Example.COM:8443"),
        ("http://example.com?a=b", "example.com", 80, False, "/?a=b", "example.com"),
        ("http://127.0.0.1:9/x", "127.0.0.1", 9, False, "/x", "127.0.0.1:9"),
        ("http://[::1]:9/x", "::1", 9, False, "/x", "[::1]:9"),
        ("https://[2001:db8::1]/", "2001:db8::1", 443, True, "/", "[2001:db8::1]"),
        ("http://xn--mnchen-3ya.example./", "xn--mnchen-3ya.example.", 80, False, "/", "xn--mnchen-3ya.example."),
        ("http://my_service.internal/%20x", "my_service.internal", 80, False, "/%20x", "my_service.internal"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, tls: bool, path: str, authority: str) -> None:
    assert Target.of(url) == Target(host, port, tls, path, authority)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "begin with http"),
        ("example.com/hook", "begin with http"),
        ("ftp://example.com", "begin with http"),
        ("file:///etc/passwd", "begin with http"),
        ("http://", "no host"),
        ("http:///hook", "no host"),
        ("http://:80/", "no host"),
        ("http://user:password@example.com/", "user name or password"),
        ("http://@example.com/", "user name or password"),
        ("http://example.com/a b", "ASCII without spaces"),
        (" http://example.com/", "ASCII without spaces"),
        ("http://example.com/\r\nx-evil: 1", "ASCII without spaces"),
        ("http://example.com/\tx", "ASCII without spaces"),
        ("http://example.com/\x00", "ASCII without spaces"),
        ("http://example.com/\x7f", "ASCII without spaces"),
        ("http://münchen.example/", "ASCII without spaces"),
        ("http://example.com:0/", "from 1 to 65535"),
        ("http://example.com:65536/", "[Pp]ort"),
        ("http://example.com:http/", "[Pp]ort"),
        ("http://example.com:-1/", "[Pp]ort"),
        ("http://[::1/", "IPv6"),
        ("http://[nonsense]/", "IPv4|IPv6"),
        ("http://a..b/", "neither a name nor an address"),
        ("http://.example.com/", "neither a name nor an address"),
        ("http://-example.com/", "neither a name nor an address"),
        ("http://%65xample.com/", "neither a name nor an address"),
        ('http://exam"ple.com/', "neither a name nor an address"),
        ("http://[v1.fe80]/", "neither a name nor an address"),
        ("http://[::1]example.com/", "neither a name nor an address"),
        ("http://example.com[::1]/", "neither a name nor an address"),
        ("http://example.com\\.evil.example/", "neither a name nor an address"),
        ("http://[fe80::1%eth0]/", "must not name a zone"),
        ("http://[fe80::1%25eth0]/", "must not name a zone"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://017700000001/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0X7F000001/", "four decimal numbers"),
        ("http://0x/", "four decimal numbers"),
        ("http://0/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://127.0.1/", "four decimal numbers"),
        ("http://127.0.0.1./", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.0.0.01/", "four decimal numbers"),
        ("http://127.0.0.0x1/", "four decimal numbers"),
        ("http://127.0.0.256/", "four decimal numbers"),
        ("http://127.0.0.1.2/", "four decimal numbers"),
        ("http://example.1/", "four decimal numbers"),
        ("http://\uff11\uff12\uff17.0.0.1/", "ASCII without spaces"),
        ("http://127\u30020\u30020\u30021/", "ASCII without spaces"),
        ("http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "ASCII without spaces"),
        ("http://%31%32%37.0.0.1/", "four decimal numbers"),
        ("http://" + "a" * 64 + ".example/", "neither a name nor an address"),
        ("http://" + "a." * 127 + "example/", "neither a name nor an address"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Target.of(url)


def test_what_may_share_connections_has_the_same_origin() -> None:
    assert Target.of("https://example.com/a?b").origin == Target.of("https://EXAMPLE.com:443/c").origin
    others = [
        Target.of("https://example.com/"),
        Target.of("http://example.com:443/"),
        Target.of("https://example.com:8443/"),
        Target.of("https://example.com./"),
        Target.of("https://example.com/", Tls(IDENTITY.certificate, IDENTITY.key)),
        Target.of("https://example.com/", Tls(ca=AUTHORITY.pem)),
        Target.of("https://example.com/", Tls(IDENTITY.certificate, IDENTITY.key, AUTHORITY.pem)),
    ]
    assert len({target.origin for target in others}) == len(others)


def test_a_tls_identity_needs_tls() -> None:
    with pytest.raises(ValueError, match="begins with https://"):
        Target.of("http://example.com/", Tls(ca=AUTHORITY.pem))


def test_the_name_in_the_certificate_has_no_dot_at_its_end() -> None:
    assert Target.of("https://example.com./").server_name == "example.com"
