// A round in each dialect with the functions of @hey-api/openapi-ts.
import assert from 'node:assert/strict';
import { createClient as createAdmin } from './generated/hey-api/admin/client/index.js';
import { createToken, createWorkspace, putSignaturePolicy } from './generated/hey-api/admin/index.js';
import { createClient as createEra } from './generated/hey-api/era/client/index.js';
import {
  createIntegrationPoint,
  deleteIntegrationPoint,
  getIntegrationPoint,
  listIntegrationPoints,
} from './generated/hey-api/era/index.js';
import { createClient as createIdocs } from './generated/hey-api/idocs/client/index.js';
import {
  createOutbox,
  createQuickRoute,
  download,
  getArchive,
  getStatus,
  inboxContent,
  inboxSign,
  listInbox,
  listSignatures,
  outboxContent,
  outboxSign,
  uploadContent,
  uploadSignature,
} from './generated/hey-api/idocs/index.js';
import { createClient as createKontur, type Client as Kontur } from './generated/hey-api/kontur/client/index.js';
import {
  authorizePrivateIntegration,
  callEvent,
  callFinished,
  callStarted,
  createApiKey,
  createCompany,
  createPrivateIntegration,
  createUser,
  getCommunication,
  getCompany,
  installIntegration,
  listWebhookDeliveries,
  patchInstance,
} from './generated/hey-api/kontur/index.js';
import {
  ADMIN_TOKEN,
  AUTHORITY,
  DOCUMENT,
  HUB,
  RECIPIENT,
  SENDER,
  eventually,
  perform,
  receiver,
  sign,
} from './support.js';

const throwOnError = true;
const admin = createAdmin({ baseUrl: HUB, auth: ADMIN_TOKEN });

const kontur = (token: string) =>
  createKontur({ baseUrl: HUB, auth: ({ type }) => (type === 'http' ? token : undefined) });

/** Makes a workspace and returns an administrator's token of it. */
async function workspace(name: string, bin?: string): Promise<string> {
  const { data: made } = await createWorkspace({
    client: admin,
    throwOnError,
    body: { name, ...(bin && { bin, companyName: name }) },
  });
  assert.equal(made.name, name);
  const { data } = await createToken({
    client: admin,
    throwOnError,
    path: { ws: name },
    body: { name: 'erp', role: 'admin' },
  });
  return data.token;
}

/** Makes a private integration with a receiver, and returns its id. */
async function integration(client: Kontur, ws: string, name: string, baseUrl: string): Promise<string> {
  const {
    data: { id },
  } = await createPrivateIntegration({
    client,
    throwOnError,
    path: { ws },
    body: { name, version: '1.0', baseUrl },
  });
  const { data: instance } = await installIntegration({ client, throwOnError, path: { ws, id } });
  assert.equal(instance.status, 'active');
  return id;
}

async function entities(): Promise<void> {
  const ws = 'entities';
  const client = kontur(await workspace(ws));
  const there = await receiver();
  const id = await integration(client, ws, 'my.connector', there.url);
  const {
    data: { result },
  } = await patchInstance({
    client,
    throwOnError,
    path: { ws, id },
    body: {
      operations: [
        {
          op: 'add',
          path: '/webHooks',
          value: {
            relativeUrl: '/callbacks',
            triggerType: 'entityEvent',
            filter: { items: [{ entityType: 'company' }] },
          },
        },
      ],
    },
  });
  assert.equal(result.webHooks[0]?.relativeUrl, '/callbacks');
  assert.match(result.secrets.find((secret) => secret.id === 'webhook.signingSecret')?.value ?? '', /^whsec_/);

  const { data: company } = await createCompany({
    client,
    throwOnError,
    path: { ws },
    body: { name: 'Horns and Hooves', phones: [{ value: '+7 (999) 777-55-33' }] },
  });
  assert.equal(company.name, 'Horns and Hooves');
  assert.equal(company.phones[0]?.value, '+7 (999) 777-55-33');
  const { data: same } = await getCompany({ client, throwOnError, path: { ws, id: company.id } });
  assert.deepEqual(same, company);

  const delivery = await eventually(async () => {
    const { data } = await listWebhookDeliveries({
      client,
      throwOnError,
      path: { ws, id },
      query: { status: 'delivered' },
    });
    return data.items[0];
  });
  assert.equal(delivery.attempt, 1);
  assert.equal(delivery.httpStatus, 200);
  there.close();
}

