"""What messages about a site call things: a customer of Citrix Cloud and a site on premises are mended differently."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

ON_PREMISES_CUSTOMER = "CitrixOnPremises"  # the literal of contract citrix.md, section 10


@dataclass(frozen=True, slots=True)
class Wording:
    """``account`` is what signs in, ``role`` and ``write_role`` are what it may lack, the rest are remedies."""

    account: str
    role: str
    write_role: str
    not_found: str
    tls: str
    way: str
    no_site: str
    support: str
    gone: str = "It is no longer in the site: run again, which makes a new plan."
    refused: str = "Look at the machine and its hosting connection in Citrix, mend what this says, and run again."


CLOUD = Wording(
    account="API client",
    role="a role that may read the site",
    write_role="a role that may change machines, hosting connections and the zones of catalogs",
    not_found="Check the region or baseUrl and the customer id of the profile.",
    tls="Trust the CA that signed its certificate (REQUESTS_CA_BUNDLE), or correct baseUrl.",
    way="Check the way to this host (proxy, firewall, baseUrl) and run again.",
    no_site="Check that {customer} is the customer id of the client and that the client may use DaaS.",
    support="Run again; if it stays, give the transaction id to Citrix support.",
)
ON_PREMISES = Wording(
    account="account",
    role="a role of the Citrix site that may read it",
    write_role="a role of the Citrix site that may change machines, hosting connections and the zones of catalogs",
    not_found="Check that this is a Delivery Controller with Web Studio and its REST API (CVAD 2303 or later).",
    tls="Store the CA that signed its certificate in the secret that site.ca names, and write the host as it does.",
    way="Check that the controller is up, and the way to it (name, firewall, hybrid connection); then run again.",
    no_site="Make the account an administrator of the Citrix site.",
    support="Run again; if it stays, give the transaction id to Citrix support.",
)


def wording(customer_id: str) -> Wording:
    return ON_PREMISES if customer_id == ON_PREMISES_CUSTOMER else CLOUD


def site_title(origin: str, customer_id: str) -> str:
    """How messages name a site at ``origin``."""
    if customer_id == ON_PREMISES_CUSTOMER:
        return on_premises_title(origin)
    return f"Citrix {urlsplit(origin).netloc} (customer {customer_id})"


def on_premises_title(*origins: str) -> str:
    """How messages name Delivery Controllers."""
    return f"Citrix CVAD {', '.join(urlsplit(origin).netloc for origin in origins)}"
