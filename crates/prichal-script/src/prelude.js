// The global objects of a script. It runs first in each new context. `native` is the only way out of the
// context, to the host. Functions that only some scripts use are in tools.js and web.js, which are loaded
// on first use.
(function (native, presets) {
  'use strict';
  const { stringify, rawJSON, parse: read } = JSON;
  const { defineProperty } = Object;
  const Deep = RangeError;
  const nothing = (value) => value === undefined || value === null;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });

  // A number that would change as a double keeps its digits: an integer becomes a BigInt, any other a Number
  // object that remembers them. Both are serialized as received.
  const longest = 1000;
  const remember = (source) =>
    Object.defineProperties(new Number(source), {
      toString: { value: () => source },
      toJSON: { value: () => rawJSON(source) },
    });
  const worth = (text) => {
    const parts = /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?$/i.exec(text);
    if (parts === null) return text;
    const [, sign, whole, fraction = '', exponent = '0'] = parts;
    const digits = (whole + fraction).replace(/^0+/, '');
    if (digits === '') return '0';
    const point = Number(exponent) + digits.length - fraction.length;
    return `${sign}${digits.replace(/0+$/, '')}e${point}`;
  };
  const exact = (name, value, { source }) => {
    if (typeof value !== 'number') return value;
    if (!/^-?\d+$/.test(source)) {
      return worth(source) === worth(String(value)) ? value : remember(source);
    }
    if (Number.isSafeInteger(value)) return value;
    return source.length > longest ? remember(source) : BigInt(source);
  };
  // A double keeps fifteen digits and an exponent of two digits.
  const parse = (text) =>
    /\d[\d.]{15}|\de[-+]?\d{3}/i.test(text) ? read(text, exact) : read(text);
  defineProperty(BigInt.prototype, 'toJSON', {
    writable: true,
    configurable: true,
    value() {
      const digits = this.toString();
      if (digits.length > longest) throw new RangeError(`a number of more than ${longest} digits`);
      return rawJSON(digits);
    },
  });
  if (typeof presets === 'string') presets = parse(presets);

  const shown = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    if (typeof value === 'object' && value !== null) {
      try {
        return stringify(value) ?? String(value);
      } catch {
        return Object.prototype.toString.call(value);
      }
    }
    return String(value);
  };
  // A lone surrogate cannot be stored as UTF-8 and becomes U+FFFD.
  const whole = Function.prototype.call.bind(String.prototype.toWellFormed);
  const log = (...values) => native('log', whole(values.map(shown).join(' ')));

  const loaded = new Set();
  const load = (file) => {
    if (loaded.has(file)) return;
    loaded.add(file);
    native('load', file)(native, inside);
  };
  const install = (tools) => {
    for (const name of Object.keys(tools)) {
      // The script may have replaced it.
      const { get } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
      if (get !== undefined) define(name, tools[name]);
    }
  };
  const engine = { atob: globalThis.atob };
  const { isView } = ArrayBuffer;
  const Plain = ArrayBuffer;
  const isBytes = (value) => isView(value) || value instanceof Plain;
  const inside = { isBytes, install, nothing, stringify, parse, whole, engine, load };

  const { request, params, json } = presets;
  if (json) {
    // Parsed on first use, so that a script that ignores a long body needs no memory for it.
    defineProperty(request, 'body', {
      enumerable: true,
      configurable: true,
      get() {
        let body = request.text;
        try {
          body = parse(body);
        } catch (error) {
          // A body that is nested too deeply for the stack stays a text.
          if (!(error instanceof Deep)) throw error;
        }
        this.body = body;
        return body;
      },
      set(value) {
        defineProperty(request, 'body', { value, enumerable: true, writable: true, configurable: true });
      },
    });
  }
  if (typeof request.text === 'string') {
    const { text, base64 } = request;
    const keep = (value) => defineProperty(request, 'bytes', { value, writable: true, configurable: true });
    // Not enumerable, so that a script that logs its request logs the text.
    defineProperty(request, 'bytes', {
      configurable: true,
      get() {
        load('web');
        return keep(inside.bytes(base64, text)).bytes;
      },
      set: keep,
    });
  }
  const parts = () => {
    const { entity, method, url, body, headers, ip, protocol } = request;
    return [entity, method, url, body, Object.entries(headers ?? {}), ip, protocol];
  };
  const startparam = (n) => (params ?? parts())[n - 1];
  defineProperty(request, 'startparam', { value: startparam });
  define('request', request);
  define('startparam', startparam);
  define('variables', presets.variables);
  define('console', { log, info: log, warn: log, error: log, debug: log });
  define('respond', (status, headers, body) => {
    try {
      const isText = nothing(body) || typeof body === 'string';
      const bytes = isBytes(body);
      if (bytes) load('web');
      const answer = {
        status: nothing(status) ? 200 : status,
        headers: nothing(headers) ? {} : headers,
        body: nothing(body) ? '' : isText ? body : bytes ? inside.toBase64(body) : stringify(body),
        json: !isText,
        bytes,
      };
      native('respond', stringify(answer));
    } catch (error) {
      native('fail', `respond: ${shown(error)}`);
      throw error;
    }
  });

  define('queueMicrotask', (work) => void Promise.resolve().then(work));

  for (const [file, names] of [
    ['tools', ['fetch', 'channel', 'entities', 'events', 'kv']],
    ['web', ['crypto', 'atob', 'TextEncoder', 'TextDecoder', 'URL', 'URLSearchParams']],
  ]) {
    for (const name of names) {
      defineProperty(globalThis, name, {
        configurable: true,
        get() {
          load(file);
          return globalThis[name];
        },
        set(value) {
          define(name, value);
        },
      });
    }
  }

  return {
    settle: (id, worked, answer) => inside.settle(id, worked, answer),
    variables: () => {
      const shown = {};
      for (const [name, value] of Object.entries(globalThis.variables ?? {})) {
        try {
          const text = stringify(value);
          if (text !== undefined) shown[name] = parse(text);
        } catch {
          log(`the variable ${name} was dropped because it has no JSON form`);
        }
      }
      return stringify(shown);
    },
  };
});
