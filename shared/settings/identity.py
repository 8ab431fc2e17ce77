"""Who the app is: a managed identity on Azure, a service principal elsewhere."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import SettingsInvalid
from shared.settings.reading import is_https, member_of, value_of
from shared.settings.trust import TrustSettings, read_trust

_PUBLIC_AUTHORITY = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Who the app is. ``managed`` means App Service's token endpoint; else a service principal of ``tenant_id``."""

    managed: bool
    endpoint: str | None = None
    header: str | None = field(default=None, repr=False)
    client_id: str | None = None
    tenant_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    authority: str = _PUBLIC_AUTHORITY
    trust: TrustSettings = field(default_factory=TrustSettings)


def load_identity(environ: Mapping[str, str]) -> IdentitySettings:
    """The identity alone, for those who need no more. Raises ``SettingsInvalid``."""
    problems: list[str] = []
    identity = read_identity(environ, read_trust(environ, problems), problems)
    if problems:
        raise SettingsInvalid(tuple(problems))
    return identity


def read_identity(environ: Mapping[str, str], trust: TrustSettings, problems: list[str]) -> IdentitySettings:
    endpoint, header = value_of(environ, "IDENTITY_ENDPOINT"), value_of(environ, "IDENTITY_HEADER")
    if endpoint and header:
        client_id = value_of(environ, "REALIGN_IDENTITY_CLIENT_ID") or member_of(environ, "clientId")[1]
        return IdentitySettings(managed=True, endpoint=endpoint, header=header, client_id=client_id)
    if endpoint or header:
        problems.append("IDENTITY_ENDPOINT and IDENTITY_HEADER must both be set; App Service sets them together.")
        return IdentitySettings(managed=True)
    return _service_principal(environ, trust, problems)


def _service_principal(environ: Mapping[str, str], trust: TrustSettings, problems: list[str]) -> IdentitySettings:
    tenant, client_id = value_of(environ, "AZURE_TENANT_ID"), value_of(environ, "AZURE_CLIENT_ID")
    secret, certificate = value_of(environ, "AZURE_CLIENT_SECRET"), value_of(environ, "AZURE_CLIENT_CERTIFICATE_PATH")
    if not (tenant or client_id or secret or certificate):
        problems.append(
            "The app has no identity: on Azure switch on its managed identity (IDENTITY_ENDPOINT and IDENTITY_HEADER "
            "appear by themselves); elsewhere set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or "
            "AZURE_CLIENT_CERTIFICATE_PATH."
        )
        return IdentitySettings(managed=False)
    if not tenant:
        problems.append("AZURE_TENANT_ID is not set: give the directory (tenant) ID of the app registration.")
    if not client_id:
        problems.append("AZURE_CLIENT_ID is not set: give the application (client) ID of the app registration.")
    if not (secret or certificate):
        problems.append("Set AZURE_CLIENT_SECRET, or AZURE_CLIENT_CERTIFICATE_PATH to a PEM file with its key.")
    if certificate and not secret and not os.path.isfile(certificate):
        problems.append("AZURE_CLIENT_CERTIFICATE_PATH names no file: give the path of a PEM file with its key.")
    authority = (value_of(environ, "AZURE_AUTHORITY_HOST") or _PUBLIC_AUTHORITY).rstrip("/")
    if not is_https(authority):
        problems.append(f"AZURE_AUTHORITY_HOST must be an https:// URL, such as {_PUBLIC_AUTHORITY}.")
    return IdentitySettings(
        managed=False,
        client_id=client_id,
        tenant_id=tenant,
        client_secret=secret,
        certificate_path=None if secret else certificate,
        authority=authority,
        trust=trust,
    )
