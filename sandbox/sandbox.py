"""Everything outside of the app, for one scenario: simulators, vault, identity, relays and Azurite.

``with Sandbox(load("healthy")) as sandbox:`` starts all of it in this process (Azurite in a child) on free ports of
127.0.0.1, over TLS; ``sandbox.environ`` is what the app needs to find it.
"""

from __future__ import annotations

import json
import secrets
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from aiohttp import web

from sandbox.azurite import Azurite
from sandbox.calls import Calls
from sandbox.certificates import CertificateAuthority, ServerCertificate
from sandbox.citrix_daas import CitrixDaas
from sandbox.faults import Faults
from sandbox.front import Defects, Front, Origin, Simulator
from sandbox.holds import Holds
from sandbox.hybrid_connections import HybridConnections
from sandbox.identity import PATH, Identity
from sandbox.ingestion import Ingestion
from sandbox.premises import Premises, Relay, RelayKind
from sandbox.relay.service import RelayService
from sandbox.scenario import Endpoints, Expected, Scenario
from sandbox.server import Background, Server
from sandbox.storage_proxy import StorageProxy
from sandbox.vault import Vault
from sandbox.webhook import SECRET, WebhookReceiver
from sandbox.world import World

FAR_AWAY = "0 0 3 * * *"
SERVICES = ("blob", "queue", "table")
NO_PROXY = (
    "The fault storage-busy cannot strike here: this sandbox reaches its storage without a proxy. "
    "Start it with storage_proxy=True, or with the fault."
)


class DefectiveSandbox(AssertionError):
    """A simulator answered what its contract does not allow."""


