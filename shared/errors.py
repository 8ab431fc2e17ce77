"""The errors of Realign.

Every message is a sentence for an operator: what happened, to which system or object, and what to do next. It never
holds a secret, and whatever a vendor answered is cut and scrubbed before it gets here.

    RealignError
    ├── InvalidRequest            400  the caller's input; ``field`` names the part
    ├── NotAuthenticated          401
    ├── NotAllowed                403
    ├── NotFound                  404
    ├── MethodNotAllowed          405
    ├── Conflict                  409
    │   ├── ProfileInvalid             the profile file has errors
    │   ├── ProfileBusy                another run is at work and the caller asked not to wait
    │   ├── EditedElsewhere            a row changed between read and write
    │   ├── LockLost                   this worker may no longer write: another one took over
    │   ├── IllegalMove                a run or remap is not in a state that allows this
    │   ├── NotWaiting                 the run does not wait for what is asked of it
    │   ├── PlanOutdated               the plan is too old, or there is a newer one
    │   ├── PlanChanged                the plan is not the one that the caller saw
    │   └── RemapNotOpen               ``machines`` are not in a state that allows this
    ├── BodyTooLarge              413
    ├── UnsupportedMediaType      415  the body is no JSON by its own word
    ├── IdempotencyMismatch       422  the key came with another body
    ├── TooManyRequests           429
    ├── SettingsInvalid           500  app settings are missing or wrong; ``problems`` has one sentence each
    ├── PlanImpossible            409  the inputs were read, but do not allow a plan (a scope that cannot be met)
    │   └── NotActiveYet               its protection domain is active nowhere yet
    └── Upstream                  502  an outside system; ``retryable`` says whether trying again can help
        ├── CitrixError                carries Citrix's transaction id
        ├── PrismError
        ├── VaultError
        └── StorageError
"""

from __future__ import annotations


class RealignError(Exception):
    """Base of all expected failures. ``str(error)`` is the sentence for people."""

    status: int = 500
    code: str = "internal-error"
    title: str = "Internal error"
    retryable: bool = False


class InvalidRequest(RealignError):
    """The caller's input does not validate. ``field`` names the offending part, for example ``scope.machines``."""

    status = 400
    code = "invalid-request"
    title = "The request is not valid"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotAuthenticated(RealignError):
    status = 401
    code = "not-authenticated"
    title = "Sign-in needed"


class NotAllowed(RealignError):
    status = 403
    code = "not-allowed"
    title = "Not allowed"


class NotFound(RealignError):
    status = 404
    code = "not-found"
    title = "Not found"


class MethodNotAllowed(RealignError):
    """``allowed`` goes into the ``Allow`` header."""

    status = 405
    code = "method-not-allowed"
    title = "Method not allowed"

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class Conflict(RealignError):
    status = 409
    code = "conflict"
    title = "Conflict"


class ProfileInvalid(Conflict):
    """``errors`` are the profile's validation errors, one sentence each."""

    code = "profile-invalid"
    title = "The profile has errors"

    def __init__(self, message: str, *, errors: tuple[str, ...]) -> None:
        super().__init__(message)
        self.errors = errors


class ProfileBusy(Conflict):
    """``run_id`` is the run that is at work."""

    code = "profile-busy"
    title = "Another run is at work"

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class EditedElsewhere(Conflict):
    code = "edited-elsewhere"
    title = "Changed in the meantime"
    retryable = True


class LockLost(Conflict):
    code = "lock-lost"
    title = "The lock was lost"


class IllegalMove(Conflict):
    """The table of states has no such move."""

    code = "illegal-move"
    title = "Not possible in this state"


class NotWaiting(Conflict):
    code = "not-waiting"
    title = "The run does not wait for this"


class PlanOutdated(Conflict):
    code = "plan-outdated"
    title = "The plan is outdated"


class PlanChanged(Conflict):
    """``fingerprint`` is that of the plan as it is now."""

    code = "plan-changed"
    title = "The plan has changed"

    def __init__(self, message: str, *, fingerprint: str) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint


class RemapNotOpen(Conflict):
    """``machines`` are the ids concerned, the first of many."""

    code = "remap-not-open"
    title = "Not possible for this machine"

    def __init__(self, message: str, *, machines: tuple[str, ...]) -> None:
        super().__init__(message)
        self.machines = machines


class BodyTooLarge(RealignError):
    status = 413
    code = "body-too-large"
    title = "The body is too large"


class UnsupportedMediaType(RealignError):
    status = 415
    code = "unsupported-media-type"
    title = "Not the type of body that is read here"


class IdempotencyMismatch(RealignError):
    status = 422
    code = "idempotency-mismatch"
    title = "Idempotency-Key used with another body"


class TooManyRequests(RealignError):
    """``retry_after`` is in seconds."""

    status = 429
    code = "too-many-requests"
    title = "Too many requests"
    retryable = True

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsInvalid(RealignError):
    """``problems`` holds one sentence for each app setting that is missing or wrong."""

    code = "settings-invalid"
    title = "App settings are missing or wrong"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class PlanImpossible(RealignError):
    """Everything was read, but no plan can be made from it: the message says what to change."""

    status = 409
    code = "plan-impossible"
    title = "No plan can be made"


class NotActiveYet(PlanImpossible):
    """The scope names a protection domain that is active nowhere yet: in the middle of a migration none is."""


class Upstream(RealignError):
    """An outside system failed. ``system`` names it with its host, ``kind`` tells the cause apart.

    ``kind`` is one of ``unreachable``, ``timeout``, ``tls``, ``sign-in``, ``forbidden``, ``throttled``, ``failed``
    (the system answered an error), ``malformed`` (its answer could not be read), ``missing`` (it does not have what was
    asked for) and ``misconfigured``.
    """

    status = 502
    code = "upstream"
    title = "An outside system failed"

    def __init__(self, message: str, *, kind: str, system: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.system = system
        self.retryable = retryable


class CitrixError(Upstream):
    """``transaction_id`` is what Citrix support asks for (contract ``citrix.md``, section 2.4).

    ``unsent``, of a write: nothing was executed, since it was refused with a 4xx or never sent. ``retry_after``: the
    seconds that Citrix asks to wait.
    """

    code = "citrix-error"
    title = "Citrix failed"

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        system: str = "",
        retryable: bool = False,
        transaction_id: str | None = None,
        http_status: int | None = None,
        unsent: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, kind=kind, system=system, retryable=retryable)
        self.transaction_id = transaction_id
        self.http_status = http_status
        self.unsent = unsent
        self.retry_after = retry_after


class PrismError(Upstream):
    code = "prism-error"
    title = "Prism failed"


class VaultError(Upstream):
    code = "vault-error"
    title = "Key Vault failed"


class StorageError(Upstream):
    code = "storage-error"
    title = "Storage failed"
