"""Which URLs are endpoints."""

from __future__ import annotations

import pytest

from headrace.consumers.relay.target import Target


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
        ("http://" + "a" * 64 + ".example/", "neither a name nor an address"),
        ("http://" + "a." * 127 + "example/", "neither a name nor an address"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Target.of(url)