class Sandbox:
    """``faults`` are set before the start, ``latency`` (seconds) delays each call, ``azurite`` may be a running one.

    With ``storage_proxy`` storage is reached through a proxy, so that ``storage-busy`` can be set at any time; without
    it that fault is refused unless it was among the first ``faults``.

    ``relay`` says how every Prism and, of a site on premises, every Delivery Controller is reached, whatever the
    scenario says: behind the simulated Azure Relay with that kind of listener, or by TCP relays alone (``tcp``).
    ``notify``: the scenario's profile tells the sandbox's webhook, which other profiles may name as well.
    ``telemetry``: the app exports what it tells about itself to the sandbox's ``ingestion``.
    ``judged``: every answer is checked against its contract, which costs the simulators half of their time.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        latency: float = 0.0,
        faults: Mapping[str, str | int | None] | None = None,
        azurite: Azurite | None = None,
        data_directory: Path | None = None,
        storage_proxy: bool = False,
        relay: RelayKind | None = None,
        judged: bool = True,
        notify: bool = False,
        telemetry: bool = False,
    ) -> None:
        self.scenario = scenario
        self.calls = Calls()
        self.faults = Faults()
        self.defects = Defects()
        self.holds = Holds()
        self.function_key = secrets.token_urlsafe(24)
        self.environ: dict[str, str] = {}
        self._first_faults = dict(faults or {})
        self._latency = latency
        self._azurite = azurite
        self._data_directory = data_directory
        self._storage_proxy = storage_proxy
        self._relay_kind = relay
        self._judged = judged
        self._notify = notify
        self._telemetry = telemetry
        self._fronts: list[Front] = []
        self._urls: dict[str, str] = {}
        self._stack = ExitStack()

    @property
    def world(self) -> World:
        return self.scenario.world

    @property
    def expected(self) -> Mapping[str, Expected]:
        """The right finding by machine id."""
        return self.scenario.expected

    @property
    def relays(self) -> dict[str, Relay]:
        """The way to each Prism."""
        return self._premises.relays

    @property
    def controller_relays(self) -> dict[str, Relay]:
        """The way to each Delivery Controller."""
        return self._premises.controller_relays

    @property
    def citrix_url(self) -> str:
        return self._urls["citrix"]

    @property
    def cvad_urls(self) -> dict[str, str]:
        """Where the app reaches each Delivery Controller: its relay, or its name where an Azure Relay leads to it."""
        return {name: _origin(relay) for name, relay in self.controller_relays.items()}

    @property
    def cvad_url(self) -> str | None:
        """The first Delivery Controller that is up."""
        states = self.world.site.controllers
        return next((url for name, url in self.cvad_urls.items() if states[name]), None)

    @property
    def vault_url(self) -> str:
        return self._urls["vault"]

    @property
    def prism_urls(self) -> dict[str, str]:
        """Where the app reaches each Prism: its relay, or its name where an Azure Relay leads to it."""
        return {name: _origin(relay) for name, relay in self.relays.items()}

    @property
    def azure_relay_url(self) -> str:
        """The namespace of the simulated Azure Relay."""
        return self._urls["relay"]

    @property
    def profile_file(self) -> Path:
        return Path(self.environ["REALIGN_PROFILES"], f"{self.scenario.profile_name}.json")

    @property
    def ca_file(self) -> Path:
        """The authority of Citrix, the vault and Azurite."""
        return self._public.ca_file

    @property
    def corporate_ca_pem(self) -> str:
        """The authority of the Prisms: only the vault's secret names it."""
        return self._corporate.ca_pem

    def corporate_certificate(self, *names: str) -> ServerCertificate:
        """One more of the authority that the Prisms' certificates are from."""
        return self._corporate.certificate(*names)

    def set_latency(self, seconds: float) -> None:
        for front in self._fronts:
            front.latency = seconds

    def start(self) -> None:
        """Raises what could not be started; then nothing is left running."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise

    def stop(self) -> None:
        """Ends all of it. Raises ``DefectiveSandbox`` where a simulator broke its contract."""
        self.holds.release_all()
        self.webhook.delay = 0.0
        self._stack.close()
        if self.defects.found:
            raise DefectiveSandbox("; ".join(self.defects.found))

    def serve(self, app: web.Application, certificate: ServerCertificate | None = None) -> Server:
        """One more server beside the simulators, ended with them."""
        server = Server(self.background, app, certificate)
        server.start()
        self._stack.callback(server.stop)
        return server

    def _start(self) -> None:
        self._public = self._stack.enter_context(CertificateAuthority("Realign sandbox"))
        self._corporate = self._stack.enter_context(CertificateAuthority("Realign sandbox corporate"))
        self.background = Background()
        self._stack.callback(self.background.stop)
        certificate = self._public.certificate()
        self.identity = Identity(self.calls)
        self._start_azure_relay(certificate)
        self._urls["citrix"] = self._simulate(CitrixDaas(self.world, self.faults), certificate).url
        self._start_premises()
        identity = self.serve(self.identity.app)
        self.vault = Vault(self.identity, self.faults, self.calls, self.holds)
        vault = self.serve(self.vault.app, certificate)
        self.vault.port = vault.port
        self._urls["vault"] = vault.url
        for name, value in self.scenario.secrets(self.corporate_ca_pem).items():
            self.vault.put(name, value)
        self.vault.put(*self.scenario.controllers_secret())
        self.webhook = WebhookReceiver(self.calls)
        self.webhook.url = self.serve(self.webhook.app, certificate).url
        self.vault.put(SECRET, self.webhook.secret())
        self.ingestion = Ingestion(self.identity, self.calls)
        self.ingestion.url = self.serve(self.ingestion.app, certificate).url
        for name, setting in self._first_faults.items():
            self.faults.set(name, setting)
        self.environ = self._environ(identity.url + PATH, self._storage(), self._profiles())

    def _simulate(self, simulator: Simulator | Origin, certificate: ServerCertificate) -> Server:
        front = Front(simulator, self.calls, self.defects, self._latency, self.holds, judged=self._judged)
        self._fronts.append(front)
        return self.serve(front.app, certificate)

    def _start_azure_relay(self, certificate: ServerCertificate) -> None:
        self.azure_relay = RelayService(self.identity, self.faults, self.calls)
        self._urls["relay"] = self.serve(self.azure_relay.app, certificate).url
        trust = ssl.create_default_context(cafile=str(self._public.ca_file))
        namespace = self.azure_relay_url.removeprefix("https://")
        self._hybrid = HybridConnections(self.background, self.azure_relay, namespace, trust)

    def _start_premises(self) -> None:
        def simulate(origin: Simulator | Origin, names: tuple[str, ...]) -> Server:
            return self._simulate(origin, self._corporate.certificate(*names))

        self._premises = Premises(self.world, self.faults, self.background, self._relay_kind)
        try:
            self._premises.start(simulate, self._hybrid)
        finally:
            # So that it ends before what it leads to.
            self._stack.callback(self._premises.stop)

    def _storage(self) -> str:
        azurite = self._azurite
        if azurite is None:
            azurite = self._stack.enter_context(Azurite(directory=self._data_directory))
        text = azurite.connection_string
        if not self._storage_proxy and not self.faults.is_on("storage-busy"):
            self.faults.rule_out("storage-busy", NO_PROXY)
            return text
        for service, url in zip(SERVICES, (azurite.blob_url, azurite.queue_url, azurite.table_url), strict=True):
            proxy = self.serve(StorageProxy(service, url, self.faults, self.calls, self.holds).app)
            text = text.replace(url.rsplit("/", 1)[0], proxy.url)
        return text

    def _timers(self) -> str:
        """Where the host keeps the last occurrence of each timer: it lasts as long as the storage does."""
        if self._data_directory is not None:
            return str(self._data_directory / "timers")
        return self._stack.enter_context(tempfile.TemporaryDirectory(prefix="realign-sandbox-timers-"))

    def _profiles(self) -> str:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="realign-sandbox-profiles-"))
        endpoints = Endpoints(
            citrix=self.citrix_url,
            prism={name: relay.place for name, relay in self.relays.items()},
            controllers=tuple(relay.place for relay in self.controller_relays.values()),
            routes={way.behind.host: way.route for way in self._premises.behind_azure()},
        )
        document = self.scenario.profile_document(endpoints)
        if self._notify:
            document["notify"] = self.webhook.profile_part()
        text = json.dumps(document, indent=2)
        Path(folder, f"{self.scenario.profile_name}.json").write_text(text, encoding="utf-8")
        return folder

    def _environ(self, identity_url: str, connection_string: str, profiles: str) -> dict[str, str]:
        return {
            "AzureWebJobsStorage": connection_string,
            "KEY_VAULT_URL": self.vault_url,
            "IDENTITY_ENDPOINT": identity_url,
            "IDENTITY_HEADER": self.identity.header,
            "REALIGN_NOTIFY_HOSTS": self.webhook.place,
            "REALIGN_PROFILES": profiles,
            "REALIGN_SCHEDULE": FAR_AWAY,
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
            "SANDBOX_FUNCTION_KEY": self.function_key,
            "SANDBOX_TIMER_STATUS": self._timers(),
            "WEBSITE_AUTH_ENABLED": "true",
            **(self.ingestion.settings() if self._telemetry else {}),
        }

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _origin(relay: Relay) -> str:
    host, port = relay.place
    return f"https://{host}:{port}"
