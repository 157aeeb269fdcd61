"""A receiver that verifies signatures with the packages of PyPI, and with the lines of docs/webhooks.md."""

import json
import os
import queue
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import standardwebhooks
import svix.webhooks

# The lines of docs/webhooks.md.
import verify
from standardwebhooks.webhooks import WebhookVerificationError

HUB = os.environ["PRICHAL_URL"]
SECRET = "webhook.signingSecret"

Headers = dict[str, str]
calls: queue.Queue[tuple[Headers, bytes]] = queue.Queue()

# The functions that verify `v1`. Each takes a secret as the server prints it, the headers and the body.
VERIFIERS: dict[str, Callable[[str, Headers, bytes], Any]] = {
    "standardwebhooks": lambda secret, headers, body: standardwebhooks.Webhook(secret).verify(body, headers),
    "svix": lambda secret, headers, body: svix.webhooks.Webhook(secret).verify(body, headers),
    "docs/webhooks.md": verify.verify_v1,
}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        calls.put(({name.lower(): value for name, value in self.headers.items()}, body))

    def log_message(self, format: str, *args: object) -> None:
        pass


def send(method: str, path: str, body: object = None, token: str = os.environ["PRICHAL_ADMIN_TOKEN"]) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(HUB + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def refuses(verifier: Callable[[str, Headers, bytes], Any], key: str, headers: Headers, body: bytes) -> bool:
    try:
        verifier(key, headers, body)
    except WebhookVerificationError:
        return True
    return False


def check(verifier: Callable[[str, Headers, bytes], Any], key: str, headers: Headers, body: bytes) -> None:
    """Fails unless a function verifies a call, and refuses it once a part of it is changed."""
    verifier(key, headers, body)
    changed_id = headers | {"webhook-id": headers["webhook-id"] + "0"}
    changed_time = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    assert refuses(verifier, key, headers, body + b" "), "a changed body"
    assert refuses(verifier, key, changed_id, body), "a changed id"
    assert refuses(verifier, key, changed_time, body), "a changed timestamp"


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    send("POST", "/admin/v1/workspaces", {"name": "acme"})
    token = send("POST", "/admin/v1/workspaces/acme/tokens", {"name": "me", "role": "admin"})["token"]

    def api(method: str, path: str, body: object = None) -> Any:
        return send(method, f"/api/v1/acme{path}", body, token)

    manifest = {"name": "receiver", "version": "1.0", "baseUrl": f"http://127.0.0.1:{server.server_port}"}
    integration = api("POST", "/private-integrations", manifest)["id"]
    api("POST", f"/integrations/{integration}/install", {})

    def patch(op: str, path: str, value: object) -> Any:
        operation = {"op": op, "path": path, "value": value}
        return api("PATCH", f"/integrations/instances/{integration}", {"operations": [operation]})["result"]

    def next_call() -> tuple[Headers, bytes, list[str]]:
        """A call of the webhook, and the kinds of its signatures."""
        api("POST", "/companies", {"name": "Рога и копыта"})
        headers, body = calls.get(timeout=30)
        signatures = headers["webhook-signature"].split(" ")
        return headers, body, [signature.split(",")[0] for signature in signatures]

    def sign_with(*kinds: str) -> None:
        api("PATCH", f"/webhooks/{hook}", {"settings": {"signature": kinds}})

    made = patch(
        "add",
        "/webHooks",
        {
            "relativeUrl": "/",
            "triggerType": "entityEvent",
            "filter": {"items": [{"entityType": "company"}]},
            "settings": {"success": "2xx"},
        },
    )
    hook = made["webHooks"][0]["id"]
    old = next(secret["value"] for secret in made["secrets"] if secret["id"] == SECRET)
    assert old.startswith("whsec_"), old
    other = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    headers, body, kinds = next_call()
    assert kinds == ["v1"], kinds
    for verifier in VERIFIERS.values():
        check(verifier, old, headers, body)
        assert refuses(verifier, other, headers, body), "another secret"

    # Two secrets, while one replaces the other.
    patch("replace", f"/secrets/{SECRET}", {"id": SECRET, "value": other, "values": [old, other]})
    headers, body, kinds = next_call()
    assert kinds == ["v1", "v1"], kinds
    sign_with("v1", "v1a")
    public_key = api("GET", f"/webhooks/{hook}/public-key")["publicKey"]
    assert public_key.startswith("whpk_"), public_key
    both_headers, both_body, kinds = next_call()
    assert kinds == ["v1", "v1", "v1a"], kinds
    for verifier in VERIFIERS.values():
        for secret in (old, other):
            check(verifier, secret, headers, body)
            check(verifier, secret, both_headers, both_body)
    check(verify.verify_v1a, public_key, both_headers, both_body)
    assert refuses(verify.verify_v1a, public_key, headers, body), "a call without `v1a`"

    sign_with("v1a")
    patch("replace", f"/secrets/{SECRET}", {"id": SECRET, "value": other, "values": [other]})
    headers, body, kinds = next_call()
    assert kinds == ["v1a"], kinds
    check(verify.verify_v1a, public_key, headers, body)
    with mock.patch("time.time", lambda: int(headers["webhook-timestamp"]) + 301):
        assert refuses(verify.verify_v1a, public_key, headers, body), "an old call"
    # docs/webhooks.md says that these packages do not know `v1a`.
    for name, verifier in VERIFIERS.items():
        assert refuses(verifier, other, headers, body), f"{name} verifies `v1a` now: docs/webhooks.md says no"

    sign_with("v1")
    headers, body, kinds = next_call()
    assert kinds == ["v1"], kinds
    for verifier in VERIFIERS.values():
        check(verifier, other, headers, body)
        assert refuses(verifier, old, headers, body), "the secret that was replaced"
    print("PyPI: standardwebhooks and svix verify v1, cryptography verifies v1a")


main()
