"""Hooks of schemathesis: half of the generated requests about e-documents name a document, an employee and a blob that exist.

Rules beyond the shape of a request are reached by those alone. KNOWN is a JSON object of ids by the name of their member.
"""

import json
import os
import zlib

import schemathesis

KNOWN = json.loads(os.environ["KNOWN"])
ALIASES = {
    "documentAuthorEmployeeId": "employeeId",
    "signedByEmployeeId": "employeeId",
    "counterpartyCompanyId": "companyId",
    "id": "documentId",
}


def known(name, value):
    """An id in the place of a value, chosen by the value, so that a run can be repeated."""
    ids = KNOWN.get(ALIASES.get(name, name))
    number = zlib.crc32(repr(value).encode())
    if not ids or not isinstance(value, str) or number % 2:
        return value
    return ids[number // 2 % len(ids)]


def filled(value, name=None):
    if isinstance(value, dict):
        return {member: filled(inner, member) for member, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, name) for inner in value]
    return known(name, value)


def is_about_documents(context):
    return context.operation.path.startswith(("/api/v3/", "/api/1/"))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return filled(path_parameters) if is_about_documents(context) else path_parameters


@schemathesis.hook
def map_body(context, body):
    return filled(body) if is_about_documents(context) else body
