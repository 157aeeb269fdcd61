// The editor of scripts: the textarea of a form, over the same text in Prism's colours. All keys are the browser's own,
// except that a new line gets the indentation of the last one. Hidden characters are marked, and named above the text.
'use strict';

customElements.define('code-editor', class extends HTMLElement {
  // The length above which a text is not coloured: each key colours all of it.
  static LONG = 60000;
  static INDENT = '  ';

  connectedCallback() {
    this.area = this.querySelector('textarea');
    if (!this.area || this.colours) return;
    // The server's table of hidden characters.
    this.unseen = new RegExp(`[${this.dataset.unseen}]`, 'gu');
    this.warning = document.getElementById(this.dataset.warning);
    this.colours = document.createElement('pre');
    this.colours.setAttribute('aria-hidden', 'true');
    this.prepend(this.colours);
    this.classList.add('coloured');
    this.area.addEventListener('input', () => this.colour());
    this.area.addEventListener('keydown', (event) => this.indent(event));
    this.area.form?.addEventListener('submit', () => { this.isSent = true; });
    this.ask = (event) => { if (this.isChanged()) event.preventDefault(); };
    addEventListener('beforeunload', this.ask);
    // A page that comes back by the browser's history has the text that was typed.
    addEventListener('pageshow', () => { this.isSent = false; this.colour(); });
    this.colour();
  }

  disconnectedCallback() {
    removeEventListener('beforeunload', this.ask);
  }

  // True if the text would be lost: it is neither stored nor on its way.
  isChanged() {
    return !this.isSent && ('changed' in this.dataset || this.area.value !== this.area.defaultValue);
  }

  colour() {
    const text = this.area.value;
    // A line break at the end has no height in a pre.
    if (text.length > this.constructor.LONG) this.colours.textContent = text + '\n';
    // Prism escapes what it does not mark, so a script stays text. Its marks have no hidden characters.
    else {
      const marked = Prism.highlight(text, Prism.languages.javascript, 'javascript');
      this.colours.innerHTML = marked.replace(this.unseen, '<mark class="unseen">$&</mark>') + '\n';
    }
    this.warn(text);
  }

  // Names the lines with hidden characters, in the server's words.
  warn(text) {
    const { line, more, maxLines, maxPoints } = this.dataset;
    const filled = (words, ...values) => values.reduce((done, value) => done.replace('{}', value), words);
    const found = [];
    for (const [at, one] of text.split('\n').entries()) {
      const points = (one.match(this.unseen) ?? []).map((c) => 'U+' + c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0'));
      if (points.length > maxPoints) points.splice(maxPoints, points.length, '…');
      if (points.length) found.push(filled(line, at + 1, points.join(', ')));
    }
    const rest = found.length - maxLines;
    if (rest > 0) found.splice(maxLines, rest, filled(more, rest));
    const items = found.map((sentence) => Object.assign(document.createElement('li'), { textContent: sentence }));
    this.warning.hidden = !items.length;
    this.warning.querySelector('ul').replaceChildren(...items);
  }

  indent(event) {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    const { INDENT } = this.constructor;
    const { selectionStart: at, selectionEnd: end, value } = this.area;
    const line = value.slice(value.lastIndexOf('\n', at - 1) + 1, at);
    if (event.key === 'Enter' && !event.shiftKey) {
      const more = /[([{]$/.test(line) ? INDENT : '';
      this.insert(event, '\n' + /^[ \t]*/.exec(line)[0] + more);
    } else if (/^[)\]}]$/.test(event.key) && at === end && /^ +$/.test(line) && line.endsWith(INDENT)) {
      // A bracket that closes a block stands under the line that opens it.
      this.area.setSelectionRange(at - INDENT.length, end);
      this.insert(event, event.key);
    }
  }

  // Types a text, so that the browser can undo it.
  insert(event, text) {
    event.preventDefault();
    document.execCommand('insertText', false, text);
  }
});
