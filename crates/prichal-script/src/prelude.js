// The global objects of a script. It runs first in each new context. `native` is the only way out of the
// context, to the host. Functions that only some scripts use are in tools.js and web.js, which are loaded
// on first use. `tools` and `web` are the names of those functions, separated by spaces, as far as the
// script mentions them.
(function (native, presets, tools, web) {
  'use strict';
  const { stringify, rawJSON, parse: read } = JSON;
  const { defineProperty } = Object;
  const Deep = RangeError;
  const nothing = (value) => value === undefined || value === null;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });

  // Loaded for the files below. It inherits nothing, so that a script cannot intercept an assignment.
  let inside;
  const load = (file) => {
    inside ??= {
      __proto__: null, isBytes, install, nothing, stringify, parse, read, rawJSON, whole, atob, load,
      loaded: { __proto__: null },
    };
    if (inside.loaded[file]) return;
    inside.loaded[file] = true;
    native('load', file)(native, inside);
  };
  // A text with numbers that would change as doubles is parsed by numbers.js.
  const parse = (text) => {
    if (!native('exact', text)) return read(text);
    load('numbers');
    return inside.exact(text);
  };
  defineProperty(BigInt.prototype, 'toJSON', {
    writable: true,
    configurable: true,
    value() {
      load('numbers');
      return inside.digits(this);
    },
  });

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

  const install = (tools) => {
    for (const name of Object.keys(tools)) {
      // The script may have replaced it.
      const { get } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
      if (get !== undefined) define(name, tools[name]);
    }
  };
  const { isView } = ArrayBuffer;
  const Plain = ArrayBuffer;
  const isBytes = (value) => isView(value) || value instanceof Plain;
  const { atob } = globalThis;

  if (typeof presets === 'string') presets = parse(presets);
  const { request, params, json, webhook } = presets;
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
  // Inherited, so that a script that logs its request logs the text.
  const inherited = {
    startparam: (n) => (params ?? parts())[n - 1],
    get bytes() {
      const { text, base64 } = request;
      if (typeof text !== 'string') return undefined;
      load('web');
      return (this.bytes = inside.bytes(base64, text));
    },
    set bytes(value) {
      defineProperty(this, 'bytes', { value, writable: true, configurable: true });
    },
  };
  Object.setPrototypeOf(request, inherited);
  const parts = () => {
    const { entity, method, url, body, headers, ip, protocol } = request;
    return [entity, method, url, body, Object.entries(headers ?? {}), ip, protocol];
  };
  define('request', request);
  define('startparam', inherited.startparam);
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

  if (webhook) {
    load('webhook');
    inside.webhook(define, shown);
  }

  define('queueMicrotask', (work) => void Promise.resolve().then(work));

  const late = (file, names) => {
    for (const name of names.split(' ')) {
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
  };
  if (tools !== '') late('tools', tools);
  if (web !== '') late('web', web);

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
