// A round in each dialect with openapi-fetch and the types of openapi-typescript.
import assert from 'node:assert/strict';
import createClient from 'openapi-fetch';
import type { paths as AdminPaths } from './generated/openapi-typescript/admin.js';
import type { paths as EraPaths } from './generated/openapi-typescript/era.js';
import type { paths as IdocsPaths } from './generated/openapi-typescript/idocs.js';
import type { paths as KonturPaths } from './generated/openapi-typescript/kontur.js';
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

const bearer = (token: string) => ({ baseUrl: HUB, headers: { Authorization: `Bearer ${token}` } });
const kontur = (token: string) => createClient<KonturPaths>(bearer(token));
const era = (token: string) => createClient<EraPaths>(bearer(token));
const idocs = (token: string) => createClient<IdocsPaths>(bearer(token));
const admin = createClient<AdminPaths>(bearer(ADMIN_TOKEN));

/** The body of an answer. A refusal fails the round. */
function body<T>(answer: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  succeeded(answer);
  assert(answer.data !== undefined && answer.data !== null, `${answer.response.url} answered without a body`);
  return answer.data;
}

function succeeded({ error, response }: { error?: unknown; response: Response }): void {
  assert(response.ok, `${response.url} answered ${response.status}: ${JSON.stringify(error)}`);
}

/** Makes a workspace and returns an administrator's token of it. */
async function workspace(name: string, bin?: string): Promise<string> {
  const made = body(
    await admin.POST('/admin/v1/workspaces', { body: { name, ...(bin && { bin, companyName: name }) } }),
  );
  assert.equal(made.name, name);
  const token = body(
    await admin.POST('/admin/v1/workspaces/{ws}/tokens', {
      params: { path: { ws: name } },
      body: { name: 'erp', role: 'admin' },
    }),
  );
  return token.token;
}

/** Makes a private integration with a receiver, and returns its id. */
async function integration(
  client: ReturnType<typeof kontur>,
  ws: string,
  name: string,
  baseUrl: string,
): Promise<string> {
  const { id } = body(
    await client.POST('/api/v1/{ws}/private-integrations', {
      params: { path: { ws } },
      body: { name, version: '1.0', baseUrl },
    }),
  );
  const instance = body(await client.POST('/api/v1/{ws}/integrations/{id}/install', { params: { path: { ws, id } } }));
  assert.equal(instance.status, 'active');
  return id;
}

