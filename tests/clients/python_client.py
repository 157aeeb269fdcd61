"""A round in each dialect with the packages of openapi-python-client."""

import datetime
import io
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from prichal_admin import AuthenticatedClient as AdminClient
from prichal_admin.api.administration import create_token, create_workspace, put_signature_policy
from prichal_admin.models import CreatedToken, NewSignaturePolicy, NewToken, NewWorkspace, SignaturePolicy, Workspace
from prichal_admin.types import UNSET, Unset
from prichal_era import AuthenticatedClient as EraClient
from prichal_era.api.channels import (
    create_integration_point,
    delete_integration_point,
    get_integration_point,
    list_integration_points,
)
from prichal_era.models import ChannelError, IntegrationPoint, NewIntegrationPoint, NewIntegrationPointOpts
from prichal_idocs import AuthenticatedClient as IdocsClient
from prichal_idocs.api.documents import (
    create_outbox,
    create_quick_route,
    download,
    get_archive,
    get_status,
    inbox_content,
    inbox_sign,
    list_inbox,
    list_signatures,
    outbox_content,
    outbox_sign,
    upload_content,
    upload_signature,
)
from prichal_idocs.models import (
    AddQuickSignatureVM,
    ClientUploadedBlobVMSyncOperationResponseVM,
    ContentForm,
    CreateExternalRouteNodeVM,
    CreateExternalRouteVM,
    CreateIntegrationDocumentVM,
    CreateQuickRouteForExternalOutboxDocumentVM,
    CreateQuickRouteVM,
    DocumentBaseVM,
    DocumentBinaryContentVM,
    DocumentExtendedVMPaginatedResponseVMSyncOperationResponseVM,
    DocumentMetadataVM,
    DocumentStatusVM,
    GenerateSignContentVM,
    QueryDocumentsVM,
    SignatureForm,
    SignContentResponse,
)
from prichal_idocs.types import File
from prichal_kontur import AuthenticatedClient as KonturClient
from prichal_kontur import Client as OpenKonturClient
from prichal_kontur.api.authorization import authorize_private_integration
from prichal_kontur.api.entities import create_company, create_user, get_company
from prichal_kontur.api.integrations import (
    create_api_key,
    create_private_integration,
    install_integration,
    patch_instance,
)
from prichal_kontur.api.telephony import call_event, call_finished, call_started, get_communication
from prichal_kontur.api.webhooks import list_webhook_deliveries
from prichal_kontur.models import (
    AuthResult,
    CallEvent,
    CallEventType,
    CallFinished,
    CallStarted,
    Communication,
    CommunicationFacts,
    Company,
    DeliveryAttempt,
    DeliveryAttemptList,
    Integration,
    IntegrationApiKey,
    IntegrationInstance,
    IntegrationManifest,
    NewCompany,
    NewContactPoint,
    NewUser,
    PatchedInstance,
    PatchEnvelope,
    PatchEnvelopeOperationsItem,
    ReportedParty,
    User,
)

T = TypeVar("T")

HUB = os.environ["PRICHAL_URL"]
# The certificate of a trial authority, and the certificates and keys of two employees.
KEYS = Path(os.environ["PRICHAL_KEYS"])

admin = AdminClient(base_url=HUB, token=os.environ["PRICHAL_ADMIN_TOKEN"])


def answered(kind: type[T], answer: object) -> T:
    """The answer of this type. A refusal fails the round."""
    assert isinstance(answer, kind), answer
    return answer


def workspace(name: str, bin_: str | Unset = UNSET) -> str:
    """Makes a workspace and returns an administrator's token of it."""
    company_name = UNSET if isinstance(bin_, Unset) else name
    new = NewWorkspace(name=name, bin_=bin_, company_name=company_name)
    assert answered(Workspace, create_workspace.sync(client=admin, body=new)).name == name
    token = create_token.sync(name, client=admin, body=NewToken(name="erp", role="admin"))
    return answered(CreatedToken, token).token