async function telephony(): Promise<void> {
  const ws = 'telephony';
  const client = kontur(await workspace(ws));
  const there = await receiver();
  const path = { ws };
  const { data: user } = await createUser({
    client,
    throwOnError,
    path,
    body: { login: 'ivan', firstName: 'Ivan', status: 'active' },
  });
  const id = await integration(client, ws, 'Megafon', there.url);
  const {
    data: { apiKey },
  } = await createApiKey({ client, throwOnError, path: { ws, id } });
  const {
    data: { accessKey },
  } = await authorizePrivateIntegration({
    client: createKontur({ baseUrl: HUB }),
    throwOnError,
    headers: { 'X-XCOM-Integration-ApiKey': apiKey },
  });
  const exchange = createKontur({ baseUrl: HUB, auth: ({ type }) => (type === 'apiKey' ? accessKey : undefined) });

  const begin = Date.now() - 60_000;
  const at = (seconds: number) => new Date(begin + seconds * 1000).toISOString();
  const { data: started } = await callStarted({
    client: exchange,
    throwOnError,
    path,
    body: {
      timestamp: at(0),
      externalId: '7',
      direction: 'inbound',
      externalVatsPhone: '79229929292',
      clientPhone: '79997775533',
    },
  });
  assert.equal(started.externalId, 'Megafon/7');
  assert.equal(started.status, 'active');
  const events = [
    ['appeared', 1],
    ['connected', 5],
    ['disconnected', 35],
  ] as const;
  for (const [type, seconds] of events) {
    const { data: done } = await callEvent({
      client: exchange,
      throwOnError,
      path,
      body: {
        communicationId: started.id,
        externalCallItemId: '7-1',
        timestamp: at(seconds),
        type,
        from: { type: 'client' },
        to: { type: 'user', userId: user.id },
      },
    });
    assert.equal(done, 'OK');
  }
  const { data: finished } = await callFinished({
    client: exchange,
    throwOnError,
    path,
    body: { timestamp: at(36), communicationId: started.id },
  });
  assert.equal(finished, 'OK');

  const { data: call } = await getCommunication({
    client,
    throwOnError,
    path: { ws, id: started.id },
    query: { include: 'facts' },
  });
  assert.equal(call.direction, 'inbound');
  assert.deepEqual(
    call.data.call.events.map((event) => event.type),
    ['appeared', 'connected', 'disconnected'],
  );
  assert.equal(call.data.call.items[0]?.to.userId, user.id);
  assert.equal(call.facts?.state, 'ended');
  assert.equal(call.facts?.talkMs, 30_000);
  there.close();
}

async function channels(): Promise<void> {
  const client = createEra({ baseUrl: HUB, auth: await workspace('channels') });
  const { data: made } = await createIntegrationPoint({
    client,
    throwOnError,
    body: { code: 'bot', type: 'public', opts: { issync: true } },
  });
  // The same path looks up ids: a channel is the answer that is no list.
  assert(!Array.isArray(made));
  assert.equal(made.code, 'bot');
  assert.equal(made.opts.issync, true);

  const { data: found } = await createIntegrationPoint({
    client,
    throwOnError,
    headers: { 'X-HTTP-Method-Override': 'LOOKUP' },
    body: made.token_local,
  });
  assert.deepEqual(found, [made.id]);
  const { data: listed } = await listIntegrationPoints({ client, throwOnError });
  assert.deepEqual(
    listed.map((channel) => channel.id),
    [made.id],
  );

  const path = { id: made.id };
  await deleteIntegrationPoint({ client, throwOnError, path });
  const { error, response } = await getIntegrationPoint({ client, path });
  assert.equal(response?.status, 404);
  assert.equal(error?.error_code, 1404);
}

