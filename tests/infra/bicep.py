"""Plays a deployment of our Bicep: what would be sent to Azure for given parameters, without compiler and Azure.

It knows the part of the language that ``infra/`` uses, refuses what it does not know, and fails where a compiler would:
at an unknown name, a parameter that a module has not, one that it lacks, or a value that is not allowed. What only
Azure knows, such as an address that it makes, is a ``Runtime`` text that says where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.infra.bicep_expressions import Expressions, text_of
from tests.infra.bicep_values import BicepError, Deployment, Resource

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_PRIMITIVES = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}


def parse(path: Path) -> Node:
    """The syntax tree. Raises ``BicepError`` at what is no Bicep."""
    root = _PARSER.parse(path.read_bytes()).root_node
    for node in _walk(root):
        if node.is_error or node.is_missing:
            raise BicepError(f"{path.name}:{node.start_point.row + 1}: no Bicep: {text_of(node)[:60]!r}")
    return root


def deploy(path: Path, parameters: Mapping[str, Any]) -> Deployment:
    """Plays ``path`` with its modules. Raises ``BicepError``."""
    return _File(path, parameters).played


def parameter_file(text: str, folder: Path) -> dict[str, Any]:
    """The values of a ``.bicepparam``, whose language is Bicep's but for ``using`` and parameters without a type."""
    path = folder / "parameters.bicep"
    path.write_text(re.sub(r"(?m)^param ", "var ", re.sub(r"(?m)^using .*$", "", text)), encoding="utf-8")
    file = _File(path, {})
    return {name: file.known[name] for name in file.declarations}


def declared(path: Path, kind: str) -> list[str]:
    """The names of one kind, such as ``parameter``, ``variable`` or ``output``, in the order of the file."""
    return [
        text_of(node.named_children[0]) for node in parse(path).named_children if node.type == f"{kind}_declaration"
    ]


def used(path: Path) -> set[str]:
    """Every name that an expression of the file takes."""
    return {
        text_of(node)
        for node in _walk(parse(path))
        if node.type == "identifier" and node.parent is not None and not _names_something(node)
    }


def _names_something(node: Node) -> bool:
    parent = node.parent
    assert parent is not None
    first = parent.named_children[0] == node
    return first and (parent.type.endswith("_declaration") or parent.type == "object_property")


class _File:
    """One Bicep file with its parameters. A declaration is evaluated when it is first needed: order says nothing."""

    def __init__(self, path: Path, given: Mapping[str, Any]) -> None:
        self.path = path
        self.expressions = Expressions(path, self.lookup)
        self.declarations: dict[str, Node] = {}
        self.known: dict[str, Any] = {}
        decorators: dict[str, Any] = {}
        self.played = Deployment()
        for node in parse(path).named_children:
            if node.type == "decorators":
                decorators = self._decorators(node)
                continue
            if node.type.endswith("_declaration") and node.type != "metadata_declaration":
                name = text_of(node.named_children[0])
                self.declarations[f"output {name}" if node.type == "output_declaration" else name] = node
                if node.type == "parameter_declaration":
                    self._take(name, node, decorators, given)
            decorators = {}
        unknown = set(given) - {
            name for name, node in self.declarations.items() if node.type == "parameter_declaration"
        }
        if unknown:
            raise BicepError(f"{path.name} has no parameter {', '.join(sorted(unknown))}")
        for name, node in self.declarations.items():
            if node.type == "output_declaration":
                self.played.outputs[name.removeprefix("output ")] = self.expressions.value(node.named_children[-1], {})
            else:
                self.lookup(name)

    def _take(self, name: str, node: Node, decorators: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        has_default = any(child.type == "=" for child in node.children)
        if name not in given and not has_default:
            raise BicepError(f"{self.path.name}: parameter {name} is missing")
        value = given[name] if name in given else self.expressions.value(node.named_children[-1], {})
        wanted = _PRIMITIVES[text_of(node.named_children[1])]
        if not isinstance(value, wanted):
            raise BicepError(f"{self.path.name}: parameter {name} is {value!r}, and not {wanted.__name__}")
        allowed = decorators.get("allowed")
        if allowed is not None and value not in allowed:
            raise BicepError(f"{self.path.name}: parameter {name} is {value!r}, and not one of {allowed}")
        size: int = value if isinstance(value, int) else len(value)
        low, high = decorators.get("minValue", decorators.get("minLength")), decorators.get("maxLength")
        if low is not None and size < low or high is not None and size > high:
            raise BicepError(f"{self.path.name}: parameter {name} is too short or too long: {value!r}")
        self.known[name] = value

    def _decorators(self, node: Node) -> dict[str, Any]:
        found = {}
        for decorator in node.named_children:
            call = decorator.named_children[0]
            found[text_of(call.named_children[0])] = self.expressions.value(
                call.named_children[1].named_children[0], {}
            )
        return found

    def lookup(self, name: str) -> Any:
        if name in self.known:
            return self.known[name]
        node = self.declarations.get(name)
        if node is None:
            raise BicepError(f"{self.path.name}: {name} is not declared")
        make: dict[str, Callable[[str, Node], Any]] = {
            "variable_declaration": lambda _, node: self.expressions.value(node.named_children[-1], {}),
            "resource_declaration": self._resource,
            "module_declaration": self._module,
        }
        self.known[name] = made = make[node.type](name, node)
        return made

    def _each(self, body: Node, make: Callable[[Node, Mapping[str, Any]], Any]) -> Any:
        """One for each round of a loop, None where a condition says no, else one."""
        if body.type == "for_statement":
            return [make(body.named_children[-1], local) for local in self.expressions.rounds(body, {})]
        if body.type == "if_statement":
            return make(body.named_children[-1], {}) if self.expressions.value(body.named_children[0], {}) else None
        return make(body, {})

    def _resource(self, symbol: str, node: Node) -> Any:
        type_, _, version = text_of(node.named_children[1]).strip("'").partition("@")
        existing = any(child.type == "existing" for child in node.children)

        def make(body: Node, local: Mapping[str, Any]) -> Resource:
            sent = self.expressions.value(body, local)
            parent, scope = sent.pop("parent", None), sent.pop("scope", None)
            name = f"{parent.name}/{sent['name']}" if parent else sent["name"]
            id_ = f"/{'/'.join(part for pair in _paired(type_, name) for part in pair)}"
            at = scope.id if scope else ""
            return Resource(symbol, type_, version, self.path.name, name, at + id_, sent, existing, at)

        made = self._each(node.named_children[-1], make)
        self.played.resources += [each for each in (made if isinstance(made, list) else [made]) if each is not None]
        return made

    def _module(self, symbol: str, node: Node) -> Any:
        path = self.path.parent / text_of(node.named_children[1]).strip("'")

        def make(body: Node, local: Mapping[str, Any]) -> Deployment:
            return deploy(path, self.expressions.value(body, local)["params"])

        made: Deployment | None = self._each(node.named_children[-1], make)
        if made is not None:
            self.played.resources += made.resources
        return made


def _paired(type_: str, name: str) -> Iterator[tuple[str, str]]:
    namespace, *kinds = type_.split("/")
    names = name.split("/")
    if len(kinds) != len(names):
        raise BicepError(f"{type_} takes {len(kinds)} names, and {name!r} has {len(names)}")
    yield "providers", namespace
    yield from zip(kinds, names, strict=True)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)
