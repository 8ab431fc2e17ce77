"""Under which names a machine's VM may stand (design, section 4, rule 2), and how a scope names a machine.

Names are compared whole and ignoring case: never a prefix, never a regular expression.
"""

from __future__ import annotations

from shared.model import Machine

NETBIOS_LENGTH = 15


def fold(name: str) -> str:
    """The form in which names are compared."""
    return name.casefold()


def host_names(machine: Machine) -> frozenset[str]:
    """The machine's own host name, short and with the suffix of its DNS name, folded.

    ``Name`` is ``DOMAIN\\host`` and its host part is cut at 15 characters: where the DNS name is the longer form of the
    same name, the cut form is nobody's name and is left out.
    """
    host = fold(machine.name.rsplit("\\", 1)[-1])
    if not machine.dns_name:
        return frozenset((host,)) if host else frozenset()
    label, _, suffix = fold(machine.dns_name).partition(".")
    host = _without_suffix(host, suffix)
    cut = len(host) == NETBIOS_LENGTH and len(label) > NETBIOS_LENGTH and label.startswith(host)
    short = (label,) if cut or host == label or not host else (host, label)
    return frozenset((*short, *(f"{name}.{suffix}" for name in short))) if suffix else frozenset(short)


def vm_names(machine: Machine) -> frozenset[str]:
    """Every name that the machine's VM may have: its host names, and what Citrix saw the VM called."""
    names = host_names(machine)
    if not machine.hosted_name:
        return names
    hosted = fold(machine.hosted_name)
    suffix = fold(machine.dns_name).partition(".")[2] if machine.dns_name else ""
    if not suffix:
        return names | {hosted}
    short = _without_suffix(hosted, suffix)
    return names | {short, f"{short}.{suffix}"}


def scope_names(machine: Machine) -> frozenset[str]:
    """What a scope may call the machine: host name, ``DOMAIN\\host`` and the DNS name, folded.

    The host name counts in the form that NetBIOS cut, too: it is the one that Citrix shows to whoever writes a scope.
    """
    name = fold(machine.name)
    return host_names(machine) | {name, name.rpartition("\\")[2]}


def _without_suffix(name: str, suffix: str) -> str:
    return name.removesuffix(f".{suffix}") if suffix else name
