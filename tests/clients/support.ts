// What the rounds of both TypeScript clients need beside a client.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: scripts/clients sets it`);
  return value;
}

export const HUB = variable('PRICHAL_URL');
export const ADMIN_TOKEN = variable('PRICHAL_ADMIN_TOKEN');
/** The folder with the certificate of a trial authority, and the certificates and keys of two employees. */
const KEYS = variable('PRICHAL_KEYS');

export const AUTHORITY = readFileSync(join(KEYS, 'ca.crt'), 'utf8');

/** The two companies that exchange a document, each with its employee, whose key has the employee's name. */
export const SENDER = { name: 'alpha', bin: '971240001315', employee: 'ahmet', iin: '061211600012' };
export const RECIPIENT = { name: 'beta', bin: '940140000385', employee: 'bota', iin: '200140000501' };

export const DOCUMENT = new File(['%PDF-1.4\n%%EOF\n'], 'contract.pdf', { type: 'application/pdf' });

/** Signs as an employee does: a CMS signature with the content inside. */
export function sign(content: ArrayBuffer, employee: string): File {
  const folder = mkdtempSync(join(KEYS, 'signing-'));
  const input = join(folder, 'content.zip');
  const output = join(folder, 'content.cms');
  writeFileSync(input, new Uint8Array(content));
  execFileSync('openssl', [
    'cms',
    '-sign',
    '-binary',
    '-cades',
    '-md',
    'sha256',
    '-nodetach',
    '-outform',
    'DER',
    '-in',
    input,
    '-out',
    output,
    '-signer',
    join(KEYS, `${employee}.crt`),
    '-inkey',
    join(KEYS, `${employee}.key`),
  ]);
  return new File([new Uint8Array(readFileSync(output))], 'contract.cms');
}

/** A receiver of webhooks and system calls, which accepts each by its echo. */
export async function receiver(): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('X-XCOM-Integration-Echo', request.headers['x-xcom-integration-echo'] ?? '').end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

/** Asks again until there is an answer, for at most half a minute. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await new Promise((resume) => setTimeout(resume, 100));
  }
  throw new Error('nothing came within half a minute');
}

/** Performs the rounds one after the other, with a line for each. */
export async function perform(client: string, rounds: Record<string, () => Promise<void>>): Promise<void> {
  for (const [dialect, round] of Object.entries(rounds)) {
    const start = performance.now();
    await round();
    console.log(`${client}, ${dialect}: passed in ${Math.round(performance.now() - start)} ms`);
  }
}
