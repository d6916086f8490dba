"""Real gateways before a server: started as they are packaged, or with the setting that cures them."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from bench.process import await_answer, stop_group
from common.ports import free_port
from common.usage import UsageError

_START_LIMIT = 90.0  # s; LiteLLM takes 20 on two cores
_VERSION = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True)
class Gateway:
    """A program that passes requests on.

    `config`, `each` (for each server) and `words` hold $port, $port2 (another free one), $server (host:port),
    $number, $folder, $config (the file's path) and $more: what a cause sets beside the packaged defaults.
    """

    program: str
    get: str  # how one comes by it
    words: str
    config: str = ""
    each: str = "$server"  # becomes $servers, with spaces between
    version: str = "--version"
    health: str = "/v1/models"
    environment: str = ""  # NAME=VALUE, with spaces between


GATEWAYS = {
    "HAProxy": Gateway(
        "haproxy",
        "apt install haproxy",
        "-f $config -db",
        "defaults\n mode http\n timeout connect 5000\n timeout client 50000\n timeout server 50000\n $more\n"
        "listen all\n bind 127.0.0.1:$port\n $servers\n",
        "server s$number $server\n",
        "-v",
    ),
    "nginx": Gateway(
        "nginx",
        "apt install nginx",
        "-e $folder/error.log -p $folder -c $config",
        "daemon off; pid $folder/pid; error_log $folder/error.log; worker_processes auto;\n"
        "events { worker_connections 768; }\nhttp { access_log off; sendfile on; tcp_nopush on; gzip on;\n"
        "client_body_temp_path $folder/a; proxy_temp_path $folder/b; fastcgi_temp_path $folder/c;\n"
        "uwsgi_temp_path $folder/d; scgi_temp_path $folder/e;\n"
        "server { listen 127.0.0.1:$port; location / { proxy_pass http://$servers; $more } } }\n",
        version="-v",
    ),
    "Varnish": Gateway(
        "varnishd",
        "apt install varnish",
        "-F -j none -n $folder/state -f $config -a 127.0.0.1:$port",
        'vcl 4.1;\nbackend default { .host = "$host"; .port = "$serverport"; }\n$more\n',
        version="-V",
    ),
    "Caddy": Gateway(
        "caddy",
        "apt install caddy",
        "run --adapter caddyfile --config $config",
        "{\n admin off\n auto_https off\n}\nhttp://127.0.0.1:$port {\n reverse_proxy $servers\n $more\n}\n",
        version="version",
        environment="HOME=$folder",
    ),
    "Apache": Gateway(
        "apache2",
        "apt install apache2",
        "-DFOREGROUND -f $config",
        "ServerRoot $folder\nServerName localhost\nPidFile $folder/pid\nErrorLog $folder/error.log\n"
        "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n"
        "LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n"
        "LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\n"
        "LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\n"
        "User www-data\nGroup www-data\nStartServers 2\nMinSpareThreads 25\nMaxSpareThreads 75\n"
        "ThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 150\n"
        "Listen 127.0.0.1:$port\n$more\nProxyPass / http://$servers/\n",
        version="-v",
    ),
    "LiteLLM": Gateway(
        "litellm",
        "pip install 'litellm[proxy]'",
        "--config $config --host 127.0.0.1 --port $port",
        "model_list:\n  - model_name: metronome\n"
        '    litellm_params: {model: hosted_vllm/metronome, api_base: "http://$servers/v1", api_key: none}\n',
        environment="LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true "
        "LITELLM_LOCAL_MODEL_COST_MAP=True",
    ),
    "vllm-router": Gateway(
        "vllm-router",
        "pip install vllm-router",
        "--host 127.0.0.1 --port $port --prometheus-port $port2 --worker-urls $servers $more",
        each="http://$server",
    ),
}


def missing(name: str) -> str | None:
    """What to do to have it here; None where it is here."""
    one = GATEWAYS[name]
    return None if _found(one) else f"{one.program} not found ({one.get})"


def version(name: str) -> str:
    """As the program tells it."""
    one = GATEWAYS[name]
    told = subprocess.run(
        [_found(one) or one.program, one.version], capture_output=True, text=True, timeout=60, check=False
    )
    found = _VERSION.search(told.stdout + told.stderr)
    return found[0] if found else "of a version that it does not tell"


@contextlib.contextmanager
def gateway(name: str, servers: Sequence[str], more: str = "") -> Iterator[str]:
    """Run it before the servers at these URLs; yields its own. Raises UsageError where it does not start."""
    if why := missing(name):
        raise UsageError(why)
    one, port = GATEWAYS[name], free_port()
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        places = [urlsplit(each).netloc for each in servers]
        host, _, number = places[0].partition(":")
        given = {"port": port, "port2": free_port(), "folder": folder, "config": f"{folder}/config"}
        given |= {"more": more, "host": host, "serverport": number}
        told = [Template(one.each).substitute(server=at, number=n) for n, at in enumerate(places)]
        given["servers"] = " ".join(told)
        config, log = Path(folder, "config"), Path(folder, "log")
        config.write_text(Template(one.config).substitute(given), encoding="utf-8")
        words = Template(one.words).substitute(given).split()
        environment = dict(each.split("=") for each in Template(one.environment).substitute(given).split())
        with log.open("w") as output:
            process = subprocess.Popen(
                [_found(one) or one.program, *words],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            health = f"http://127.0.0.1:{port}{one.health}"
            await_answer(process, health, _START_LIMIT, one.program, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            stop_group(process)


def _found(one: Gateway) -> str | None:
    return shutil.which(one.program) or shutil.which(one.program, path="/usr/sbin:/usr/local/sbin")