async function entities(): Promise<void> {
  const ws = 'entities';
  const client = kontur(await workspace(ws));
  const there = await receiver();
  const id = await integration(client, ws, 'my.connector', there.url);
  const patched = body(
    await client.PATCH('/api/v1/{ws}/integrations/instances/{id}', {
      params: { path: { ws, id } },
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
    }),
  );
  assert.equal(patched.result.webHooks[0]?.relativeUrl, '/callbacks');
  assert.match(patched.result.secrets.find((secret) => secret.id === 'webhook.signingSecret')?.value ?? '', /^whsec_/);

  const company = body(
    await client.POST('/api/v1/{ws}/companies', {
      params: { path: { ws } },
      body: { name: 'Horns and Hooves', phones: [{ value: '+7 (999) 777-55-33' }] },
    }),
  );
  assert.equal(company.name, 'Horns and Hooves');
  assert.equal(company.phones[0]?.value, '+7 (999) 777-55-33');
  const same = body(await client.GET('/api/v1/{ws}/companies/{id}', { params: { path: { ws, id: company.id } } }));
  assert.deepEqual(same, company);

  const delivery = await eventually(async () => {
    const { items } = body(
      await client.GET('/api/v1/{ws}/integrations/instances/{id}/deliveries', {
        params: { path: { ws, id }, query: { status: 'delivered' } },
      }),
    );
    return items[0];
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
  const user = body(
    await client.POST('/api/v1/{ws}/users', {
      params: { path },
      body: { login: 'ivan', firstName: 'Ivan', status: 'active' },
    }),
  );
  const id = await integration(client, ws, 'Megafon', there.url);
  const { apiKey } = body(
    await client.POST('/api/v1/{ws}/integrations/{id}/api-key', { params: { path: { ws, id } } }),
  );
  const { accessKey } = body(
    await client.POST('/api/v1/authorization/authorize-private-integration', {
      params: { header: { 'X-XCOM-Integration-ApiKey': apiKey } },
    }),
  );
  const exchange = createClient<KonturPaths>({ baseUrl: HUB, headers: { 'X-XCOM-AccessKey': accessKey } });

  const begin = Date.now() - 60_000;
  const at = (seconds: number) => new Date(begin + seconds * 1000).toISOString();
  const started = body(
    await exchange.POST('/api/v1/{ws}/communications/callbacks/telephony/call-started', {
      params: { path },
      body: {
        timestamp: at(0),
        externalId: '7',
        direction: 'inbound',
        externalVatsPhone: '79229929292',
        clientPhone: '79997775533',
      },
    }),
  );
  assert.equal(started.externalId, 'Megafon/7');
  assert.equal(started.status, 'active');
  const events = [
    ['appeared', 1],
    ['connected', 5],
    ['disconnected', 35],
  ] as const;
  for (const [type, seconds] of events) {
    const done = body(
      await exchange.POST('/api/v1/{ws}/communications/callbacks/telephony/call-event', {
        params: { path },
        body: {
          communicationId: started.id,
          externalCallItemId: '7-1',
          timestamp: at(seconds),
          type,
          from: { type: 'client' },
          to: { type: 'user', userId: user.id },
        },
      }),
    );
    assert.equal(done, 'OK');
  }
  const finished = body(
    await exchange.POST('/api/v1/{ws}/communications/callbacks/telephony/call-finished', {
      params: { path },
      body: { timestamp: at(36), communicationId: started.id },
    }),
  );
  assert.equal(finished, 'OK');

  const call = body(
    await client.GET('/api/v1/{ws}/communications/{id}', {
      params: { path: { ws, id: started.id }, query: { include: 'facts' } },
    }),
  );
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
  const client = era(await workspace('channels'));
  const points = '/rest/v1/service/integration_points';
  const made = body(await client.POST(points, { body: { code: 'bot', type: 'public', opts: { issync: true } } }));
  // The same path looks up ids: a channel is the answer that is no list.
  assert(!Array.isArray(made));
  assert.equal(made.code, 'bot');
  assert.equal(made.opts.issync, true);

  const found = body(
    await client.POST(points, { params: { header: { 'X-HTTP-Method-Override': 'LOOKUP' } }, body: made.token_local }),
  );
  assert.deepEqual(found, [made.id]);
  const listed = body(await client.GET(points, {}));
  assert.deepEqual(
    listed.map((channel) => channel.id),
    [made.id],
  );

  const one = { params: { path: { id: made.id } } };
  succeeded(await client.DELETE('/rest/v1/service/integration_points/{id}', one));
  const { error, response } = await client.GET('/rest/v1/service/integration_points/{id}', one);
  assert.equal(response.status, 404);
  assert.equal(error?.error_code, 1404);
}

async function documents(): Promise<void> {
  const sender = await company(SENDER);
  const recipient = await company(RECIPIENT);
  const uploaded = body(
    await sender.client.POST('/api/v3/sync/blobs/document-content', {
      body: { documentContent: DOCUMENT },
      bodySerializer: form,
    }),
  );
  assert.equal(uploaded.response.fileName, 'contract.pdf');
  const { id } = body(
    await sender.client.POST('/api/v3/sync/external/outbox/document/create', {
      body: {
        documentMetadata: {
          documentName: 'Договор поставки',
          documentNumber: '17/1',
          documentDate: 1767225600,
          documentGroup: 'Legal',
          documentAuthorEmployeeId: sender.employee,
        },
        documentBinaryContents: [{ blobId: uploaded.response.blobId }],
      },
    }),
  );
  succeeded(
    await sender.client.POST('/api/v3/sync/external/outbox/route/quick-route/create', {
      body: {
        documentId: id,
        employeeId: sender.employee,
        route: { external: { nodes: [{ order: 0, counterpartyBin: RECIPIENT.bin, requiredActionType: 'SIGN' }] } },
      },
    }),
  );
  const status = async ({ client }: Company) => {
    const path = { id };
    return body(
      await client.GET('/api/v3/sync/single/document/GetDocumentStatusByDocumentId/{id}', { params: { path } }),
    ).documentStatus;
  };
  assert.equal(await status(sender), 'DRAFT');
  await signAs(sender, 'outbox', SENDER.employee, id);
  assert.equal(await status(sender), 'SENT_BY_SENDER');

  const inbox = body(
    await recipient.client.POST('/api/v3/sync/external/documents-query/inbox', {
      body: { documentStatuses: ['IN_NEW'] },
    }),
  );
  assert.deepEqual(
    inbox.response.pageItems.map((document) => document.documentNumber),
    ['17/1'],
  );
  await signAs(recipient, 'inbox', RECIPIENT.employee, id);
  assert.equal(await status(sender), 'FINISHED');
  assert.equal(await status(recipient), 'FINISHED');

  const signatures = body(
    await sender.client.GET('/api/v3/sync/single/document/signatures/{id}', { params: { path: { id } } }),
  );
  assert.deepEqual(
    signatures.map((signature) => signature.companyBin),
    [SENDER.bin, RECIPIENT.bin],
  );
  assert.deepEqual(
    signatures.map((signature) => signature.report.verdict),
    ['TOTAL_PASSED', 'TOTAL_PASSED'],
  );
  const archive = body(
    await sender.client.GET('/api/v3/sync/single/document/GetDocumentArchiveByDocumentId/{id}', {
      params: { path: { id } },
      parseAs: 'arrayBuffer',
    }),
  );
  assert.equal(Buffer.from(archive).toString('latin1', 0, 2), 'PK');
}

type Company = Awaited<ReturnType<typeof company>>;

/** Makes a company that accepts the signatures of the trial authority, with an employee. */
async function company({ name: ws, bin, employee: login, iin }: typeof SENDER) {
  const token = await workspace(ws, bin);
  const policy = body(
    await admin.PUT('/admin/v1/workspaces/{ws}/signature-policy', {
      params: { path: { ws } },
      body: { policy: 'test', trustAnchors: [AUTHORITY] },
    }),
  );
  assert.equal(policy.policy, 'test');
  const user = body(
    await kontur(token).POST('/api/v1/{ws}/users', { params: { path: { ws } }, body: { login, iin, isAdmin: true } }),
  );
  return { client: idocs(token), employee: user.id };
}

async function signAs(
  { client, employee }: Company,
  side: 'inbox' | 'outbox',
  person: string,
  documentId: string,
): Promise<void> {
  const ticket = body(
    await client.POST(`/api/v3/sync/external/${side}/signature/content-to-sign/generate`, {
      body: { documentId, signedByEmployeeId: employee },
    }),
  );
  const id = new URL(ticket.downloadLink).pathname.split('/').at(-1) ?? '';
  const content = body(
    await client.GET('/api/v3/sync/sign-content/download/{id}', { params: { path: { id } }, parseAs: 'arrayBuffer' }),
  );
  const { response } = body(
    await client.POST('/api/v3/sync/blobs/document-signature-content', {
      body: { signatureContent: sign(content, person) },
      bodySerializer: form,
    }),
  );
  succeeded(
    await client.POST(`/api/v3/sync/external/${side}/signature/quick-sign/save`, {
      body: {
        documentId,
        signedByEmployeeId: employee,
        signatureBinaryContent: { blobId: response.blobId },
        idempotencyTicket: ticket.idempotencyTicket,
      },
    }),
  );
}

/** The form with the members of a body. openapi-fetch sends JSON unless it is told otherwise. */
function form(body: Record<string, Blob>): FormData {
  const data = new FormData();
  for (const [name, file] of Object.entries(body)) data.append(name, file);
  return data;
}

await perform('openapi-fetch', { entities, telephony, channels, documents });