async function documents(): Promise<void> {
  const sender = await company(SENDER);
  const recipient = await company(RECIPIENT);
  const { client, employee: employeeId } = sender;
  const { data: uploaded } = await uploadContent({ client, throwOnError, body: { documentContent: DOCUMENT } });
  assert.equal(uploaded.response.fileName, 'contract.pdf');
  const {
    data: { id },
  } = await createOutbox({
    client,
    throwOnError,
    body: {
      documentMetadata: {
        documentName: 'Договор поставки',
        documentNumber: '17/1',
        documentDate: 1767225600,
        documentGroup: 'Legal',
        documentAuthorEmployeeId: employeeId,
      },
      documentBinaryContents: [{ blobId: uploaded.response.blobId }],
    },
  });
  await createQuickRoute({
    client,
    throwOnError,
    body: {
      documentId: id,
      employeeId,
      route: { external: { nodes: [{ order: 0, counterpartyBin: RECIPIENT.bin, requiredActionType: 'SIGN' }] } },
    },
  });
  const path = { id };
  const status = async ({ client }: Company) => (await getStatus({ client, throwOnError, path })).data.documentStatus;
  assert.equal(await status(sender), 'DRAFT');
  await signAs(sender, 'outbox', SENDER.employee, id);
  assert.equal(await status(sender), 'SENT_BY_SENDER');

  const { data: inbox } = await listInbox({
    client: recipient.client,
    throwOnError,
    body: { documentStatuses: ['IN_NEW'] },
  });
  assert.deepEqual(
    inbox.response.pageItems.map((document) => document.documentNumber),
    ['17/1'],
  );
  await signAs(recipient, 'inbox', RECIPIENT.employee, id);
  assert.equal(await status(sender), 'FINISHED');
  assert.equal(await status(recipient), 'FINISHED');

  const { data: signatures } = await listSignatures({ client, throwOnError, path });
  assert.deepEqual(
    signatures.map((signature) => signature.companyBin),
    [SENDER.bin, RECIPIENT.bin],
  );
  assert.deepEqual(
    signatures.map((signature) => signature.report.verdict),
    ['TOTAL_PASSED', 'TOTAL_PASSED'],
  );
  const { data: archive } = await getArchive({ client, throwOnError, path });
  assert.equal(await archive.slice(0, 2).text(), 'PK');
}

type Company = Awaited<ReturnType<typeof company>>;

/** Makes a company that accepts the signatures of the trial authority, with an employee. */
async function company({ name: ws, bin, employee: login, iin }: typeof SENDER) {
  const token = await workspace(ws, bin);
  const { data: policy } = await putSignaturePolicy({
    client: admin,
    throwOnError,
    path: { ws },
    body: { policy: 'test', trustAnchors: [AUTHORITY] },
  });
  assert.equal(policy.policy, 'test');
  const { data: user } = await createUser({
    client: kontur(token),
    throwOnError,
    path: { ws },
    body: { login, iin, isAdmin: true },
  });
  return { client: createIdocs({ baseUrl: HUB, auth: token }), employee: user.id };
}

async function signAs(
  { client, employee }: Company,
  side: 'inbox' | 'outbox',
  person: string,
  documentId: string,
): Promise<void> {
  const [generate, save] = side === 'outbox' ? [outboxContent, outboxSign] : [inboxContent, inboxSign];
  const { data: ticket } = await generate({ client, throwOnError, body: { documentId, signedByEmployeeId: employee } });
  const id = new URL(ticket.downloadLink).pathname.split('/').at(-1) ?? '';
  const { data: content } = await download({ client, throwOnError, path: { id } });
  const { data: uploaded } = await uploadSignature({
    client,
    throwOnError,
    body: { signatureContent: sign(await content.arrayBuffer(), person) },
  });
  await save({
    client,
    throwOnError,
    body: {
      documentId,
      signedByEmployeeId: employee,
      signatureBinaryContent: { blobId: uploaded.response.blobId },
      idempotencyTicket: ticket.idempotencyTicket,
    },
  });
}

await perform('hey-api', { entities, telephony, channels, documents });
