// The page `/check`: hashes files on this computer, and compares the hashes with the document's. Only hashes are sent.
// Without this script the same forms work by hand.

const MAX_BYTES = 512 * 1024 * 1024;
// The files of an archive that are compared, and the bytes of its manifest.
const MAX_FILES = 50;
const MAX_MANIFEST = 4 * 1024 * 1024;

const drop = document.getElementById('drop');
const chooser = document.getElementById('drop-file');
const status = document.getElementById('drop-status');
const form = document.getElementById('compare-form');
const compared = document.getElementById('compared');
const upload = document.getElementById('upload-file');

drop.hidden = false;

const say = (text) => { status.textContent = text ?? ''; };

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The files of a zip: names with their bytes. Null if it is none that this page can read (APPNOTE 4.3.7, 4.3.12, 4.3.16). */
async function unzip(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 22 || view.getUint32(0, true) !== 0x04034b50) return null;
  let end = buffer.byteLength - 22;
  const first = Math.max(0, end - 0xffff);
  while (end >= first && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < first) return null;
  const files = [];
  let at = view.getUint32(end + 16, true);
  for (let count = view.getUint16(end + 10, true); count > 0 && files.length < MAX_FILES; count -= 1) {
    if (view.getUint32(at, true) !== 0x02014b50) return null;
    const [method, size, whole] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, nameLength));
    const local = view.getUint32(at + 42, true);
    const begin = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const packed = new Uint8Array(buffer, begin, size);
    const bytes = method === 0 ? packed : method === 8 && whole <= MAX_BYTES ? await inflate(packed, whole) : null;
    if (bytes && !name.endsWith('/')) files.push({ name, bytes });
    at += 46 + nameLength + extra + comment;
  }
  return files;
}

/** Unpacks a file. Null if it is longer than the zip says. */
async function inflate(packed, whole) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  const bytes = new Uint8Array(whole);
  let length = 0;
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return length === whole ? bytes : null;
    if (length + value.length > whole) {
      await reader.cancel();
      return null;
    }
    bytes.set(value, length);
    length += value.length;
  }
}

/** The id of the document in an archive's manifest. */
function documentOf(files) {
  const manifest = files.find(({ name, bytes }) => name === 'manifest.json' && bytes.length <= MAX_MANIFEST);
  if (!manifest) return null;
  try {
    const { documentId } = JSON.parse(new TextDecoder().decode(manifest.bytes));
    return /^[0-9a-f-]{36}$/i.test(documentId) ? documentId : null;
  } catch {
    return null;
  }
}

/** Shows what the server says about these hashes, each with the name that its file has here. */
async function compare(path, named) {
  const query = new URLSearchParams({ lang: form.elements.lang.value });
  for (const { hash } of named) query.append('sha256', hash);
  const answer = await fetch(`${path}?${query}`, { headers: { Accept: 'text/html' } });
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const found = page.getElementById('compared');
  const refused = page.querySelector('.notice.bad');
  if (!found?.children.length) {
    say(refused?.textContent);
    return;
  }
  for (const row of found.querySelectorAll('[data-sha256]')) {
    const names = named.filter(({ hash }) => hash === row.dataset.sha256).map(({ name }) => name);
    const label = document.createElement('span');
    label.className = 'name';
    label.textContent = names.join(', ');
    row.prepend(label);
  }
  compared.replaceChildren(...document.importNode(found, true).childNodes);
  say('');
}

async function take(file) {
  compared.replaceChildren();
  if (!globalThis.crypto?.subtle) return say(drop.dataset.insecure);
  if (file.size > MAX_BYTES) return say(drop.dataset.tooLarge);
  say(drop.dataset.hashing);
  const buffer = await file.arrayBuffer();
  const hash = await sha256(buffer);
  form.elements.sha256.value = hash;
  const files = (await unzip(buffer).catch(() => null)) ?? [];
  const id = documentOf(files);
  const named = [{ name: file.name, hash }];
  if (id) {
    // An archive is compared by its originals and signatures. Its other files are made anew for each archive.
    named.length = 0;
    for (const { name, bytes } of files) {
      if (/^(original|signatures)\/|^evidence\/sign/.test(name)) named.push({ name, hash: await sha256(bytes) });
    }
  }
  const asked = form.elements.document;
  if (id && asked) asked.value = id;
  if (asked && !asked.value) {
    say(drop.dataset.nameDocument);
    asked.focus();
    return undefined;
  }
  return compare(asked ? `/check/${encodeURIComponent(asked.value.split('/').pop())}` : form.action, named);
}

async function choose(files) {
  const [file] = files;
  if (!file) return;
  if (/\.(cms|p7s|p7m|sig|zip)$/i.test(file.name)) {
    const chosen = new DataTransfer();
    chosen.items.add(file);
    upload.files = chosen.files;
  }
  try {
    await take(file);
  } catch {
    say(drop.dataset.offline);
  }
}

chooser.addEventListener('change', () => choose(chooser.files));
for (const type of ['dragenter', 'dragover']) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
}
drop.addEventListener('dragleave', () => drop.classList.remove('over'));
drop.addEventListener('drop', (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  choose(event.dataTransfer.files);
});
