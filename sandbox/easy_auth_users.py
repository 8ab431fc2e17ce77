"""The people that the stand-in for Easy Auth can sign in, and the principal that App Service would pass on for each.

The shape is contract ``azure.md``, section 6.2. There a role arrives as ``roles`` or as the URI that ``role_typ``
names: both occur here, so that an app that reads one of them alone is found out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_NAME_TYPE = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
_ROLE_TYPE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
_OBJECT_ID_TYPE = "http://schemas.microsoft.com/identity/claims/objectidentifier"


@dataclass(frozen=True, slots=True)
class User:
    """``key`` chooses the user; ``object_id`` and ``principal_name`` are what Entra ID would say."""

    key: str
    name: str
    object_id: str
    principal_name: str
    roles: tuple[str, ...]
    role_claim: str = "roles"

    def claims(self) -> list[dict[str, str]]:
        """Claims as ``[{"typ", "val"}]``, one entry a role."""
        return [
            {"typ": "name", "val": self.name},
            {"typ": _NAME_TYPE, "val": self.principal_name},
            {"typ": "preferred_username", "val": self.principal_name},
            {"typ": _OBJECT_ID_TYPE, "val": self.object_id},
            *({"typ": self.role_claim, "val": role} for role in self.roles),
        ]

    def headers(self) -> dict[str, str]:
        """The headers that App Service adds to a signed-in user's request."""
        principal = {"auth_typ": "aad", "name_typ": _NAME_TYPE, "role_typ": _ROLE_TYPE, "claims": self.claims()}
        return {
            "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(principal).encode()).decode(),
            "X-MS-CLIENT-PRINCIPAL-ID": self.object_id,
            "X-MS-CLIENT-PRINCIPAL-NAME": self.principal_name,
            "X-MS-CLIENT-PRINCIPAL-IDP": "aad",
        }


_READER, _OPERATOR, _APPROVER = "Realign.Reader", "Realign.Operator", "Realign.Approver"

_ALL = (
    User("riley", "Riley Reader", "11111111-0000-4000-8000-000000000001", "riley@corp.example", (_READER,)),
    User(
        "olive",
        "Olive Operator",
        "11111111-0000-4000-8000-000000000002",
        "olive@corp.example",
        (_READER, _OPERATOR),
        role_claim=_ROLE_TYPE,
    ),
    User(
        "ada",
        "Ada Approver",
        "11111111-0000-4000-8000-000000000003",
        "ada@corp.example",
        (_READER, _OPERATOR, _APPROVER),
    ),
    User("none", "No Role", "11111111-0000-4000-8000-000000000004", "norole@corp.example", ()),
)

USERS: Mapping[str, User] = MappingProxyType({user.key: user for user in _ALL})
