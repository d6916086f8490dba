"""A receiver of OpenTelemetry's OTLP over HTTP that keeps the last value of every series; for the tests."""

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

Series = dict[tuple[str, frozenset[tuple[str, Any]]], Any]  # (name, attributes): the last data point


class Receiver:
    """`series` and their `units`: what has come so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.series: Series = {}
        self.units: dict[str, str] = {}

    def take(self, content: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(content).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    self.units[metric.name] = metric.unit
                    for point in getattr(metric, kind).data_points:
                        attributes = frozenset((each.key, _value(each.value)) for each in point.attributes)
                        self.series[metric.name, attributes] = point

    def points(self, name: str, **attributes: Any) -> list[Any]:
        """The last data points of a metric; an attribute's dots are written as __."""
        asked = {(key.replace("__", "."), value) for key, value in attributes.items()}
        return [point for (each, own), point in self.series.items() if each == name and asked <= own]


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # noqa: N802
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            found.take(content)
            answer = ExportMetricsServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
