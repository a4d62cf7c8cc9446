"""The OpenAPI document as a page to read: one file that loads nothing from anywhere."""

from __future__ import annotations

import json
from typing import Any


def render_reference(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    from clip_har.pages import environment

    tags = {tag["name"]: {**tag, "operations": []} for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags[operation["tags"][0]]["operations"].append(_operation(document, path, method, operation))
    shapes = {
        name: _fields(document, schema)
        for name, schema in sorted(document["components"]["schemas"].items())
        if schema.get("properties")
    }
    template = environment("clip_har.serving.rest").get_template("reference.html")
    return template.render(info=document["info"], tags=list(tags.values()), shapes=shapes)


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    requests, answers = [], []
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        shown = [one["value"] for one in content.get("examples", {}).values()] or [content.get("example")]
        requests.append(
            {"kind": kind, "shape": _name(content["schema"]), "examples": [_pretty(one) for one in shown if one]}
        )
    for status, response in operation["responses"].items():
        for kind, content in response["content"].items():
            example = _pretty(content["example"]) if status == "200" and "example" in content else None
            answers.append(
                {"status": status, "kind": kind, "shape": _name(content.get("schema", {})), "example": example}
                | {"description": response["description"]}
            )
    return {
        "method": method.upper(),
        "path": path,
        "id": operation["operationId"],
        "description": operation["description"].split("\n\n"),
        "parameters": operation.get("parameters", []),
        "requests": requests,
        "answers": answers,
    }


def _fields(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    wanted = schema.get("required", ())
    return {
        "description": schema.get("description", ""),
        "fields": [
            {"name": name, "type": _type(field), "wanted": name in wanted, "description": field.get("description", "")}
            for name, field in schema["properties"].items()
        ],
    }


def _type(field: dict[str, Any]) -> str:
    """A field's type in words."""
    if "anyOf" in field:
        return " or ".join(_type(one) for one in field["anyOf"])
    if "$ref" in field:
        return _name(field)
    if "enum" in field or "const" in field:
        return " | ".join(str(one).lower() for one in field.get("enum", [field.get("const")]))
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    bounds = [
        f"{sign} {field[name]:g}"
        for name, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if name in field
    ]
    return " ".join([field.get("format", kind) if kind == "string" else kind, *bounds])


def _name(schema: dict[str, Any]) -> str:
    return schema.get("$ref", "").rpartition("/")[2]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
