"""Plays a deployment of our Bicep: what would be sent to Azure for given parameters, without compiler and Azure.

It knows the part of the language that ``infra/`` uses, refuses what it does not know, and fails where a compiler would:
at an unknown name, a parameter that a module has not, one that it lacks, or a value that is not allowed. What only
Azure knows, such as an address that it makes, is a ``Runtime`` text that says where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.infra import bicep_functions
from tests.infra.bicep_functions import Runtime

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_PRIMITIVES = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}


class BicepError(Exception):
    """The Bicep is wrong, or uses what this does not know. Says where."""


@dataclass(frozen=True)
class Resource:
    """One resource as it would be sent: ``body`` has what stands in the Bicep, evaluated, without ``parent``."""

    symbol: str
    type: str
    version: str
    file: str
    name: str
    id: str
    body: Mapping[str, Any]
    existing: bool = False
    scope: str = ""

    @property
    def properties(self) -> Mapping[str, Any]:
        return self.body.get("properties", {})


@dataclass
class Deployment:
    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, type_: str) -> list[Resource]:
        return [each for each in self.resources if each.type == type_ and not each.existing]

    def one(self, type_: str, name: str = "") -> Resource:
        found = [each for each in self.of(type_) if name in ("", each.name.rpartition("/")[2])]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of {type_} {name}: {[each.id for each in found]}")
        return found[0]


def parse(path: Path) -> Node:
    """The syntax tree. Raises ``BicepError`` at what is no Bicep."""
    root = _PARSER.parse(path.read_bytes()).root_node
    for node in _walk(root):
        if node.is_error or node.is_missing:
            raise BicepError(f"{path.name}:{node.start_point.row + 1}: no Bicep: {_text(node)[:60]!r}")
    return root


def deploy(path: Path, parameters: Mapping[str, Any]) -> Deployment:
    """Plays ``path`` with its modules. Raises ``BicepError``."""
    return _File(path, parameters).played


def declared(path: Path, kind: str) -> list[str]:
    """The names of one kind, such as ``parameter``, ``variable`` or ``output``, in the order of the file."""
    return [_text(node.named_children[0]) for node in parse(path).named_children if node.type == f"{kind}_declaration"]


def used(path: Path) -> set[str]:
    """Every name that an expression of the file takes."""
    return {
        _text(node)
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
        self.declarations: dict[str, Node] = {}
        self.known: dict[str, Any] = {}
        decorators: dict[str, Any] = {}
        self.played = Deployment()
        for node in parse(path).named_children:
            if node.type == "decorators":
                decorators = self._decorators(node)
                continue
            if node.type.endswith("_declaration") and node.type != "metadata_declaration":
                name = _text(node.named_children[0])
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
                self.played.outputs[name.removeprefix("output ")] = self.value(node.named_children[-1], {})
            else:
                self.lookup(name)

    def _take(self, name: str, node: Node, decorators: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        has_default = any(child.type == "=" for child in node.children)
        if name not in given and not has_default:
            raise BicepError(f"{self.path.name}: parameter {name} is missing")
        value = given[name] if name in given else self.value(node.named_children[-1], {})
        wanted = _PRIMITIVES[_text(node.named_children[1])]
        if not isinstance(value, wanted):
            raise BicepError(f"{self.path.name}: parameter {name} is {value!r}, and not {wanted.__name__}")
        allowed = decorators.get("allowed")
        if allowed is not None and value not in allowed:
            raise BicepError(f"{self.path.name}: parameter {name} is {value!r}, and not one of {allowed}")
        size = value if isinstance(value, int) else len(value)
        low, high = decorators.get("minValue", decorators.get("minLength")), decorators.get("maxLength")
        if low is not None and size < low or high is not None and size > high:
            raise BicepError(f"{self.path.name}: parameter {name} is too short or too long: {value!r}")
        self.known[name] = value

    def _decorators(self, node: Node) -> dict[str, Any]:
        found = {}
        for decorator in node.named_children:
            call = decorator.named_children[0]
            found[_text(call.named_children[0])] = self.value(call.named_children[1].named_children[0], {})
        return found

    def lookup(self, name: str) -> Any:
        if name in self.known:
            return self.known[name]
        node = self.declarations.get(name)
        if node is None:
            raise BicepError(f"{self.path.name}: {name} is not declared")
        make: dict[str, Callable[[str, Node], Any]] = {
            "variable_declaration": lambda _, node: self.value(node.named_children[-1], {}),
            "resource_declaration": self._resource,
            "module_declaration": self._module,
        }
        self.known[name] = made = make[node.type](name, node)
        return made

    def _each(self, body: Node, make: Callable[[Node, Mapping[str, Any]], Any]) -> Any:
        """One for each round of a loop, None where a condition says no, else one."""
        if body.type == "for_statement":
            return [make(body.named_children[-1], local) for local in self._rounds(body, {})]
        if body.type == "if_statement":
            return make(body.named_children[-1], {}) if self.value(body.named_children[0], {}) else None
        return make(body, {})

    def _resource(self, symbol: str, node: Node) -> Any:
        type_, _, version = _text(node.named_children[1]).strip("'").partition("@")
        existing = any(child.type == "existing" for child in node.children)

        def make(body: Node, local: Mapping[str, Any]) -> Resource:
            sent = self.value(body, local)
            parent, scope = sent.pop("parent", None), sent.pop("scope", None)
            name = f"{parent.name}/{sent['name']}" if parent else sent["name"]
            id_ = f"/{'/'.join(part for pair in _paired(type_, name) for part in pair)}"
            at = scope.id if scope else ""
            return Resource(symbol, type_, version, self.path.name, name, at + id_, sent, existing, at)

        made = self._each(node.named_children[-1], make)
        self.played.resources += [each for each in (made if isinstance(made, list) else [made]) if each is not None]
        return made

    def _module(self, symbol: str, node: Node) -> Any:
        path = self.path.parent / _text(node.named_children[1]).strip("'")

        def make(body: Node, local: Mapping[str, Any]) -> Deployment:
            return deploy(path, self.value(body, local)["params"])

        made: Deployment | None = self._each(node.named_children[-1], make)
        if made is not None:
            self.played.resources += made.resources
        return made

    def _rounds(self, loop: Node, local: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        names, items, _ = loop.named_children
        for index, item in enumerate(self.value(items, local)):
            if names.type == "for_loop_parameters":
                each, counter = (_text(child) for child in names.named_children)
                yield {**local, each: item, counter: index}
            else:
                yield {**local, _text(names): item}

    def value(self, node: Node, local: Mapping[str, Any]) -> Any:
        """What an expression is. ``local`` are the names of the loops and lambdas around it."""
        kind, parts = node.type, [child for child in node.named_children if "comment" not in child.type]
        match kind:
            case "string":
                return self._string(parts, local)
            case "number":
                return int(_text(node))
            case "boolean" | "null":
                return {"true": True, "false": False, "null": None}[_text(node)]
            case "identifier":
                return local[_text(node)] if _text(node) in local else self.lookup(_text(node))
            case "object":
                return {
                    self._key(pair.named_children[0], local): self.value(pair.named_children[-1], local)
                    for pair in parts
                }
            case "array":
                return [self.value(part, local) for part in parts]
            case "for_statement":
                return [self.value(parts[-1], inner) for inner in self._rounds(node, local)]
            case "parenthesized_expression":
                return self.value(parts[0], local)
            case "unary_expression":
                return not self.value(parts[0], local)
            case "ternary_expression":
                return self.value(parts[1] if self.value(parts[0], local) else parts[2], local)
            case "binary_expression":
                return self._binary(node, local)
            case "member_expression":
                return self._member(self.value(parts[0], local), _text(parts[1]))
            case "subscript_expression":
                return self.value(parts[0], local)[self.value(parts[1], local)]
            case "call_expression":
                return self._call(parts, local)
            case "lambda_expression":
                name = _text(parts[0])
                return lambda item: self.value(parts[1], {**local, name: item})
        raise BicepError(f"{self.path.name}:{node.start_point.row + 1}: {kind} is not known here: {_text(node)[:60]}")

    def _string(self, parts: list[Node], local: Mapping[str, Any]) -> str:
        values = [
            self.value(part.named_children[0], local) if part.type == "interpolation" else _unescaped(_text(part))
            for part in parts
        ]
        text = "".join(str(each) for each in values)
        return Runtime(text) if any(isinstance(each, Runtime) for each in values) else text

    def _key(self, node: Node, local: Mapping[str, Any]) -> str:
        return str(self.value(node, local)) if node.type == "string" else _text(node)

    def _binary(self, node: Node, local: Mapping[str, Any]) -> Any:
        left, right = node.named_children
        sign = next(child.type for child in node.children if not child.is_named)
        first = self.value(left, local)
        if sign in {"||", "&&"}:
            return first if bool(first) == (sign == "||") else self.value(right, local)
        second = self.value(right, local)
        if sign == "+":
            return first + second
        return (first == second) == (sign == "==")

    def _member(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Resource):
            # as Bicep does: a child's name is what its declaration says, and not the whole path
            return {"id": owner.id, "name": owner.body["name"]}.get(name) or Runtime(f"<{owner.id}>.{name}")
        if isinstance(owner, Deployment):
            return owner.outputs
        if isinstance(owner, Runtime):
            return Runtime(f"{owner}.{name}")
        if not isinstance(owner, dict) or name not in owner:
            raise BicepError(f"{self.path.name}: nothing called {name} in {str(owner)[:80]}")
        return owner[name]

    def _call(self, parts: list[Node], local: Mapping[str, Any]) -> Any:
        arguments = [self.value(part, local) for part in parts[1].named_children]
        if parts[0].type == "member_expression":
            return self._member(self.value(parts[0], local), "()")
        name = _text(parts[0])
        if name == "loadTextContent":
            return (self.path.parent / arguments[0]).read_text(encoding="utf-8")
        if name not in bicep_functions.KNOWN:
            raise BicepError(f"{self.path.name}: the function {name} is not known here")
        return bicep_functions.KNOWN[name](*arguments)


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


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
