"""The OpenAPI 3.1 document of the native API, from the same descriptors that answer it.

Called once, when a gateway starts; served at /v1/openapi.json. Types are proto3 JSON's: 64-bit
integers are text.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.native import Route

Schema: TypeAlias = dict[str, Any]  # an object of the document: a schema, an operation ...
Schemas: TypeAlias = dict[str, Schema]
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
}

_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                name: {"type": "string"}
                for name in ("kind", "message", "noun", "id", "reason", "request_id")
            },
        }
    },
}


def document(routes: list[Route], version: str) -> bytes:
    """The document as JSON."""
    schemas: Schemas = {"Error": _ERROR}
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.verb.lower()] = _operation(route, schemas)
    told = {
        "openapi": "3.1.0",
        "info": {"title": "Pileus", "version": version},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": 'AWS Signature Version 4 with the service name "pileus".',
                }
            },
        },
        "security": [{"sigv4": []}],
        "paths": paths,
    }
    return json.dumps(told).encode()


def _operation(route: Route, schemas: Schemas) -> Schema:
    method = route.method
    told: Schema = {
        "operationId": f"{method.containing_service.name}.{method.name}",
        "tags": [method.containing_service.name],
        "parameters": _parameters(route, schemas),
        "responses": {
            "200": _json_content("The answer.", _reference(method.output_type, schemas)),
            "default": _json_content("An error.", {"$ref": "#/components/schemas/Error"}),
        },
    }
    if route.streams:
        told["requestBody"] = {"content": {"application/octet-stream": {}}, "required": True}
    elif route.has_body:
        schema = _reference(method.input_type, schemas)
        told["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return told


def _json_content(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameters(route: Route, schemas: Schemas) -> list[Schema]:
    in_path = set(route.pattern.groupindex)
    told = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in sorted(in_path)
    ]
    if route.has_body and not route.streams:
        return told
    for name, schema in _query_fields(route.method.input_type, schemas, ""):
        if name not in in_path and schema.get("contentEncoding") != "base64":
            told.append({"name": name, "in": "query", "schema": schema})
    return told


def _query_fields(
    message: Descriptor, schemas: Schemas, prefix: str
) -> Iterator[tuple[str, Schema]]:
    """A message's fields as query parameters: ``page.max_results``, ``filters.{n}.name``."""
    for field in message.fields:
        name = prefix + field.name
        if field.message_type is None:
            yield name, _field(field, schemas)
        elif not field.message_type.GetOptions().map_entry:
            number = ".{n}" if field.is_repeated else ""
            yield from _query_fields(field.message_type, schemas, f"{name}{number}.")


def _reference(message: Descriptor, schemas: Schemas) -> Schema:
    name = message.name
    if name not in schemas:
        schemas[name] = {}  # before its fields: messages may contain themselves
        schemas[name] = {
            "type": "object",
            "properties": {field.name: _field(field, schemas) for field in message.fields},
        }
    return {"$ref": f"#/components/schemas/{name}"}


def _field(field: FieldDescriptor, schemas: Schemas) -> Schema:
    if field.message_type is None:
        schema = _SCALARS[field.type]
    elif field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return {"type": "object", "additionalProperties": _field(value, schemas)}
    else:
        schema = _reference(field.message_type, schemas)
    return {"type": "array", "items": schema} if field.is_repeated else schema
