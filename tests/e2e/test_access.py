"""Who may do what: every route, asked by everybody."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from functions.contract.operations import OPERATIONS
from shared.runs.access import Role
from tests.e2e.client import Api, principal
from tests.e2e.conftest import App, Serve

CALLERS = ("anonymous", "no-role", "reader", "operator", "approver", "key", "malformed")

# What a caller without the role gets: 401 where nobody is signed in, 403 where somebody is.
READER = {"anonymous": 401, "no-role": 403, "reader": 200, "operator": 200, "approver": 200, "key": 401}
OPERATOR = {"anonymous": 401, "no-role": 403, "reader": 403, "operator": 202, "approver": 202, "key": 401}
HOLD = OPERATOR | {"operator": 200, "approver": 200, "malformed": 401}
# The run that they are asked of has nothing to decide, write or stop: whoever may do it is told so.
CANCEL = OPERATOR | {"operator": 409, "approver": 409, "malformed": 401}
APPROVER = OPERATOR | {"operator": 403, "approver": 409, "malformed": 401}
KEY = {"anonymous": 401, "no-role": 401, "reader": 401, "operator": 401, "approver": 401, "malformed": 401}

ROUTES = {
    ("GET", "/api/health/live"): dict.fromkeys(CALLERS, 200),
    ("GET", "/api/health/ready"): READER | {"malformed": 401},
    ("GET", "/api/profiles"): READER | {"malformed": 401},
    ("GET", "/api/profiles/{profile}"): READER | {"malformed": 401},
    ("POST", "/api/profiles/{profile}/runs"): OPERATOR | {"malformed": 401},
    ("GET", "/api/runs"): READER | {"malformed": 401},
    ("GET", "/api/runs/{run}"): READER | {"malformed": 401},
    ("GET", "/api/runs/{run}/remaps"): READER | {"malformed": 401},
    ("GET", "/api/runs/{run}/remaps.csv"): READER | {"malformed": 401},
    ("GET", "/api/runs/{run}/events"): READER | {"malformed": 401},
    ("GET", "/api/runs/{run}/report"): READER | {"malformed": 401},
    ("GET", "/api/me"): READER | {"malformed": 401},
    ("GET", "/api/openapi.json"): READER | {"malformed": 401},
    ("POST", "/api/runs/{run}/approve"): APPROVER,
    ("POST", "/api/runs/{run}/reject"): APPROVER,
    ("POST", "/api/runs/{run}/resolve"): APPROVER | {"approver": 400},
    ("POST", "/api/runs/{run}/apply"): APPROVER,
    ("POST", "/api/runs/{run}/rollback"): APPROVER,
    ("POST", "/api/runs/{run}/cancel"): CANCEL,
    ("POST", "/api/profiles/{profile}/hold"): HOLD,
    ("DELETE", "/api/profiles/{profile}/hold"): HOLD,
    ("POST", "/api/hooks/runs"): KEY | {"key": 202},
    ("GET", "/api/hooks/runs?id={run}"): KEY | {"key": 200},
}
# It leads whoever is not signed in to the sign-in, and tells the others in its own words.
PAGE = {("GET", "/api/review"): READER | {"anonymous": 302, "key": 302, "malformed": 302}}
BODIES = {
    "approve": {"all": True, "fingerprint": "f"},
    "reject": {"all": True, "fingerprint": "f"},
    # nothing that could be decided: what it would meet depends on which of these tests has run before
    "resolve": {"machine": "m"},
}


WRITING = [route for route in ROUTES if route[0] != "GET"]


def test_the_table_has_every_operation_of_the_api() -> None:
    """And these are every route that the app registers: the unit tests of the OpenAPI document compare them."""
    places = {"{name}": "{profile}", "{id}": "{run}"}
    described = set()
    for operation in OPERATIONS:
        path = f"/api/{operation.route}"
        for ours, here in places.items():
            path = path.replace(ours, here)
        described.add((operation.method, path))
    assert {(method, path.partition("?")[0]) for method, path in ROUTES} == described


def test_the_role_that_is_described_is_the_least_that_is_let_in() -> None:
    least = {"reader": Role.READER, "operator": Role.OPERATOR, "approver": Role.APPROVER, "anonymous": Role.NONE}
    for operation in OPERATIONS:
        path = f"/api/{operation.route}".replace("{name}", "{profile}").replace("{id}", "{run}")
        row = next(
            row
            for (method, place), row in ROUTES.items()
            if (method, place.partition("?")[0]) == (operation.method, path)
        )
        let_in = [role for caller, role in least.items() if row[caller] not in (401, 403)]
        assert operation.role == min(let_in, default=None), operation.name


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("healthy") as running:
        yield running


@pytest.fixture(scope="module")
def run_id(app: App) -> str:
    return str(app.api.run(app.name)["id"])


def headers_of(caller: str, app: App) -> dict[str, str]:
    return {
        "anonymous": {},
        "no-role": principal(name="Nora"),
        "reader": principal("Reader", name="Riley"),
        "operator": principal("Operator"),
        "approver": principal("Approver", name="Ada"),
        "key": {"x-functions-key": app.sandbox.function_key},
        "malformed": {"X-MS-CLIENT-PRINCIPAL": "{}"},
    }[caller]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", [*ROUTES, *PAGE], ids=lambda route: f"{route[0]} {route[1]}")
def test_a_route_answers_each_caller_as_the_design_says(
    app: App, run_id: str, route: tuple[str, str], caller: str
) -> None:
    method, path = route
    body = {"profile": app.name} if "hooks" in path else BODIES.get(path.rpartition("/")[2], {})
    answer = app.api.call(
        method,
        path.format(profile=app.name, run=run_id),
        role=None,
        headers=headers_of(caller, app),
        **({"json": body} if method == "POST" else {}),
        allow_redirects=False,
    )
    assert answer.status_code == (ROUTES | PAGE)[route][caller], answer.text
    if answer.status_code in (401, 403) and "hooks" not in path and route not in PAGE:
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.json()["code"] == ("not-authenticated" if answer.status_code == 401 else "not-allowed")


def test_a_stranger_learns_nothing_but_that_a_sign_in_is_needed(app: App) -> None:
    for headers in ({"Prefer": "wait=999"}, {"Idempotency-Key": "k" * 300}):
        for profile in (app.name, "nowhere"):
            assert app.api.start(profile, {"mod": 1}, role=None, headers=headers).status_code == 401
    assert app.api.get("/api/runs/nowhere/remaps?limit=x", role=None).status_code == 401
    for action in ("approve", "reject", "resolve", "apply", "rollback", "cancel"):
        for role, status in ((None, 401), ("Reader", 403)):
            answer = app.api.post(f"/api/runs/nowhere/{action}?x=y", role=role, data=b"{", headers={"Prefer": "wait=x"})
            assert answer.status_code == status, answer.text
    for name in (app.name, "nowhere"):
        assert app.api.post(f"/api/profiles/{name}/hold", role="Reader", data=b"{").status_code == 403


def test_who_lacks_the_role_is_told_which_one_it_takes(app: App, run_id: str) -> None:
    refused = app.api.post(f"/api/runs/{run_id}/approve", json={})
    assert "Olive Operator may not approve remaps" in refused.json()["detail"]
    assert "Realign.Approver" in refused.json()["detail"]
    refused = app.api.post(f"/api/runs/{run_id}/cancel", role="Reader", json={})
    assert "Realign.Operator" in refused.json()["detail"]


def test_the_function_key_decides_nothing(app: App, run_id: str) -> None:
    for action in ("approve", "reject", "resolve", "apply", "rollback", "cancel"):
        headers = {"x-functions-key": app.sandbox.function_key}
        query = {"code": app.sandbox.function_key}
        answer = app.api.post(f"/api/runs/{run_id}/{action}", role=None, headers=headers, params=query, json={})
        assert answer.status_code == 401, answer.text


MALFORMED = {
    "no-base64": "%%%",
    "no-json": base64.b64encode(b"claims").decode(),
    "a-list": base64.b64encode(b"[]").decode(),
    "claims-are-no-list": base64.b64encode(b'{"claims": {"typ": "roles", "val": "Realign.Approver"}}').decode(),
    "deep": base64.b64encode(b"[" * 4_000).decode(),
    "no-name": base64.b64encode(b'{"claims": [{"typ": "roles", "val": "Realign.Approver"}]}').decode(),
    "odd-claims": base64.b64encode(b'{"claims": [7, {}, {"typ": 1, "val": 2}]}').decode(),
    "no-utf-8": base64.b64encode(b'{"claims": "\xff"}').decode(),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_principal_that_cannot_be_read_is_nobody(app: App, case: str) -> None:
    answer = app.api.get("/api/runs", role=None, headers={"X-MS-CLIENT-PRINCIPAL": MALFORMED[case]})
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "not-authenticated"


@pytest.mark.parametrize(
    "value", ["Approver", "realign.approver", "Realign.Approver ", "Realign.Admin", "Other.Approver"]
)
def test_only_the_apps_own_roles_count(app: App, value: str) -> None:
    document = {"name_typ": "name", "role_typ": "roles", "claims": [{"typ": "name", "val": "Eve"}]}
    document["claims"] += [{"typ": "roles", "val": value}, {"typ": "groups", "val": "Realign.Approver"}]  # type: ignore[operator]
    header = base64.b64encode(json.dumps(document).encode()).decode()
    assert app.api.get("/api/runs", role=None, headers={"X-MS-CLIENT-PRINCIPAL": header}).status_code == 403


def test_a_role_may_come_under_the_uri_that_the_principal_names(app: App) -> None:
    uri = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
    claims = [{"typ": "name", "val": "Uri"}, {"typ": uri, "val": "Realign.Reader"}]
    document = {"auth_typ": "aad", "name_typ": "name", "role_typ": uri, "claims": claims}
    header = base64.b64encode(json.dumps(document).encode()).decode()
    assert app.api.get("/api/runs", role=None, headers={"X-MS-CLIENT-PRINCIPAL": header}).status_code == 200


def test_a_wrong_function_key_opens_nothing(app: App) -> None:
    for key in ("", "wrong", app.sandbox.function_key + "x", app.sandbox.function_key[:-1]):
        assert app.api.hook("POST", key=key, json={"profile": app.name}).status_code == 401


def test_a_function_key_may_stand_in_the_query(app: App, run_id: str) -> None:
    answer = app.api.get(f"/api/hooks/runs?id={run_id}&code={app.sandbox.function_key}", role=None)
    assert answer.status_code == 200


def test_the_hook_never_reads_the_principal(app: App) -> None:
    answer = app.api.hook("POST", json={"profile": app.name}, headers=principal("Approver", name="Ada"))
    assert answer.json()["requestedBy"] == "function-key"
    approver = {"profile": app.name, "limits": {"maxChanges": 201}}
    assert app.api.hook("POST", json=approver, headers=principal("Approver", name="Ada")).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_starts_nothing(app: App, site: str) -> None:
    answer = app.api.start(app.name, headers={"Sec-Fetch-Site": site, "Origin": "https://evil.example"})
    assert answer.status_code == 403
    hook = app.api.hook("POST", json={"profile": app.name}, headers={"Sec-Fetch-Site": site})
    assert hook.status_code == 403


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route[0]} {route[1]}")
def test_a_page_of_another_site_changes_nothing(
    app: App, run_id: str, route: tuple[str, str], headers: dict[str, str]
) -> None:
    method, path = route
    body = {"profile": app.name} if "hooks" in path else BODIES.get(path.rpartition("/")[2], {})
    place = path.format(profile=app.name, run=run_id)
    before = app.api.of(run_id), app.api.get(f"/api/profiles/{app.name}").json(), len(app.api.all("/api/runs"))
    signed = {**headers, "x-functions-key": app.sandbox.function_key}
    answer = app.api.call(method, place, role="Approver", headers=signed, json=body)
    assert answer.status_code == 403
    assert "another site" in answer.json()["detail"]
    assert before == (
        app.api.of(run_id), app.api.get(f"/api/profiles/{app.name}").json(), len(app.api.all("/api/runs"))
    )  # fmt: skip


def test_an_origin_alone_proves_a_browser_of_another_site(app: App) -> None:
    assert app.api.start(app.name, headers={"Origin": "https://evil.example"}).status_code == 403
    assert app.api.start(app.name, headers={"Origin": "null"}).status_code == 403


def test_a_page_of_the_app_itself_may_start_runs(app: App) -> None:
    same = {"Sec-Fetch-Site": "same-origin", "Origin": app.api.url}
    assert app.api.start(app.name, headers=same).status_code == 202
    assert app.api.start(app.name, headers={"Origin": app.api.url}).status_code == 202


@pytest.mark.parametrize("setting", ["false", ""])
def test_a_principal_proves_nothing_while_easy_auth_is_off(serve: Serve, setting: str) -> None:
    with serve("healthy", {"WEBSITE_AUTH_ENABLED": setting}) as app:
        for (method, path), by_caller in ROUTES.items():
            answer = app.api.call(
                method,
                path.format(profile=app.name, run="0" * 23),
                role="Approver",
                **({"json": {}} if method == "POST" else {}),
            )
            assert answer.status_code == by_caller["anonymous"], path
        answer = Api(app.api.url).get("/api/runs", role="Approver")
        assert "Switch on App Service authentication" in answer.json()["detail"]