class Receiver(BaseHTTPRequestHandler):
    """A receiver of webhooks and system calls, which accepts each by its echo."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("X-XCOM-Integration-Echo", self.headers.get("X-XCOM-Integration-Echo", ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def integration(client: KonturClient, ws: str, name: str, base_url: str) -> UUID:
    """Makes a private integration with a receiver, and returns its id."""
    manifest = IntegrationManifest(name=name, version="1.0", base_url=base_url)
    made = answered(Integration, create_private_integration.sync(ws, client=client, body=manifest))
    instance = answered(IntegrationInstance, install_integration.sync(ws, made.id, client=client))
    assert instance.status == "active"
    return made.id


def entities() -> None:
    ws = "entities"
    client = KonturClient(base_url=HUB, token=workspace(ws))
    with receiver() as url:
        integration_id = integration(client, ws, "my.connector", url)
        hook = {
            "relativeUrl": "/callbacks",
            "triggerType": "entityEvent",
            "filter": {"items": [{"entityType": "company"}]},
        }
        envelope = PatchEnvelope(operations=[PatchEnvelopeOperationsItem(op="add", path="/webHooks", value=hook)])
        patched = patch_instance.sync(ws, integration_id, client=client, body=envelope)
        result = answered(PatchedInstance, patched).result
        assert [hook.relative_url for hook in result.web_hooks] == ["/callbacks"]
        secrets = {secret.id: secret.value for secret in result.secrets}
        assert secrets["webhook.signingSecret"].startswith("whsec_")

        new = NewCompany(name="Horns and Hooves", phones=[NewContactPoint(value="+7 (999) 777-55-33")])
        company = answered(Company, create_company.sync(ws, client=client, body=new))
        assert company.name == "Horns and Hooves"
        assert [phone.value for phone in company.phones] == ["+7 (999) 777-55-33"]
        assert get_company.sync(ws, company.id, client=client) == company

        def delivered() -> DeliveryAttempt | None:
            page = list_webhook_deliveries.sync(ws, integration_id, client=client, status="delivered")
            return next(iter(answered(DeliveryAttemptList, page).items), None)

        delivery = eventually(delivered)
        assert (delivery.attempt, delivery.http_status) == (1, 200)


def eventually(ask: Callable[[], T | None]) -> T:
    """Asks again until there is an answer, for at most half a minute."""
    for _ in range(300):
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.1)
    raise TimeoutError("nothing came within half a minute")


def telephony() -> None:
    ws = "telephony"
    client = KonturClient(base_url=HUB, token=workspace(ws))
    user = answered(
        User, create_user.sync(ws, client=client, body=NewUser(login="ivan", first_name="Ivan", status="active"))
    )
    with receiver() as url:
        integration_id = integration(client, ws, "Megafon", url)
        key = answered(IntegrationApiKey, create_api_key.sync(ws, integration_id, client=client)).api_key
        authorized = authorize_private_integration.sync(
            client=OpenKonturClient(base_url=HUB), x_xcom_integration_api_key=key
        )
        access_key = answered(AuthResult, authorized).access_key
        exchange = KonturClient(base_url=HUB, token=access_key, prefix="", auth_header_name="X-XCOM-AccessKey")

        begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)

        def at(seconds: int) -> datetime.datetime:
            return begin + datetime.timedelta(seconds=seconds)

        started = CallStarted(
            timestamp=at(0),
            external_id="7",
            direction="inbound",
            external_vats_phone="79229929292",
            client_phone="79997775533",
        )
        call = answered(Communication, call_started.sync(ws, client=exchange, body=started))
        assert (call.external_id, call.status) == ("Megafon/7", "active")
        legs: list[tuple[CallEventType, int]] = [("appeared", 1), ("connected", 5), ("disconnected", 35)]
        for type_, seconds in legs:
            event = CallEvent(
                communication_id=call.id,
                external_call_item_id="7-1",
                timestamp=at(seconds),
                type_=type_,
                from_=ReportedParty(type_="client"),
                to=ReportedParty(type_="user", user_id=user.id),
            )
            assert call_event.sync(ws, client=exchange, body=event) == "OK"
        finished = CallFinished(timestamp=at(36), communication_id=call.id)
        assert call_finished.sync(ws, client=exchange, body=finished) == "OK"

    call = answered(Communication, get_communication.sync(ws, call.id, client=client, include="facts"))
    assert call.direction == "inbound"
    assert [event.type_ for event in call.data.call.events] == ["appeared", "connected", "disconnected"]
    assert [leg.to.user_id for leg in call.data.call.items] == [user.id]
    facts = answered(CommunicationFacts, call.facts)
    assert (facts.state, facts.talk_ms) == ("ended", 30_000)


def channels() -> None:
    client = EraClient(base_url=HUB, token=workspace("channels"))
    new = NewIntegrationPoint(code="bot", type_="public", opts=NewIntegrationPointOpts(issync=True))
    # The same path looks up ids: a channel is the answer that is no list.
    made = answered(IntegrationPoint, create_integration_point.sync(client=client, body=new))
    assert (made.code, made.opts.issync) == ("bot", True)

    found = create_integration_point.sync(client=client, body=made.token_local, x_http_method_override="LOOKUP")
    assert found == [made.id]
    listed = list_integration_points.sync(client=client)
    assert isinstance(listed, list), listed
    assert [channel.id for channel in listed] == [made.id]

    deleted = delete_integration_point.sync_detailed(made.id, client=client)
    assert deleted.status_code == HTTPStatus.NO_CONTENT
    gone = get_integration_point.sync_detailed(made.id, client=client)
    assert gone.status_code == HTTPStatus.NOT_FOUND
    assert answered(ChannelError, gone.parsed).error_code == 1404


@dataclass
class Employer:
    """A company that accepts the signatures of the trial authority, with an employee."""

    name: str
    bin: str
    login: str
    iin: str

    def __post_init__(self) -> None:
        token = workspace(self.name, self.bin)
        policy = NewSignaturePolicy(policy="test", trust_anchors=[(KEYS / "ca.crt").read_text()])
        stored = put_signature_policy.sync(self.name, client=admin, body=policy)
        assert answered(SignaturePolicy, stored).policy == "test"
        kontur = KonturClient(base_url=HUB, token=token)
        new = NewUser(login=self.login, iin=self.iin, is_admin=True)
        self.employee = answered(User, create_user.sync(self.name, client=kontur, body=new)).id
        self.client = IdocsClient(base_url=HUB, token=token)

    def status(self, document: UUID) -> str:
        return answered(DocumentStatusVM, get_status.sync(document, client=self.client)).document_status

    def sign(self, content: bytes) -> bytes:
        """Signs as the employee does: a CMS signature with the content inside."""
        with tempfile.TemporaryDirectory(dir=KEYS) as folder:
            source, target = Path(folder, "content.zip"), Path(folder, "content.cms")
            source.write_bytes(content)
            command = ["openssl", "cms", "-sign", "-binary", "-cades", "-md", "sha256", "-nodetach", "-outform", "DER"]
            command += ["-signer", str(KEYS / f"{self.login}.crt"), "-inkey", str(KEYS / f"{self.login}.key")]
            subprocess.run([*command, "-in", str(source), "-out", str(target)], check=True)
            return target.read_bytes()

    def sign_document(self, document: UUID, *, sent: bool) -> None:
        content, save = (outbox_content, outbox_sign) if sent else (inbox_content, inbox_sign)
        wanted = GenerateSignContentVM(document_id=document, signed_by_employee_id=self.employee)
        ticket = answered(SignContentResponse, content.sync(client=self.client, body=wanted))
        link = UUID(ticket.download_link.rsplit("/", 1)[-1])
        bytes_ = answered(File, download.sync(link, client=self.client)).payload.read()
        file = File(payload=io.BytesIO(self.sign(bytes_)), file_name="contract.cms", mime_type="application/pkcs7-mime")
        form = SignatureForm(signature_content=file)
        uploaded = answered(
            ClientUploadedBlobVMSyncOperationResponseVM, upload_signature.sync(client=self.client, body=form)
        )
        signature = AddQuickSignatureVM(
            document_id=document,
            signed_by_employee_id=self.employee,
            signature_binary_content=DocumentBinaryContentVM(blob_id=uploaded.response.blob_id),
            idempotency_ticket=ticket.idempotency_ticket,
        )
        saved = save.sync_detailed(client=self.client, body=signature)
        assert saved.status_code == HTTPStatus.OK, saved.content


def documents() -> None:
    sender = Employer("alpha", "971240001315", "ahmet", "061211600012")
    recipient = Employer("beta", "940140000385", "bota", "200140000501")
    file = File(payload=io.BytesIO(b"%PDF-1.4\n%%EOF\n"), file_name="contract.pdf", mime_type="application/pdf")
    uploaded = answered(
        ClientUploadedBlobVMSyncOperationResponseVM,
        upload_content.sync(client=sender.client, body=ContentForm(document_content=file)),
    )
    assert uploaded.response.file_name == "contract.pdf"
    new = CreateIntegrationDocumentVM(
        document_metadata=DocumentMetadataVM(
            document_name="Договор поставки",
            document_number="17/1",
            document_date=1767225600,
            document_group="Legal",
            document_author_employee_id=sender.employee,
        ),
        document_binary_contents=[DocumentBinaryContentVM(blob_id=uploaded.response.blob_id)],
    )
    document = answered(DocumentBaseVM, create_outbox.sync(client=sender.client, body=new)).id
    node = CreateExternalRouteNodeVM(order=0, counterparty_bin=recipient.bin, required_action_type="SIGN")
    route = CreateQuickRouteForExternalOutboxDocumentVM(
        document_id=document,
        employee_id=sender.employee,
        route=CreateQuickRouteVM(external=CreateExternalRouteVM(nodes=[node])),
    )
    routed = create_quick_route.sync_detailed(client=sender.client, body=route)
    assert routed.status_code == HTTPStatus.OK, routed.content
    assert sender.status(document) == "DRAFT"
    sender.sign_document(document, sent=True)
    assert sender.status(document) == "SENT_BY_SENDER"

    inbox = answered(
        DocumentExtendedVMPaginatedResponseVMSyncOperationResponseVM,
        list_inbox.sync(client=recipient.client, body=QueryDocumentsVM(document_statuses=["IN_NEW"])),
    )
    assert [document.document_number for document in inbox.response.page_items] == ["17/1"]
    recipient.sign_document(document, sent=False)
    assert sender.status(document) == "FINISHED"
    assert recipient.status(document) == "FINISHED"

    signatures = list_signatures.sync(document, client=sender.client)
    assert isinstance(signatures, list), signatures
    assert [signature.company_bin for signature in signatures] == [sender.bin, recipient.bin]
    assert [signature.report.verdict for signature in signatures] == ["TOTAL_PASSED", "TOTAL_PASSED"]
    archive = answered(File, get_archive.sync(document, client=sender.client))
    assert archive.payload.read(2) == b"PK"


for perform in [entities, telephony, channels, documents]:
    start = time.monotonic()
    perform()
    milliseconds = round((time.monotonic() - start) * 1000)
    print(f"openapi-python-client, {perform.__name__}: passed in {milliseconds} ms", flush=True)
