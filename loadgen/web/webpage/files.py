"""Files of results/ for a browser: nothing outside, nothing hidden, nothing that runs but our own reports."""

import html
import mimetypes
from pathlib import Path
from urllib.parse import quote

from flask import Response, make_response, send_file

from common.results import results_folder

REPORT = "report.html"  # brings a policy of its own for what may run in it
PLAIN = (".json", ".log", ".md", ".txt", ".csv", ".yaml")  # shown as text
SHOWN = (*PLAIN, ".html", ".svg", ".png")  # a browser keeps the rest
POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
STYLE = ":root{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif} li{overflow-wrap:anywhere}"


def inside(path: str) -> Path | None:
    """The file or folder of this path in results/; None where there is none, or none that may be shown:
    nothing hidden, nothing outside, not even by a link."""
    if "\0" in path or any(part.startswith(".") for part in Path(path).parts):
        return None
    root = results_folder().resolve()
    found = (root / path).resolve()
    return found if found.is_relative_to(root) and found.exists() else None


def address(path: Path) -> str | None:
    """The path in results/ of a file or folder; None where it is elsewhere."""
    root, found = results_folder().resolve(), path.resolve()
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else None


def file_response(path: Path) -> Response:
    """A file as it is: to look at where that is safe, else to keep."""
    kind = "text/plain" if path.suffix in PLAIN else mimetypes.guess_type(path.name)[0]
    response = make_response(
        send_file(
            path.absolute(),
            mimetype=kind or "application/octet-stream",
            as_attachment=path.suffix not in SHOWN,
            download_name=path.name,
        )
    )
    response.headers["Content-Security-Policy"] = "frame-ancestors 'self'" if path.name == REPORT else POLICY
    return response


def folder_response(folder: Path) -> Response:
    """What is in a folder, as links."""
    shown = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    names = [f"{path.name}/" if path.is_dir() else path.name for path in shown]
    links = "".join(f'<li><a href="./{quote(name)}">{html.escape(name)}</a></li>' for name in names)
    title = html.escape(address(folder) or folder.name)
    response = make_response(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1><ul>{links}</ul></html>"
    )
    response.headers["Content-Security-Policy"] = POLICY
    return response
