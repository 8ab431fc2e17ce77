"""Which machines of the site a run looks at (design, sections 3 and 4, "Scope").

The site is read whole and filtered here, so that a machine out of scope still owns its VM.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from shared.errors import NotActiveYet, PlanImpossible
from shared.model.citrix import Folder, Machine, MachineId, Site
from shared.model.nutanix import ClusterReading
from shared.planning.lineage import Lineages
from shared.planning.names import fold, scope_names, vm_names
from shared.planning.target import Target
from shared.profile.scope import PrismCategory, Scope

Test = Callable[[Machine], bool]

_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Selection:
    """``inside`` are the machines of the scope, those that ``exclude`` hits among them; ``unmatched`` by scope key."""

    inside: tuple[Machine, ...]
    excluded: frozenset[MachineId]
    out_of_scope: int
    unmatched: dict[str, tuple[str, ...]]


def select(site: Site, scopes: Sequence[Scope], readings: Sequence[ClusterReading], target: Target | None) -> Selection:
    """Apply every scope: each key narrows, and the exclusions of all hold.

    Raises ``PlanImpossible`` for a catalog or delivery group whose name stands in several folders, and for a protection
    domain that is not active where it has to be.
    """
    unmatched: dict[str, tuple[str, ...]] = {}
    tests: list[Test] = []
    for scope in scopes:
        tests.extend(_tests(scope, site, readings, target, unmatched))
    inside = tuple(machine for machine in site.machines if all(test(machine) for test in tests))
    patterns = tuple(dict.fromkeys(pattern for scope in scopes for pattern in scope.exclude))
    excluded = _excluded(inside, site.machines, patterns, unmatched)
    return Selection(inside, excluded, len(site.machines) - len(inside), unmatched)


def _tests(
    scope: Scope,
    site: Site,
    readings: Sequence[ClusterReading],
    target: Target | None,
    unmatched: dict[str, tuple[str, ...]],
) -> Iterable[Test]:
    if scope.machines is not None:
        yield _by_name(scope.machines, site.machines, unmatched)
    if scope.catalogs is not None:
        ids = _folder_ids("catalogs", scope.catalogs, site.catalogs, unmatched)
        yield lambda machine: machine.catalog_id in ids
    if scope.delivery_groups is not None:
        groups = _folder_ids("deliveryGroups", scope.delivery_groups, site.delivery_groups, unmatched)
        yield lambda machine: machine.delivery_group_id in groups
    if scope.hosting_connections is not None:
        wanted = {fold(name) for name in scope.hosting_connections}
        there = {fold(connection.name) for connection in site.connections}
        _note(unmatched, "hostingConnections", [n for n in scope.hosting_connections if fold(n) not in there])
        yield lambda machine: fold(machine.hosting.connection or "") in wanted
    if scope.protection_domain is not None:
        yield _by_domain(scope.protection_domain, readings, target)
    if scope.prism_category is not None:
        yield _by_category(scope.prism_category, readings, unmatched)


def _note(unmatched: dict[str, tuple[str, ...]], key: str, names: Iterable[str]) -> None:
    found = tuple(dict.fromkeys((*unmatched.get(key, ()), *names)))
    if found:
        unmatched[key] = found


def _by_name(names: Sequence[str], machines: Iterable[Machine], unmatched: dict[str, tuple[str, ...]]) -> Test:
    wanted = {fold(name): name for name in names}
    chosen: set[MachineId] = set()
    hit: set[str] = set()
    for machine in machines:
        found = scope_names(machine) & wanted.keys()
        if found:
            chosen.add(machine.id)
            hit |= found
    _note(unmatched, "machines", [name for key, name in wanted.items() if key not in hit])
    return lambda machine: machine.id in chosen


def _folder_ids(
    key: str, names: Sequence[str], folders: Sequence[Folder], unmatched: dict[str, tuple[str, ...]]
) -> frozenset[str]:
    by_name: dict[str, list[Folder]] = {}
    exact: dict[str, Folder] = {}
    for folder in folders:
        by_name.setdefault(fold(folder.name), []).append(folder)
        exact[fold(folder.id)] = folder
        exact[_path(folder.path)] = folder
    ids: set[str] = set()
    missing: list[str] = []
    for name in names:
        several = by_name.get(fold(name), [])
        one = several[0] if len(several) == 1 else exact.get(fold(name)) or exact.get(_path(name))
        if len(several) > 1 and not _is_one(one, name):
            paths = ", ".join(sorted(folder.path for folder in several))
            raise PlanImpossible(f"scope.{key}: '{name}' stands in several folders: {paths}. Name the path or the id.")
        if one is None:
            missing.append(name)
        else:
            ids.add(one.id)
    _note(unmatched, key, missing)
    return frozenset(ids)


def _path(path: str) -> str:
    return fold(path).replace("|", "\\").replace("/", "\\").strip("\\")


def _is_one(folder: Folder | None, name: str) -> bool:
    """A name of several folders that is also the id or the unique path of one is still ambiguous at the top folder."""
    return folder is not None and fold(folder.id) == fold(name)


def _by_domain(name: str, readings: Sequence[ClusterReading], target: Target | None) -> Test:
    key = fold(name)
    known = [(r, d) for r in readings for d in r.domains if fold(d.name) == key and not r.dead]
    active = [(reading, domain) for reading, domain in known if domain.active]
    targeted = next((r for r in readings if target is not None and r.name == target.cluster), None)
    if targeted is not None and targeted.api == "element-v2":
        active = [(reading, domain) for reading, domain in active if reading.name == targeted.name]
        where = f"the target {targeted.name}"
    else:
        where = "any cluster of the profile that answered"
    if not active:
        passive = ", ".join(reading.name for reading, _ in known) or "no cluster"
        silent = ", ".join(r.name for r in readings if r.dead and r.api == "element-v2")
        unsaid = f" These did not answer: {silent}." if silent else ""
        # one that no cluster knows will not become active, however long a run waits; one that is silent may know it
        kind = NotActiveYet if known or silent else PlanImpossible
        raise kind(
            f"scope.protectionDomain: '{name}' is not active on {where} (known on: {passive}).{unsaid} "
            "Activate or migrate it, correct the name, or take it out of the scope."
        )
    names = {fold(vm.name) for _, domain in active for vm in domain.vms}
    uuids = {vm.uuid for _, domain in active for vm in (*domain.vms, *domain.snapshots)}
    return lambda machine: machine.hosting.machine_id in uuids or not names.isdisjoint(vm_names(machine))


def _by_category(
    category: PrismCategory, readings: Sequence[ClusterReading], unmatched: dict[str, tuple[str, ...]]
) -> Test:
    centrals = [reading for reading in readings if reading.api != "element-v2"]
    answered = [reading for reading in centrals if not reading.dead]
    wanted = f"{category.key}:{category.value}"
    if not answered:
        silent = ", ".join(reading.name for reading in centrals) or "none in the profile"
        raise PlanImpossible(
            f"scope.prismCategory: no Prism Central answered that could tell which VMs have {wanted} ({silent}). "
            "Run again when one answers, or take the category out of the scope."
        )
    untold = [reading.name for reading in answered if any(vm.categories is None for vm in reading.vms)]
    if untold:
        raise PlanImpossible(
            f"scope.prismCategory: {', '.join(untold)} did not say which categories its VMs have, so nobody knows "
            f"which have {wanted}. Let the account read categories, or take the category out of the scope."
        )
    key = fold(wanted)
    vms = [vm for reading in answered for vm in reading.vms if any(fold(each) == key for each in vm.categories or ())]
    if not vms:
        _note(unmatched, "prismCategory", [wanted])
    names = {fold(vm.name) for vm in vms if vm.name}
    # a record may still hold the UUID that the VM had before a failover
    uuids = Lineages(job for reading in answered for job in reading.jobs or ()).back_from(vm.uuid for vm in vms)
    return lambda machine: machine.hosting.machine_id in uuids or not names.isdisjoint(vm_names(machine))


def _excluded(
    inside: Iterable[Machine],
    machines: Iterable[Machine],
    patterns: Sequence[str],
    unmatched: dict[str, tuple[str, ...]],
) -> frozenset[MachineId]:
    if not patterns:
        return frozenset()
    plain = {fold(pattern): pattern for pattern in patterns if _GLOB.isdisjoint(pattern)}
    globs = [(each, re.compile(translate(fold(each)))) for each in patterns if not _GLOB.isdisjoint(each)]
    hits: set[MachineId] = set()
    used: set[str] = set()
    for machine in machines:
        names = scope_names(machine)
        for name in names & plain.keys():
            hits.add(machine.id)
            used.add(plain[name])
        for pattern, expression in globs:
            if any(expression.match(name) for name in names):
                hits.add(machine.id)
                used.add(pattern)
    _note(unmatched, "exclude", [each for each in patterns if each not in used and plain.get(fold(each)) not in used])
    return frozenset(machine.id for machine in inside if machine.id in hits)
