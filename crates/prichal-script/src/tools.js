// The less common functions of the host API. Loaded once per context, on first use.
(function (native, inside) {
  'use strict';
  const { install, nothing, stringify, parse, load } = inside;
  const text = (value) => (typeof value === 'string' ? value : String(value));
  const ask = (name, argument) => {
    const answer = native('ask', name, stringify(argument));
    return answer === '' ? undefined : parse(answer);
  };

  const waiting = new Map();
  let started = 0;
  const begin = (name, argument) =>
    new Promise((resolve, reject) => {
      const id = ++started;
      native('begin', `${id}`, name, stringify(argument));
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
      // The status and the headers are valid even if reading the body fails.
      if (!nothing(answer.failure)) throw new Error(answer.failure);
      return answer.body;
    };
    return {
      status: answer.status,
      ok: answer.status >= 200 && answer.status < 300,
      headers,
      text: body,
      json: async () => parse(await body()),
      bytes: async () => body().then(() => bytes(answer)),
      arrayBuffer: async () => body().then(() => bytes(answer).buffer),
    };
  };
  const bytes = ({ base64, body }) => {
    load('web');
    return inside.bytes(base64, body);
  };
  // Converts a body for the host: text, bytes in base64, or JSON.
  const sent = (body) => {
    if (nothing(body) || typeof body === 'string') return { body: body ?? null, json: false };
    if (inside.isBytes(body)) {
      load('web');
      return { body: null, base64: inside.toBase64(body), json: false };
    }
    if (inside.isForm?.(body)) return { body: `${body}`, form: true, json: false };
    return { body: stringify(body), json: true };
  };
  const tools = {
    fetch: async (url, options) => {
      const { method, headers, body } = options ?? {};
      return response(
        await begin('fetch', {
          url: text(url),
          method: nothing(method) ? 'GET' : text(method),
          headers: nothing(headers) ? {} : headers,
          ...sent(body),
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
  };
  install(tools);
});
