"""Who the app is in Entra ID: a token credential for the Azure SDK clients, on msal.

On App Service the managed identity's token endpoint answers; on a laptop a service principal with a secret or a
certificate (contract ``azure.md``, section 4.3). msal returns errors as dictionaries, does not retry and sets no
time-out: the session below and ``MsalCredential`` add what is missing. Its dictionaries hold tokens and are never
logged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msal
import requests
from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError
from jwt import PyJWTError
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from shared.azure.transport import session_over
from shared.call_failure import excerpt
from shared.errors import Upstream
from shared.settings.identity import IdentitySettings, load_identity
from shared.settings.trust import TrustSettings
from shared.telemetry import telling
from shared.telemetry.call import Call
from shared.transport import Proxies, Transport, trust_anchors

_READ_TIMEOUT = 15.0  # seconds
_RETRIES = 3
_LONGEST_DESCRIPTION = 300


class _TokenSource(Protocol):
    """One way to a token. ``who`` and ``remedy`` make the error sentences, in which nothing of ``hidden`` may show."""

    who: str
    remedy: str
    hidden: tuple[str, ...]

    def token(self, scope: str, claims: str | None) -> Mapping[str, Any]: ...


def _session(trust: TrustSettings) -> requests.Session:
    """What msal calls over. Raises ``Upstream`` when the certificates to trust cannot be read."""
    # Asking for a token twice does no harm, so the POST of a service principal is repeated too.
    retry = Retry(
        total=_RETRIES,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET", "POST"),
        backoff_factor=0.4,
        backoff_jitter=0.3,
        backoff_max=4,
        retry_after_max=5,
        raise_on_status=False,
    )
    anchors, proxies = trust_anchors(None, trust.variables), Proxies.of(trust.variables)
    transport = _TokenTransport(anchors, proxies, read_timeout=_READ_TIMEOUT, retries=retry, system="identity")
    session = session_over(transport)
    session.headers["Connection"] = "close"  # a token lasts for hours, an idle connection does not
    return session


class _TokenTransport(Transport):
    """Tells telemetry of each request; its attempts are urllib3's, so one call stands for all of them."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        told = Call.to(self.system, request.method or "", request.url or "", attempt=1)
        try:
            response = super().send(request, *args, **options)
        except requests.RequestException as error:
            cause = error.args[0] if error.args else None
            if isinstance(cause, MaxRetryError):
                told.took(1 + _RETRIES)
            told.failed("timeout" if isinstance(error, requests.Timeout) else "unreachable")
            telling.called(told)
            raise
        retries = getattr(response.raw, "retries", None)
        told.took(1 + (len(retries.history) if retries is not None else 0))
        told.answered(response.status_code, response.headers)
        telling.called(told)
        return response


class _ManagedIdentity:
    who = "The app's managed identity"
    remedy = "Check that the identity is switched on and that the client id names one that the app has."

    def __init__(self, settings: IdentitySettings) -> None:
        session = _session(TrustSettings())  # the endpoint is on the app's own host: never through a proxy
        self.hidden: tuple[str, ...] = (settings.header,) if settings.header else ()
        identity = (
            msal.UserAssignedManagedIdentity(client_id=settings.client_id)
            if settings.client_id
            else msal.SystemAssignedManagedIdentity()
        )
        self._client = msal.ManagedIdentityClient(identity, http_client=session)

    def token(self, scope: str, claims: str | None) -> Mapping[str, Any]:
        # Without App Service's variables msal would try the address of a virtual machine's endpoint instead.
        if msal.managed_identity.get_managed_identity_source() != msal.managed_identity.APP_SERVICE:
            return {"error": "no_endpoint", "error_description": "IDENTITY_ENDPOINT and IDENTITY_HEADER are not set"}
        result: Mapping[str, Any] = self._client.acquire_token_for_client(
            resource=scope.removesuffix("/.default"), claims_challenge=claims
        )
        return result


