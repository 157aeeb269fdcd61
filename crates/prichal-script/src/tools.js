// The part of the host API that not every script uses. Called once in a context, at its first use.
(function (native, inside) {
  'use strict';
  const { define, nothing, stringify, parse } = inside;
  const text = (value) => (typeof value === 'string' ? value : String(value));
  // What is signed or compared must be what was meant: anything else would become the same few texts.
  const exact = (name, value) => {
    if (typeof value !== 'string') throw new TypeError(`${name} must be a text`);
    return value;
  };
  const ask = (name, argument) => {
    const answer = native('ask', name, stringify(argument));
    return answer === '' ? undefined : parse(answer);
  };

  const waiting = new Map();
  let started = 0;
  const begin = (name, argument) =>
    new Promise((resolve, reject) => {
      const id = ++started;
      native('begin', id, name, stringify(argument));
      waiting.set(id, { resolve, reject });
    });
  inside.settle = (id, worked, answer) => {
    const promise = waiting.get(id);
    waiting.delete(id);
    if (promise === undefined) return;
    if (worked) promise.resolve(parse(answer));
    else promise.reject(new Error(answer));
  };

  const response = (answer) => {
    const headers = { ...answer.headers };
    Object.defineProperty(headers, 'get', {
      value: (name) => headers[text(name).toLowerCase()] ?? null,
    });
    const body = async () => {
      // The head of an answer counts, whatever becomes of its body.
      if (!nothing(answer.failure)) throw new Error(answer.failure);
      return answer.body;
    };
    return {
      status: answer.status,
      ok: answer.status >= 200 && answer.status < 300,
      headers,
      text: body,
      json: async () => parse(await body()),
    };
  };
  const tools = {
    fetch: async (url, options) => {
      const { method, headers, body } = options ?? {};
      const isText = nothing(body) || typeof body === 'string';
      return response(
        await begin('fetch', {
          url: text(url),
          method: nothing(method) ? 'GET' : text(method),
          headers: nothing(headers) ? {} : headers,
          body: nothing(body) ? null : isText ? body : stringify(body),
          json: !isText,
        }),
      );
    },
    channel: {
      send: (body, options) =>
        ask('channel.send', { body: body ?? null, options: options ?? {} }),
      websocket: {
        send: (code, body) =>
          ask('channel.websocket.send', { code: text(code), body: body ?? null }),
      },
    },
    entities: {
      get: (collection, id) => ask('entities.get', { collection, id }) ?? null,
      create: (collection, model) => ask('entities.create', { collection, model }),
      patch: (collection, id, operations) =>
        ask('entities.patch', { collection, id, operations }),
      link: (ids) => ask('entities.link', { ids }),
    },
    events: {
      publish: (name, data) => ask('events.publish', { name: text(name), data: data ?? null }),
    },
    kv: {
      get: (key) => ask('kv.get', { key: text(key) }) ?? null,
      set: (key, value) => ask('kv.set', { key: text(key), value: value ?? null }),
    },
    crypto: {
      hmac: (algorithm, key, data, encoding = 'hex') =>
        native('hmac', text(algorithm), exact('the key', key), exact('the data', data), text(encoding)),
      sha: (algorithm, data, encoding = 'hex') =>
        native('sha', text(algorithm), exact('the data', data), text(encoding)),
      base64: {
        encode: (data) => native('encode', exact('the data', data)),
        decode: (data) => native('decode', exact('the data', data)),
      },
      random: (bytes = 16, encoding = 'hex') => native('random', Number(bytes), text(encoding)),
      equal: (one, other) => native('equal', exact('the first', one), exact('the second', other)),
    },
  };
  for (const name of Object.keys(tools)) {
    // A script may have put something of its own there.
    const { get } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
    if (get !== undefined) define(name, tools[name]);
  }
});
