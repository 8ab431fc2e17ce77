"""What an expression of Bicep is worth, given the names that are declared around it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tests.infra import bicep_functions
from tests.infra.bicep_values import BicepError, Deployment, Resource, Runtime


class Expressions:
    """The expressions of one file. ``lookup`` gives what is declared; it raises ``BicepError`` where nothing is."""

    def __init__(self, path: Path, lookup: Callable[[str], Any]) -> None:
        self.path = path
        self.lookup = lookup

    def rounds(self, loop: Node, local: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        names, items, _ = loop.named_children
        for index, item in enumerate(self.value(items, local)):
            if names.type == "for_loop_parameters":
                each, counter = (text_of(child) for child in names.named_children)
                yield {**local, each: item, counter: index}
            else:
                yield {**local, text_of(names): item}

    def value(self, node: Node, local: Mapping[str, Any]) -> Any:
        """What an expression is. ``local`` are the names of the loops and lambdas around it."""
        kind, parts = node.type, [child for child in node.named_children if "comment" not in child.type]
        match kind:
            case "string":
                return self._string(parts, local)
            case "number":
                return int(text_of(node))
            case "boolean" | "null":
                return {"true": True, "false": False, "null": None}[text_of(node)]
            case "identifier":
                return local[text_of(node)] if text_of(node) in local else self.lookup(text_of(node))
            case "object":
                return {
                    self._key(pair.named_children[0], local): self.value(pair.named_children[-1], local)
                    for pair in parts
                }
            case "array":
                return [self.value(part, local) for part in parts]
            case "for_statement":
                return [self.value(parts[-1], inner) for inner in self.rounds(node, local)]
            case "parenthesized_expression":
                return self.value(parts[0], local)
            case "unary_expression":
                return not self.value(parts[0], local)
            case "ternary_expression":
                return self.value(parts[1] if self.value(parts[0], local) else parts[2], local)
            case "binary_expression":
                return self._binary(node, local)
            case "member_expression":
                return self._member(self.value(parts[0], local), text_of(parts[1]))
            case "subscript_expression":
                return self.value(parts[0], local)[self.value(parts[1], local)]
            case "call_expression":
                return self._call(parts, local)
            case "lambda_expression":
                name = text_of(parts[0])
                return lambda item: self.value(parts[1], {**local, name: item})
        raise BicepError(f"{self.path.name}:{node.start_point.row + 1}: {kind} is not known here: {text_of(node)[:60]}")

    def _string(self, parts: list[Node], local: Mapping[str, Any]) -> str:
        values = [
            self.value(part.named_children[0], local) if part.type == "interpolation" else _unescaped(text_of(part))
            for part in parts
        ]
        text = "".join(str(each) for each in values)
        return Runtime(text) if any(isinstance(each, Runtime) for each in values) else text

    def _key(self, node: Node, local: Mapping[str, Any]) -> str:
        return str(self.value(node, local)) if node.type == "string" else text_of(node)

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
        name = text_of(parts[0])
        if name == "loadTextContent":
            return (self.path.parent / arguments[0]).read_text(encoding="utf-8")
        if name not in bicep_functions.KNOWN:
            raise BicepError(f"{self.path.name}: the function {name} is not known here")
        return bicep_functions.KNOWN[name](*arguments)


def text_of(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
