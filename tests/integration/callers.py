"""Sessions that talk to the simulators, and an independent judge of what they answer: ``openapi-core``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import requests
import yaml
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse

from sandbox.sandbox import Sandbox
from sandbox.world import Prism

DOCUMENTS = Path(__file__).parents[1] / "contracts"
V2 = "/PrismGateway/services/rest/v2.0"
V3 = "/api/nutanix/v3"


@functools.lru_cache
def _document(name: str) -> Any:
    return yaml.load((DOCUMENTS / name).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)  # noqa: S506 - safe


@functools.lru_cache
def _judge(name: str, server: str, sign_in: str) -> OpenAPI:
    document = dict(_document(name), servers=[{"url": server}])
    # The token service has servers of its own in the document; here it is the same origin without the base path.
    paths = {path: dict(item) for path, item in document["paths"].items()}
    for item in paths.values():
        if "servers" in item:
            item["servers"] = [{"url": sign_in}]
    return OpenAPI.from_dict(document | {"paths": paths})


def judged(answer: requests.Response, document: str, server: str, sign_in: str) -> requests.Response:
    """The answer, when request and answer are as the document says; openapi-core raises otherwise."""
    judge = _judge(document, server, sign_in)
    request = RequestsOpenAPIRequest(answer.request)
    if answer.status_code < 400:
        judge.validate_request(request)
    judge.validate_response(request, RequestsOpenAPIResponse(answer))
    return answer


class PrismCaller:
    """Calls one simulated Prism through its relay, with its own credential."""

    def __init__(self, sandbox: Sandbox, name: str, ca_file: Path) -> None:
        self.prism: Prism = sandbox.world.prisms[name]
        self.url = sandbox.prism_urls[name]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(ca_file)
        self.session.auth = (self.prism.username, self.prism.password)

    def get(self, path: str, **more: Any) -> requests.Response:
        return judged(self.session.get(self.url + path, timeout=20, **more), "prism.openapi.yaml", self.url, self.url)

    def options(self, path: str) -> requests.Response:
        answer = self.session.request("OPTIONS", self.url + path, timeout=20)
        return judged(answer, "prism.openapi.yaml", self.url, self.url)

    def post(self, path: str, body: Any, **more: Any) -> requests.Response:
        answer = self.session.post(self.url + path, json=body, timeout=20, **more)
        return judged(answer, "prism.openapi.yaml", self.url, self.url)


class CitrixCaller:
    """Signs in to the simulated Citrix and sends what the contract asks of every request."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.site = sandbox.world.site
        self.url = sandbox.citrix_url
        self.base = f"{self.url}/cvad/manage"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(sandbox.ca_file)
        self.session.headers.update(
            {
                "Accept": "application/json",
                "Citrix-CustomerId": self.site.customer_id,
                "Citrix-InstanceId": self.site.id,
            }
        )

    def sign_in(
        self, *, client: str | None = None, secret: str | None = None, customer: str | None = None
    ) -> requests.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": client or self.site.client_id,
            "client_secret": secret or self.site.client_secret,
        }
        url = f"{self.url}/cctrustoauth2/{customer or self.site.customer_id}/tokens/clients"
        answer = self._judged(self.session.post(url, data=form, timeout=20))
        if answer.status_code == 200:
            self.session.headers["Authorization"] = f"CWSAuth bearer={answer.json()['access_token']}"
        return answer

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self._judged(self.session.request(method, self.base + path, timeout=20, **more))

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Every page of a list, by continuation token."""
        pages = [self.get(path, params=query).json()]
        while pages[-1]["ContinuationToken"]:
            pages.append(self.get(path, params=query | {"continuationToken": pages[-1]["ContinuationToken"]}).json())
        return pages

    def _judged(self, answer: requests.Response) -> requests.Response:
        return judged(answer, "citrix-daas.openapi.yaml", self.base, self.url)
