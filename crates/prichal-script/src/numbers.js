// Numbers that would change as doubles. Loaded once per context, on first use.
(function (native, inside) {
  'use strict';
  const { read, rawJSON } = inside;

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
  inside.exact = (text) => read(text, exact);
  inside.digits = (value) => {
    const digits = value.toString();
    if (digits.length > longest) throw new RangeError(`a number of more than ${longest} digits`);
    return rawJSON(digits);
  };
});
