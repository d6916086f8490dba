"""What headers tell of a gateway; those here are as Debian 12's gateways send them."""

import pytest

from loadgen.master import gateway


@pytest.mark.parametrize(
    ("headers", "name", "age"),
    [
        ({"Server": "uvicorn"}, None, None),
        ({"server": "nginx/1.22.1"}, "server: nginx/1.22.1", None),
        ({"Server": "uvicorn", "Via": "1.1 Caddy"}, "via: 1.1 Caddy", None),
        (
            {"Server": "uvicorn", "X-Varnish": "2", "Age": "0", "Via": "1.1 varnish (Varnish/7.1)"},
            "via: 1.1 varnish (Varnish/7.1), x-varnish: 2",
            None,
        ),
        ({"X-Varnish": "32770 3", "Age": "0"}, "x-varnish: 32770 3", 0.0),  # a hit in its first second
        ({"X-Varnish": "32771 3", "Age": "87"}, "x-varnish: 32771 3", 87.0),
        ({"Age": "soon", "Server": "\x1b[2J"}, None, None),
    ],
)
def test_who_stands_between(headers: dict[str, str], name: str | None, age: float | None) -> None:
    found = gateway.kept(headers)
    assert (gateway.named(found), gateway.age(found)) == (name, age)
