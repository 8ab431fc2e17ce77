"""The files of the review page over HTTP: who gets the document, what may be kept, and what is refused. And ``me``."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from sandbox.npm import node
from tests.e2e.client import principal
from tests.e2e.conftest import App, Serve

PAGE = Path(__file__).parents[2] / "functions" / "page"
MODULES = sorted(PAGE.glob("*.js"))


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("healthy") as running:
        yield running


def get(app: App, path: str, role: str | None = "Reader", **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.api.get(f"/api/review{path}", role=role, headers=named, allow_redirects=False)


def files_of(document: str) -> list[str]:
    return re.findall(r'(?:src|href)="/api/review(/v-[^"]+)"', document)


VIEWS = (
    "",
    "/",
    "/runs",
    "/runs/99f1",
    "/runs/99f1/history",
    "/runs/99f1/machines/a1",
    "/profiles",
    "/health",
    "/start",
)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_the_one_document(app: App, view: str) -> None:
    answer = get(app, view)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text == get(app, "").text


@pytest.mark.parametrize("view", [*VIEWS, "/runs?status=failed&profile=emea-vdi", "/start?profile=a%26b"])
def test_whoever_is_signed_out_comes_to_the_sign_in_and_back(app: App, view: str) -> None:
    answer = get(app, view, role=None)
    back = quote(f"/api/review{view}".rstrip("/"), safe="")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/.auth/login/aad?post_login_redirect_uri={back}"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["//evil.example", "/%2F%2Fevil.example/", "/runs/%2Fevil.example", "/\\evil.example"])
def test_the_way_back_never_leaves_the_page(app: App, path: str) -> None:
    answer = requests.Request("GET", f"{app.api.url}/api/review").prepare()
    answer.url = f"{app.api.url}/api/review{path}"
    with requests.Session() as session:
        session.trust_env = False
        told = session.send(answer, allow_redirects=False)
    assert told.status_code in (302, 404)
    if told.status_code == 302:
        back = told.headers["Location"].removeprefix("/.auth/login/aad?post_login_redirect_uri=")
        assert back.startswith("%2Fapi%2Freview%2F")
        assert not back.startswith("%2Fapi%2Freview%2F%2F")


def test_without_a_role_the_document_comes_with_403_and_without_sign_in_with_401(app: App, serve: Serve) -> None:
    refused = app.api.call("GET", "/api/review", role=None, headers=principal(name="Nora"))
    assert (refused.status_code, refused.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    with serve("healthy", {"WEBSITE_AUTH_ENABLED": "false"}) as other:
        off = get(other, "")
        assert (off.status_code, off.headers["Cache-Control"]) == (401, "no-store")
        assert other.api.get("/api/me").status_code == 401


def test_signed_out_is_shown_to_everybody(app: App) -> None:
    assert get(app, "/signed-out", role=None).status_code == 200


def test_the_files_are_kept_for_good_and_the_document_is_not(app: App) -> None:
    document = get(app, "")
    assert document.headers["Cache-Control"] == "no-cache"
    files = files_of(document.text)
    assert files
    for path in files:
        answer = get(app, path, role=None)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert get(app, path, If_None_Match=answer.headers["ETag"]).status_code == 304
    stale = re.sub(r"v-[0-9a-f]{8}", "v-0badcafe", files[0])
    assert get(app, stale).headers["Cache-Control"] == "no-cache", "another version's address is not kept"


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_what_a_browser_has_is_not_sent_again(app: App, known: str) -> None:
    etag = get(app, "").headers["ETag"]
    answer = get(app, "", If_None_Match=known.format(etag))
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert get(app, "", If_None_Match='"other"').status_code == 200


def test_what_is_no_tag_is_refused(app: App) -> None:
    refused = get(app, "", If_None_Match="no tag")
    assert (refused.status_code, refused.json()["field"]) == (400, "If-None-Match")


@pytest.mark.parametrize("path", ["", "/signed-out", "/app.js", "/style/base.css", "/icon.svg"])
def test_nothing_foreign_and_nothing_inline_may_run(app: App, path: str) -> None:
    headers = get(app, path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2freview_page.py", "/%2e%2e/review_page.py", "/..%5creview_page.py", "/style/..%2findex.html",
        "/index.html", "/style", "/style/", "/review_page.py", "/v-00000000/", "/v-00000000/../app.py",
        "/etc/passwd", "/%00", "/nothing.js", "/runs/a/b", "/runs/a/machines", "/profiles/emea-vdi",
    ],
)  # fmt: skip
def test_what_is_no_file_and_no_view_is_not_found(app: App, path: str) -> None:
    request = requests.Request("GET", app.api.url, headers=principal("Reader")).prepare()
    request.url = f"{app.api.url}/api/review{path}"  # as it is: the library would tidy it up
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(request, allow_redirects=False)
    assert b"import " not in answer.content
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(app: App, method: str) -> None:
    for path in ("/api/review", "/api/me"):
        answer = app.api.call(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("role", "roles"),
    [
        ("Reader", ["Realign.Reader"]),
        ("Operator", ["Realign.Reader", "Realign.Operator"]),
        ("Approver", ["Realign.Reader", "Realign.Operator", "Realign.Approver"]),
    ],
)
def test_me_names_the_roles_that_count(app: App, role: str, roles: list[str]) -> None:
    answer = app.api.get("/api/me", role=role)
    assert (answer.status_code, answer.json()) == (200, {"name": "Olive Operator", "roles": roles})


def test_me_refuses_strangers_and_parameters(app: App) -> None:
    assert app.api.get("/api/me", role=None).status_code == 401
    assert app.api.call("GET", "/api/me", role=None, headers=principal(name="Nora")).status_code == 403
    assert app.api.get("/api/me?role=Approver").status_code == 400


def test_the_document_asks_for_every_module_at_once() -> None:
    document = (PAGE / "index.html").read_text(encoding="utf-8")
    asked = re.findall(r'(?:modulepreload" href|script type="module" src)="/api/review/v-00000000/([^"]+)"', document)
    assert sorted(asked) == [module.name for module in MODULES]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_module_parses_a_text_as_html_or_reaches_for_another_site(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function", text
    )
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert len(text.splitlines()) <= 300
    with module.open("rb") as code:
        done = subprocess.run([node(), "--check", "--input-type=module"], stdin=code, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