class _ServicePrincipal:
    who = "The app registration"
    remedy = "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and that its secret or certificate has not expired."

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self.hidden: tuple[str, ...] = (settings.client_secret,) if settings.client_secret else ()
        self._session: requests.Session | None = None
        self._client: msal.ConfidentialClientApplication | None = None

    def token(self, scope: str, claims: str | None) -> Mapping[str, Any]:
        if self._client is None:  # its constructor asks for the tenant's metadata, so it belongs to the first use
            self._session = self._session or _session(self._settings.trust)
            self._client = msal.ConfidentialClientApplication(
                self._settings.client_id,
                client_credential=self._client_credential(),
                authority=f"{self._settings.authority}/{self._settings.tenant_id}",
                http_client=self._session,
                instance_discovery=False,
            )
        result: Mapping[str, Any] = self._client.acquire_token_for_client([scope], claims_challenge=claims)
        return result

    def _client_credential(self) -> str | dict[str, str]:
        if self._settings.client_secret:
            return self._settings.client_secret
        with open(self._settings.certificate_path or "", encoding="ascii") as file:
            pem = file.read()
        return {"private_key": pem, "public_certificate": pem}  # msal works out the thumbprint


class MsalCredential:
    """A ``TokenCredential`` that threads may share. Raises ``ClientAuthenticationError`` with a sentence."""

    def __init__(self, source: _TokenSource, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()  # one request for many threads; the others find the token in msal's cache

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        claims = (options or {}).get("claims")
        asked_at = int(self._clock())
        with self._lock:
            result = self._ask(scopes[0], claims)
        token = result.get("access_token")
        if not isinstance(token, str) or not token:
            raise ClientAuthenticationError(message=self._refused(scopes[0], result))
        return AccessTokenInfo(token, asked_at + int(result["expires_in"]), refresh_on=result.get("refresh_on"))

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        info = self.get_token_info(*scopes, options={"claims": claims} if claims else {})
        return AccessToken(info.token, info.expires_on)

    def close(self) -> None:
        """The credential lives as long as the process: closing a client must not close it."""

    def _ask(self, scope: str, claims: str | None) -> Mapping[str, Any]:
        try:
            return self._source.token(scope, claims)
        except requests.RequestException as error:
            cause = type(error).__name__
            message = (
                f"{self._source.who} got no token for {scope}: its token endpoint did not answer ({cause}). "
                "Try again; if it stays so, restart the app."
            )
        except Upstream as error:
            message = f"{self._source.who} got no token for {scope}. {error}"
        except (ValueError, TypeError, OSError, PyJWTError) as error:  # msal's JSON, authority, key; the file
            message = (
                f"{self._source.who} got no token for {scope}: the sign-in could not be done "
                f"({type(error).__name__}). {self._source.remedy}"
            )
        # Not chained: the causes may quote headers or keys.
        raise ClientAuthenticationError(message=message) from None

    def _refused(self, scope: str, result: Mapping[str, Any]) -> str:
        words = result.get("error_description") or result.get("error") or "no reason given"
        reason = excerpt(words, self._source.hidden, _LONGEST_DESCRIPTION)
        return f"{self._source.who} got no token for {scope}: {reason}. {self._source.remedy}"


_credentials: dict[IdentitySettings, MsalCredential] = {}
_credentials_lock = threading.Lock()


def credential(settings: IdentitySettings) -> TokenCredential:
    """The process's one credential for ``settings``: msal keeps its tokens in the client object."""
    with _credentials_lock:
        found = _credentials.get(settings)
        if found is None:
            source = _ManagedIdentity(settings) if settings.managed else _ServicePrincipal(settings)
            found = _credentials[settings] = MsalCredential(source)
    return found


def credential_from(environ: Mapping[str, str]) -> TokenCredential:
    """The credential that ``environ`` describes. Raises ``SettingsInvalid`` when it describes none."""
    return credential(load_identity(environ))
