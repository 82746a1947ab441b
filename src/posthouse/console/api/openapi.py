"""The description of the API in OpenAPI 3.1, made from the declarations of the operations."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from posthouse import __version__
from posthouse.console.api.operation_routes import api_path, offered
from posthouse.console.problems import PROBLEM_JSON, Problem
from posthouse.service.operations.base import Operation, Parameter

__all__ = ["description"]

_REFERENCE: Final = "#/components/schemas/{name}"
_SCHEMAS: Final[dict[type, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": -(10**18) + 1, "maximum": 10**18 - 1},
    bool: {"type": "boolean"},
    list: {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 10_000},
}
_PROBLEMS: Final = {
    "400": "The request is wrong; `detail` says what, and what to write.",
    "401": "A login or a token is needed.",
    "403": "It is not allowed.",
    "404": "What was asked for does not exist.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "503": "The daemon does not answer now.",
}


@cache
def description() -> dict[str, Any]:
    """The whole document."""
    operations = list(offered())
    answers, components = msgspec.json.schema_components(
        [*(each.answer for each in operations), Problem], ref_template=_REFERENCE
    )
    paths = {
        api_path(operation): _methods(operation, answer)
        for operation, answer in zip(operations, answers[:-1], strict=True)
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Posthouse",
            "version": __version__,
            "description": "Every operation of the daemon. Times are seconds since 1970 (UTC).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"token": []}, {"password": []}],
    }


def _methods(operation: Operation, answer: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}}
    }
    problem = {PROBLEM_JSON: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}
    responses |= {status: {"description": text, "content": problem} for status, text in _PROBLEMS.items()}
    shared = {
        "summary": operation.help,
        "tags": [operation.name.partition(" ")[0]],
        "responses": responses,
    }
    name = operation.name.replace(" ", "_").replace("-", "_")
    found: dict[str, Any] = {
        "post": {**shared, "operationId": f"{name}_post" if operation.reads else name, "requestBody": _body(operation)}
    }
    if operation.reads:
        parameters = [_parameter(each) for each in operation.parameters]
        found["get"] = {**shared, "operationId": name, "parameters": parameters}
    return found


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(_SCHEMAS[parameter.kind])
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.default is None,
        "description": parameter.help,
        "schema": _schema(parameter),
    }


def _body(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {each.name: {**_schema(each), "description": each.help} for each in operation.parameters},
        "additionalProperties": False,
    }
    if required := [each.name for each in operation.parameters if each.default is None]:
        schema["required"] = required
    return {"required": True, "content": {"application/json": {"schema": schema}}}
