// Browser functions for scripts: bytes, texts, URLs, cryptography. Loaded once per context, on first
// use.
(function (native, inside) {
  'use strict';
  const { install, nothing, stringify, parse, whole, atob: decode } = inside;
  const text = (value) => whole(typeof value === 'string' ? value : String(value));

  // Bytes go to the host as a text with one character per byte, after a letter that distinguishes them from
  // text.
  const view = (value) => {
    if (value instanceof Uint8Array) return value;
    if (ArrayBuffer.isView(value))
      return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
  };
  const characters = (bytes) => {
    let all = '';
    for (let at = 0; at < bytes.length; at += 4096)
      all += String.fromCharCode.apply(null, bytes.subarray(at, at + 4096));
    return all;
  };
  // The results of atob are bytes in the form of a text, and are remembered as such for the run.
  const binary = new Set();
  const beyond = /[\u0080-\uffff]/;
  const above = /[\u0100-\uffff]/;
  const packed = (name, value) => {
    if (typeof value === 'string') return (binary.has(value) ? 'b' : 't') + value;
    const bytes = view(value);
    if (bytes === undefined) throw new TypeError(`${name} must be a text or bytes`);
    return 'b' + characters(bytes);
  };
  // An ambiguous key is refused, because a wrong guess would silently give another signature.
  const key = (value) => {
    const isText = typeof value === 'string' && !binary.has(value);
    if (isText && beyond.test(value) && !above.test(value))
      throw new TypeError(
        'the key is ambiguous between text and bytes: pass new TextEncoder().encode(key), or Uint8Array.from(key, (c) => c.charCodeAt(0))',
      );
    return packed('the key', value);
  };
  const given = (name, value) => packed(name, value);
  const buffer = (bytes) => bytes.buffer;

  const hash = (algorithm) => text(algorithm?.hash?.name ?? algorithm?.hash ?? algorithm?.name ?? algorithm);
  const hmac = (algorithm, secret, data, encoding = 'hex') =>
    native('hmac', hash(algorithm), key(secret), given('the data', data), text(encoding));
  const sha = (algorithm, data, encoding = 'hex') =>
    native('sha', hash(algorithm), given('the data', data), text(encoding));
  const equal = (one, other) =>
    native('equal', given('the first', one), given('the second', other));
  const random = (count, encoding) => native('random', `${Number(count)}`, text(encoding));

  // Standard Webhooks: https://www.standardwebhooks.com
  const TOLERANCE = 5 * 60;
  const header = (headers, name) => {
    const known = Object.keys(headers ?? {}).find((key) => key.toLowerCase() === name);
    return known === undefined ? undefined : headers[known];
  };
  const secretBytes = (secret) => {
    if (typeof secret !== 'string' || binary.has(secret)) return secret;
    try {
      return native('decode', secret.startsWith('whsec_') ? secret.slice(6) : secret);
    } catch {
      throw new TypeError('the secret must be whsec_ and base64, or bytes');
    }
  };
  const verifyWebhook = (headers, body, secret) => {
    const part = (name) => header(headers, `webhook-${name}`) ?? header(headers, `svix-${name}`);
    const [id, time, signatures] = [part('id'), part('timestamp'), part('signature')];
    const keys = (Array.isArray(secret) ? secret : [secret]).map(secretBytes);
    if (![id, time, signatures].every((value) => typeof value === 'string')) return false;
    if (!/^[0-9]{1,15}$/.test(time)) return false;
    const now = Number(native('ask', 'clock', '{}'));
    if (!(Math.abs(now - Number(time)) <= TOLERANCE)) return false;
    const bytes = typeof body === 'string' ? encoder.encode(body) : view(body);
    if (bytes === undefined) throw new TypeError('the body must be a text or bytes');
    const head = encoder.encode(`${id}.${time}.`);
    const signed = new Uint8Array(head.length + bytes.length);
    signed.set(head);
    signed.set(bytes, head.length);
    const sent = signatures.split(' ').filter((one) => one.startsWith('v1,'));
    const right = keys.map((one) => `v1,${hmac('sha256', one, signed, 'base64')}`);
    // Every pair is compared, so that the duration reveals nothing.
    return sent.flatMap((one) => right.map((other) => equal(one, other))).includes(true);
  };

  const secrets = new WeakMap();
  const opened = (key) => {
    if (!secrets.has(key)) throw new TypeError('the key must come from importKey');
    return secrets.get(key);
  };
  const sign = (secret, data) => hmac(secret.algorithm, secret.bytes, data, 'bytes');
  const subtle = {
    digest: async (algorithm, data) => buffer(sha(algorithm, data, 'bytes')),
    importKey: async (format, data, algorithm, extractable = false, usages = []) => {
      const bytes = view(data);
      if (format !== 'raw' || text(algorithm?.name ?? algorithm).toUpperCase() !== 'HMAC')
        throw new TypeError('only raw keys for HMAC can be imported');
      if (bytes === undefined) throw new TypeError('the key must be bytes');
      const made = { type: 'secret', algorithm, extractable, usages };
      secrets.set(made, { algorithm: hash(algorithm), bytes: bytes.slice() });
      return made;
    },
    sign: async (_algorithm, key, data) => buffer(sign(opened(key), data)),
    verify: async (_algorithm, key, signature, data) => equal(signature, sign(opened(key), data)),
  };

  const UTF8 = { label: 'utf-8' };
  class TextEncoder {
    get encoding() {
      return 'utf-8';
    }
    encode(value = '') {
      return native('encode', `t${text(value)}`, 'bytes');
    }
  }
  class TextDecoder {
    #how;
    constructor(label = UTF8.label, options = {}) {
      try {
        this.encoding = native('charset', text(label));
      } catch (error) {
        throw new RangeError(error.message);
      }
      this.fatal = Boolean(options?.fatal);
      this.ignoreBOM = Boolean(options?.ignoreBOM);
      this.#how = `${this.fatal ? 'fatal ' : ''}${this.ignoreBOM ? 'bom' : ''}`;
    }
    decode(value, options = {}) {
      if (options?.stream) throw new TypeError('stream decoding is not supported: pass all bytes at once');
      const bytes = nothing(value) ? new Uint8Array(0) : view(value);
      if (bytes === undefined) throw new TypeError('the input must be bytes');
      try {
        return native('read', 'b' + characters(bytes), this.encoding, this.#how);
      } catch (error) {
        throw new TypeError(error.message);
      }
    }
  }
  const encoder = new TextEncoder();

  class URLSearchParams {
    #pairs = [];
    #changed = () => {};
    constructor(from = '') {
      if (typeof from === 'object' && from !== null) {
        const pairs = typeof from[Symbol.iterator] === 'function' ? from : Object.entries(from);
        this.#pairs = [...pairs].map(([name, value]) => [text(name), text(value)]);
      } else {
        this.#pairs = parse(native('pairs', text(from)));
      }
    }
    static follow(params, changed) {
      params.#changed = changed;
      return params;
    }
    static replace(params, query) {
      params.#pairs = parse(native('pairs', query));
    }
    get size() {
      return this.#pairs.length;
    }
    append(name, value) {
      this.#pairs.push([text(name), text(value)]);
      this.#changed();
    }
    delete(name, value) {
      const goes = ([key, kept]) => key === text(name) && (value === undefined || kept === text(value));
      this.#pairs = this.#pairs.filter((pair) => !goes(pair));
      this.#changed();
    }
    get(name) {
      return this.getAll(name)[0] ?? null;
    }
    getAll(name) {
      return this.#pairs.filter(([key]) => key === text(name)).map(([, value]) => value);
    }
    has(name, value) {
      const all = this.getAll(name);
      return value === undefined ? all.length > 0 : all.includes(text(value));
    }
    set(name, value) {
      const at = this.#pairs.findIndex(([key]) => key === text(name));
      if (at < 0) return this.append(name, value);
      this.#pairs[at][1] = text(value);
      this.#pairs = this.#pairs.filter(([key], n) => n <= at || key !== text(name));
      this.#changed();
    }
    sort() {
      this.#pairs.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
      this.#changed();
    }
    forEach(work, self) {
      for (const [name, value] of this.#pairs) work.call(self, value, name, this);
    }
    *entries() {
      for (const [name, value] of this.#pairs) yield [name, value];
    }
    *keys() {
      for (const [name] of this.#pairs) yield name;
    }
    *values() {
      for (const [, value] of this.#pairs) yield value;
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      return native('form', stringify(this.#pairs));
    }
  }

  class URL {
    #parts;
    #params;
    constructor(url, base = '') {
      try {
        this.#parts = parse(native('url', text(url), text(base)));
      } catch (error) {
        throw new TypeError(error.message);
      }
      this.#params = URLSearchParams.follow(new URLSearchParams(this.search), () => {
        this.#set('search', `${this.#params}`);
      });
    }
    static canParse(url, base) {
      try {
        return Boolean(new URL(url, base));
      } catch {
        return false;
      }
    }
    #set(name, value) {
      this.#parts = parse(native('change', this.#parts.href, name, text(value)));
    }
    static {
      const parts = ['href', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash'];
      for (const name of parts) {
        Object.defineProperty(URL.prototype, name, {
          configurable: true,
          enumerable: true,
          get() {
            return this.#parts[name];
          },
          set(value) {
            this.#set(name, value);
            if (name === 'href' || name === 'search') URLSearchParams.replace(this.#params, this.search);
          },
        });
      }
    }
    get origin() {
      return this.#parts.origin;
    }
    get searchParams() {
      return this.#params;
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
  }

  install({
    atob: (value) => {
      const bytes = decode(value);
      if (beyond.test(bytes)) binary.add(bytes);
      return bytes;
    },
    TextEncoder,
    TextDecoder,
    URL,
    URLSearchParams,
    crypto: {
      hmac,
      sha,
      equal,
      verifyWebhook,
      subtle,
      base64: {
        encode: (data) => native('encode', given('the data', data), 'base64'),
        // A text if the bytes are valid UTF-8, else the bytes.
        decode: (data) => native('unpack', text(data)),
        bytes: (data) => native('decode', text(data)),
      },
      random: (bytes = 16, encoding = 'hex') => random(bytes, encoding),
      getRandomValues: (array) => {
        const bytes = view(array);
        if (bytes === undefined) throw new TypeError('getRandomValues takes a typed array');
        if (bytes.length > 0) bytes.set(random(bytes.length, 'bytes'));
        return array;
      },
      randomUUID: () => {
        const bytes = random(16, 'bytes');
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        const digits = native('encode', 'b' + characters(bytes), 'hex');
        return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
      },
    },
  });
  inside.bytes = (base64, body) => (nothing(base64) ? encoder.encode(body) : native('decode', base64));
  inside.isForm = (body) => body instanceof URLSearchParams;
  inside.toBase64 = (value) => native('encode', packed('the body', value), 'base64');
});
