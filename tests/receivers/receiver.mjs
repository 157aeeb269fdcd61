// A receiver that verifies signatures with the packages of npm, and with the lines of docs/webhooks.md.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import * as standardwebhooks from 'standardwebhooks';
import * as svix from 'svix';

// The lines of docs/webhooks.md.
import { verifyV1, verifyV1a } from './verify.mjs';

const HUB = process.env.PRICHAL_URL;
const SECRET = 'webhook.signingSecret';

// The functions that verify `v1`. Each takes a secret as the server prints it, the headers and the body.
const VERIFIERS = {
  standardwebhooks: (secret, headers, body) => new standardwebhooks.Webhook(secret).verify(body, headers),
  svix: (secret, headers, body) => new svix.Webhook(secret).verify(body, headers),
  'docs/webhooks.md': verifyV1,
};

const calls = [];
const receiver = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  response.writeHead(204).end();
  calls.push({ headers: request.headers, body });
  receiver.emit('call');
});
receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');

async function send(method, path, body, token = process.env.PRICHAL_ADMIN_TOKEN) {
  const answer = await fetch(HUB + path, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  assert(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

function refuses(verifier, key, headers, body, what) {
  const isVerificationError = (error) => error.name === 'WebhookVerificationError';
  assert.throws(() => verifier(key, headers, body), isVerificationError, what);
}

/** Fails unless a function verifies a call, and refuses it once a part of it is changed. */
function check(verifier, key, { headers, body }) {
  verifier(key, headers, body);
  const changedId = { ...headers, 'webhook-id': `${headers['webhook-id']}0` };
  const changedTime = { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) };
  refuses(verifier, key, headers, Buffer.concat([body, Buffer.from(' ')]), 'a changed body');
  refuses(verifier, key, changedId, body, 'a changed id');
  refuses(verifier, key, changedTime, body, 'a changed timestamp');
}

await send('POST', '/admin/v1/workspaces', { name: 'acme' });
const { token } = await send('POST', '/admin/v1/workspaces/acme/tokens', { name: 'me', role: 'admin' });
const api = (method, path, body) => send(method, `/api/v1/acme${path}`, body, token);

const baseUrl = `http://127.0.0.1:${receiver.address().port}`;
const { id: integration } = await api('POST', '/private-integrations', { name: 'receiver', version: '1.0', baseUrl });
await api('POST', `/integrations/${integration}/install`, {});

async function patch(op, path, value) {
  const body = { operations: [{ op, path, value }] };
  return (await api('PATCH', `/integrations/instances/${integration}`, body)).result;
}

/** A call of the webhook, whose signatures have these kinds. */
async function nextCall(...kinds) {
  await api('POST', '/companies', { name: 'Рога и копыта' });
  if (calls.length === 0) await once(receiver, 'call', { signal: AbortSignal.timeout(30_000) });
  const call = calls.shift();
  const signatures = call.headers['webhook-signature'].split(' ');
  assert.deepEqual(
    signatures.map((signature) => signature.split(',')[0]),
    kinds,
  );
  return call;
}

const made = await patch('add', '/webHooks', {
  relativeUrl: '/',
  triggerType: 'entityEvent',
  filter: { items: [{ entityType: 'company' }] },
  settings: { success: '2xx' },
});
const hook = made.webHooks[0].id;
const signWith = (...signature) => api('PATCH', `/webhooks/${hook}`, { settings: { signature } });
const old = made.secrets.find((secret) => secret.id === SECRET).value;
assert(old.startsWith('whsec_'));
const other = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

const plain = await nextCall('v1');
for (const verifier of Object.values(VERIFIERS)) {
  check(verifier, old, plain);
  refuses(verifier, other, plain.headers, plain.body, 'another secret');
}

// Two secrets, while one replaces the other.
await patch('replace', `/secrets/${SECRET}`, { id: SECRET, value: other, values: [old, other] });
const twice = await nextCall('v1', 'v1');
await signWith('v1', 'v1a');
const { publicKey } = await api('GET', `/webhooks/${hook}/public-key`);
assert(publicKey.startsWith('whpk_'));
const both = await nextCall('v1', 'v1', 'v1a');
for (const verifier of Object.values(VERIFIERS)) {
  for (const secret of [old, other]) {
    check(verifier, secret, twice);
    check(verifier, secret, both);
  }
}
check(verifyV1a, publicKey, both);
refuses(verifyV1a, publicKey, twice.headers, twice.body, 'a call without `v1a`');

await signWith('v1a');
await patch('replace', `/secrets/${SECRET}`, { id: SECRET, value: other, values: [other] });
const asymmetric = await nextCall('v1a');
check(verifyV1a, publicKey, asymmetric);
const { now } = Date;
Date.now = () => now() + 302_000;
refuses(verifyV1a, publicKey, asymmetric.headers, asymmetric.body, 'an old call');
Date.now = now;
// docs/webhooks.md says that these packages do not know `v1a`.
for (const [name, verifier] of Object.entries(VERIFIERS)) {
  const { headers, body } = asymmetric;
  refuses(verifier, other, headers, body, `${name} verifies \`v1a\` now: docs/webhooks.md says no`);
}

await signWith('v1');
const last = await nextCall('v1');
for (const verifier of Object.values(VERIFIERS)) {
  check(verifier, other, last);
  refuses(verifier, old, last.headers, last.body, 'the secret that was replaced');
}
console.log('npm: standardwebhooks and svix verify v1, node:crypto verifies v1a');
receiver.closeAllConnections();
receiver.close();
