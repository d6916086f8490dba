"""The guard before a page: which requests pass it, and what their answers are told."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from common.web_guard import WebGuard

HOST = "127.0.0.1:8089"
OWN = f"http://{HOST}"
LOOPBACK = ["127.0.0.1:8089", "127.0.0.1:9999", "127.0.0.1", "localhost:8089", "LOCALHOST", "[::1]:8089"]
FOREIGN_HOSTS = [
    *(
        "evil.test:8089",
        "127.0.0.1.evil.test",
        "localhost.evil.test:8089",
        "evil.test",
        "xlocalhost",
        "127.1",
    ),
    *(
        "",
        " ",
        "evil@127.0.0.1:8089",
        "127.0.0.1:8089/",
        "127.0.0.1:8089,evil.test",
        "127.0.0.1:x",
        "[::1",
        "*",
    ),
    *("127.0.0.1:99999", "127.0.0.1#evil", "127.0.0.1?", "evil.test\\@127.0.0.1", "0x7f000001", "192.0.2.1"),
]
FOREIGN_ORIGINS = [
    *(
        "http://evil.test",
        "http://evil.test:8089",
        "http://localhost:8089",
        "http://127.0.0.1:3000",
        "null",
        "",
    ),
    *("http://127.0.0.1", "file://", "http://127.0.0.1.evil.test:8089", "http://127.0.0.1:8089.evil.test"),
    *("https://127.0.0.1", "chrome-extension://a", "http://[", "http://127.0.0.1:x", "//127.0.0.1:8089"),
]


@Request.application
def app(request: Request) -> Response:
    """Says yes to everybody, as Locust's does."""
    answer = Response(f"did {request.method}")
    answer.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    answer.headers["access-control-allow-credentials"] = "true"
    return answer


def guarded(address: str = "127.0.0.1", *allowed: str) -> Client:
    return Client(WebGuard(app, address, allowed), use_cookies=False)


def ask(client: Client, method: str = "GET", host: str = HOST, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open("/any", method=method, headers={"Host": host, **named})


def with_token(client: Client, host: str = HOST) -> dict[str, str]:
    """What a browser sends that has loaded the page."""
    return {"Cookie": ask(client, host=host).headers["Set-Cookie"].partition(";")[0]}


@pytest.mark.parametrize("host", LOOPBACK)
def test_names_of_the_loopback_are_served(host: str) -> None:
    client = guarded()
    assert ask(client, host=host).status_code == 200
    assert ask(client, "POST", host, **with_token(client, host)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "PUT"])
@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_name_is_refused(host: str, method: str) -> None:
    client = guarded()
    assert ask(client, method, host, **with_token(client)).status_code == 403


@given(name=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_only_known_names_are_served(name: str) -> None:
    answer = ask(guarded(), host=name)
    assert answer.status_code == (200 if name.lower() in ("localhost", "127.0.0.1", "[::1]") else 403) or (
        name.partition(":")[0].lower() in ("localhost", "127.0.0.1") or name.startswith("[::1]:")
    )


def test_all_addresses_are_all_that_no_name_server_can_lead_here() -> None:
    for address in ("", "*", "0.0.0.0", "::"):
        client, own = guarded(address), socket.gethostname()
        for host in (*LOOPBACK, "192.0.2.1:8089", "[2001:db8::1]:8089", f"{own}:8089", own.upper()):
            assert ask(client, host=host).status_code == 200, host
        assert ask(client, host="evil.test:8089").status_code == 403
    client = guarded("192.0.2.1")
    assert ask(client, host="192.0.2.1:8089").status_code == 200
    assert ask(client, host="192.0.2.2:8089").status_code == ask(client, host="localhost").status_code == 403


def test_a_proxy_s_name_is_served_when_it_is_allowed() -> None:
    client = guarded("127.0.0.1", "load.example", " ui.example:8443 ", "")
    for host, origin in (("load.example", "https://load.example"), (HOST, "https://ui.example:8443")):
        token = with_token(client, host)
        assert ask(client, "POST", host, Origin=origin, **token).status_code == 200
    for origin in ("https://ui.example", "https://load.example:8443", "https://other.example"):
        assert ask(client, "POST", Origin=origin, **with_token(client)).status_code == 403
    refused = ask(client, host="other.example")
    assert refused.status_code == 403 and "--web-allowed-host" in refused.text


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_foreign_origin_is_refused(origin: str, method: str) -> None:
    client = guarded()
    answer = ask(client, method, Origin=origin, **with_token(client))
    assert answer.status_code == 403 and "another site" in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "nonsense"])
def test_another_site_may_only_link_here(site: str) -> None:
    client = guarded()
    token = with_token(client)
    link = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert ask(client, **link).status_code == 200
    assert ask(client, "POST", **link, **token).status_code == 403
    for changed in ({"Sec_Fetch_Dest": "iframe"}, {"Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"}):
        assert ask(client, **(link | changed)).status_code == (200 if site == "none" else 403)


def test_what_changes_something_needs_the_token() -> None:
    client, other = guarded(), guarded()
    for method in ("POST", "PUT", "DELETE", "PATCH", "NONSENSE"):
        assert ask(client, method, Origin=OWN).status_code == 403
        assert ask(client, method, **with_token(other)).status_code == 403, "of another process"
        assert ask(client, method, Cookie="tokenswarm-8089=ü").status_code == 403
        own = with_token(client)
        assert ask(client, method, Origin=OWN, Sec_Fetch_Site="same-origin", **own).status_code == 200
    assert "load the page again" in ask(client, "POST").text


def test_the_token_is_for_our_own_pages_and_is_given_once() -> None:
    client = guarded()
    cookie = ask(client).headers["Set-Cookie"]
    assert cookie.startswith("tokenswarm-8089=") and "SameSite=Strict" in cookie and "HttpOnly" in cookie
    assert "Secure" not in cookie and "Set-Cookie" not in ask(client, **with_token(client)).headers
    secure = client.open("/", base_url="https://localhost").headers["Set-Cookie"]
    assert secure.endswith("; Secure")


def test_answers_are_for_no_other_site() -> None:
    for origin in ({}, {"Origin": OWN}):
        headers = ask(guarded(), **origin).headers
        assert not [name for name in dict(headers) if name.lower().startswith("access-control")]
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
