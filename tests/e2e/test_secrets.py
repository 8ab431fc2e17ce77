"""No secret shows anywhere: each one carries a marker, and everything that the app lets out is searched for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import pytest

from sandbox.azurite import KEY
from sandbox.certificates import CertificateAuthority
from sandbox.scenario import load
from shared.azure.storage import TABLES
from tests.e2e.client import Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.test_failures import cluster, site

PLANTED = {
    "the Citrix client secret": "marker-client-secret-7f3a",
    "the password of Paris": 'marker-paris "\\<&% ü-51c9',
    "the password of Amsterdam": "marker-amsterdam:@/=-9e02",
    "a wrong password": "marker-wrong-password-44d1",
    "a wrong client secret": "marker-wrong-client-b7e8",
    "a malformed secret of a cluster": "marker-malformed-cluster-c3a1",
    "a malformed secret of a site": "marker-malformed-site-d4b2",
    "a CA that is none": "marker-in-a-ca-e5c3",
    "a secret in a profile": "marker-pasted-into-a-profile-f6d4",
    "the storage account's key": KEY,
    "the start of a Citrix token": "eyJhbGciOiJub25lIn0.",
    "the start of an Entra token": base64.urlsafe_b64encode(b'{"alg":"RS256"').decode()[:18],
}
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "500"}  # milliseconds
MIDDLES = ("marker-paris", "marker-amsterdam", "marker-malformed", "marker-in-a-ca", "marker-wrong")


@dataclass
class Story:
    """Everything that came out of the app on its good and its bad days, and every secret by what it is."""

    app: App
    runs: dict[str, Json]
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def story(serve: Serve) -> Iterator[Story]:
    scenario = load("planned-migration")
    world = scenario.world
    world.site.client_secret = PLANTED["the Citrix client secret"]
    world.prisms["paris"].password = PLANTED["the password of Paris"]
    world.prisms["amsterdam"].password = PLANTED["the password of Amsterdam"]
    with serve(scenario, OFTEN, telemetry=True, notify=True) as app:
        secrets = {
            **PLANTED,
            "the key of the webhook": app.sandbox.webhook.key.removeprefix("whsec_"),
            "the address of the webhook": "a-secret-of-its-own",
            "the telemetry's connection string": app.sandbox.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"],
            "the header of the identity endpoint": app.sandbox.identity.header,
            "the function key": app.sandbox.function_key,
        }
        runs = bad_days(app)
        assert app.api.approve(runs["good"])["status"] == "completed"
        assert app.api.rollback(runs["good"]["id"])["status"] == "rolled-back"
        app.api.fire("watch")
        for path in ("/api/health/ready", "/api/profiles", "/api/runs"):
            assert app.api.get(path).status_code == 200
        for run in runs.values():
            for below in ("", "/remaps", "/remaps.csv", "/events"):
                assert app.api.get(f"/api/runs/{run['id']}{below}").status_code == 200
        app.queue().send_message("this cannot be decoded")
        app.queue("realign-work-poison").send_message(base64.b64encode(b'{"run": 7}').decode())
        eventually(lambda: told(app, "realign.dependency.ready") and told(app, "realign.poison"))
        secrets["a signature for the webhook"] = app.sandbox.webhook.told[0].headers["webhook-signature"]
        yield Story(app, runs, secrets)


def told(app: App, metric: str) -> list[Json]:
    """The points of a metric that were exported."""
    return [data for data in app.sandbox.ingestion.of_kind("MetricData") if data["metrics"][0]["name"] == metric]


def bad_days(app: App) -> dict[str, Json]:
    put, user = app.sandbox.vault.put, "svc-realign"
    put("prism-wrong", json.dumps({"username": user, "password": PLANTED["a wrong password"]}))
    put("prism-malformed", json.dumps({"user": user, "pass": PLANTED["a malformed secret of a cluster"]}))
    put("prism-text", PLANTED["a malformed secret of a cluster"])
    client = app.sandbox.world.site.client_id
    put("citrix-wrong", json.dumps({"clientId": client, "clientSecret": PLANTED["a wrong client secret"]}))
    put("citrix-malformed", f"ID,Secret,More\n{client},{PLANTED['a malformed secret of a site']},x\n")
    put("bad-ca", f"-----BEGIN CERTIFICATE-----\n{PLANTED['a CA that is none']}\n-----END CERTIFICATE-----\n")
    with CertificateAuthority("Somebody else") as other:
        put("other-ca", other.ca_pem)
    changes: dict[str, Json] = {
        "good": {},
        "wrong-password": {"clusters": cluster(app, "paris", credential="prism-wrong")},
        "malformed-json": {"clusters": cluster(app, "paris", credential="prism-malformed")},
        "malformed-text": {"clusters": cluster(app, "paris", credential="prism-text")},
        "no-ca": {"clusters": cluster(app, "paris", ca="bad-ca")},
        "other-ca": {"clusters": cluster(app, "paris", ca="other-ca")},
        "wrong-client": {"site": site(app, credential="citrix-wrong")},
        "malformed-site": {"site": site(app, credential="citrix-malformed")},
    }
    runs = {name: app.api.run(app.add_profile(name, **change)) for name, change in changes.items()}
    for fault, value in (("prism-500", None), ("prism-truncated", "1000"), ("vault-denied", None), ("token-expiry", 1)):
        app.sandbox.faults.set(fault, value)
        runs[fault] = app.api.run(app.add_profile(fault))
        app.sandbox.faults.clear(fault)
    pasted = {"username": user, "password": PLANTED["a secret in a profile"]}
    app.add_profile("pasted", clusters=cluster(app, "paris", credential=json.dumps(pasted)))
    app.add_profile("pasted-object", site=site(app, credential=pasted))
    login = f"https://{user}:{PLANTED['a secret in a profile']}@127.0.0.1"
    app.add_profile("pasted-url", site=site(app, baseUrl=login))
    for name in ("pasted", "pasted-object", "pasted-url"):
        assert app.api.start(name).status_code == 409
    return runs


def spellings(secret: str) -> set[str]:
    """A secret as JSON, a URL or a Basic header would carry it."""
    basic = base64.b64encode(f"svc-realign:{secret}".encode()).decode()
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        basic,
    }


def shown(text: str, secrets: dict[str, str]) -> list[str]:
    found = [what for what, secret in secrets.items() if any(spelling in text for spelling in spellings(secret))]
    return found + [middle for middle in MIDDLES if middle in text]


def test_the_stories_went_as_they_should(story: Story) -> None:
    """Where nothing was signed in and nothing was refused there would be nothing to leak."""
    statuses = {name: run["status"] for name, run in story.runs.items()}
    failed = {name for name, status in statuses.items() if status == "failed"}
    assert failed == {"wrong-client", "malformed-site", "vault-denied"}
    spoilt = ("wrong-password", "malformed-json", "malformed-text", "no-ca", "other-ca", "prism-500", "prism-truncated")
    for name in spoilt:
        assert story.runs[name]["clusters"][0]["error"], name
    assert story.runs["good"]["counts"]["findings"] == {"aligned": 4, "remap": 23}
    calls = story.app.sandbox.calls
    assert calls.count("citrix", "POST") > 5
    assert calls.count("identity") >= 1


def test_the_search_finds_what_it_looks_for(story: Story) -> None:
    for what, secret in story.secrets.items():
        assert what in shown(f"Traceback ... {secret} ...", story.secrets)
        assert what in shown(json.dumps({"error": f"<{secret}>"}), story.secrets)


def test_no_secret_is_in_the_log(story: Story) -> None:
    log = story.app.host.full_log()
    assert "planned run=" in log
    assert shown(log, story.secrets) == []


def test_no_secret_is_in_a_table(story: Story) -> None:
    for table in TABLES:
        rows = story.app.rows(table)
        assert rows or table in ("locks", "idempotency"), table
        assert shown(repr(rows), story.secrets) == [], table
        assert shown(json.dumps(rows, default=str), story.secrets) == [], table


def test_no_secret_is_in_a_queue(story: Story) -> None:
    for name in ("realign-work", "realign-work-poison"):
        messages = [message.content for message in story.app.queue(name).peek_messages(32)]
        decoded = [base64.b64decode(text + "===", validate=False) for text in messages]
        assert shown(f"{messages}{decoded}", story.secrets) == []


def test_no_secret_is_in_an_answer(story: Story) -> None:
    answers = story.app.api.answers
    assert len(answers) > 50
    assert any("application/problem+json" in answer for answer in answers)
    for answer in answers:
        assert shown(answer, story.secrets) == [], answer[:300]


def test_only_a_histogram_is_exported_with_its_extremes(story: Story) -> None:
    """The alerts go by the sum and the count: of a gauge and a counter there is nothing else."""
    points = [data["metrics"][0] for data in story.app.sandbox.ingestion.of_kind("MetricData")]
    ready = [point for point in points if point["name"] == "realign.dependency.ready"]
    assert {(point["value"], point["count"]) for point in ready} == {(0, 1), (1, 1)}
    assert {point["name"] for point in points if "max" in point} == {"realign.run.seconds"}


def test_no_secret_is_in_what_telemetry_exports(story: Story) -> None:
    """A run from plan to roll back, every bad day, a look at what is ready and a poison message."""
    intake = story.app.sandbox.ingestion
    spans = intake.of_kind("RemoteDependencyData")
    good = [span for span in spans if span["properties"].get("run.id") == story.runs["good"]["id"]]
    assert {"step plan", "step apply", "step rollback", "step notify", "run"} <= {span["name"] for span in good}
    systems = {span["properties"]["system"] for span in spans if "system" in span["properties"]}
    assert systems == {"citrix", "identity", "prism", "storage", "vault", "webhook"}
    assert {span["properties"].get("failure") for span in spans} >= {"401", "403", "500", "malformed", "tls"}
    assert told(story.app, "realign.retries")
    for envelope in intake.envelopes:
        assert shown(json.dumps(envelope), story.secrets) == [], envelope
        assert shown(json.dumps(envelope, ensure_ascii=False), story.secrets) == [], envelope


def test_what_telemetry_exports_is_spans_and_metrics_and_no_line_of_the_log(story: Story) -> None:
    """The host sends the log; exported by the app as well, every line would be there twice."""
    kinds = {envelope["data"]["baseType"] for envelope in story.app.sandbox.ingestion.envelopes}
    assert kinds == {"RemoteDependencyData", "MetricData"}
    metrics = {data["metrics"][0]["name"] for data in story.app.sandbox.ingestion.of_kind("MetricData")}
    assert {name.partition(".")[0] for name in metrics} == {"realign"}
    assert story.app.sandbox.ingestion.refused == 0


def test_no_secret_is_in_a_profile_file_or_its_errors(story: Story) -> None:
    items = {item["name"]: item for item in story.app.api.get("/api/profiles").json()["items"]}
    for name in ("pasted", "pasted-object", "pasted-url"):
        assert items[name]["errors"], name
        assert shown(json.dumps(items[name]), story.secrets) == []
    assert urlsplit(items["good"]["profile"]["site"]["baseUrl"]).username is None
