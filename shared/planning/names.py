"""Under which names a machine's VM may stand (design, section 4, rule 2), and how a scope names a machine.

Names are compared whole and ignoring case: never a prefix, never a regular expression.
"""

from __future__ import annotations

from shared.model.citrix import Machine

NETBIOS_LENGTH = 15


def fold(name: str) -> str:
    """The form in which names are compared."""
    return name.casefold()


def host_names(machine: Machine) -> tuple[str, ...]:
    """The machine's own host name, short and with the suffix of its DNS name, folded.

    ``Name`` is ``DOMAIN\\host`` and its host part is cut at 15 characters: where the DNS name is the longer form of the
    same name, the cut form is nobody's name and is left out.
    """
    host = _host_part(machine)
    if not machine.dns_name:
        return (host,) if host else ()
    label, _, suffix = fold(machine.dns_name).partition(".")
    host = _without_suffix(host, suffix)
    cut = len(host) == NETBIOS_LENGTH and len(label) > NETBIOS_LENGTH and label.startswith(host)
    if cut or host == label or not host:
        return (label, f"{label}.{suffix}") if suffix else (label,)
    return (host, label, f"{host}.{suffix}", f"{label}.{suffix}") if suffix else (host, label)


def vm_names(machine: Machine) -> tuple[str, ...]:
    """Every name that the machine's VM may have, once: its host names, and what Citrix saw the VM called."""
    names = host_names(machine)
    if not machine.hosted_name:
        return names
    hosted = fold(machine.hosted_name)
    if hosted in names:
        return names
    suffix = fold(machine.dns_name).partition(".")[2] if machine.dns_name else ""
    if not suffix:
        return (*names, hosted)
    short = _without_suffix(hosted, suffix)
    return tuple(dict.fromkeys((*names, short, f"{short}.{suffix}")))


def scope_names(machine: Machine) -> frozenset[str]:
    """What a scope may call the machine: host name, ``DOMAIN\\host`` and the DNS name, folded.

    The host name counts in the form that NetBIOS cut, too: it is the one that Citrix shows to whoever writes a scope.
    """
    return frozenset((*host_names(machine), fold(machine.name), _host_part(machine)))


def _host_part(machine: Machine) -> str:
    return fold(machine.name).rpartition("\\")[2]


def _without_suffix(name: str, suffix: str) -> str:
    return name.removesuffix(f".{suffix}") if suffix else name
