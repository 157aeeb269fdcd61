// The functions by which the script of a webhook says what is sent.
(function (native, inside) {
  'use strict';
  const { isBytes, nothing, stringify, whole, load } = inside;
  inside.webhook = (define, shown) => {
    const give = (make) => {
      try {
        native('send', stringify(make()));
      } catch (error) {
        native('fail', `send: ${shown(error)}`);
        throw error;
      }
    };
    define('skip', () => give(() => ({ skip: true })));
    define('send', (changes) =>
      give(() => {
        if (!nothing(changes) && typeof changes !== 'object') throw new TypeError('it takes an object');
        const { method, path, headers, body, ...rest } = changes ?? {};
        const call = { method, path, headers, others: Object.keys(rest) };
        if (body === undefined) return call;
        if (body === null || typeof body === 'string') return { ...call, kind: 'text', body: whole(body ?? '') };
        if (!isBytes(body)) return { ...call, kind: 'json', body: stringify(body) };
        load('web');
        return { ...call, kind: 'bytes', body: inside.toBase64(body) };
      }));
  };
});
