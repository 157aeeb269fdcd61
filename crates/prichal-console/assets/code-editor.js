// The editor of scripts: the textarea of a form, over the same text in Prism's colours. All keys are the browser's own,
// except that a new line gets the indentation of the last one.
'use strict';

customElements.define('code-editor', class extends HTMLElement {
  // The length above which a text is not coloured: each key colours all of it.
  static LONG = 60000;
  static INDENT = '  ';

  connectedCallback() {
    this.area = this.querySelector('textarea');
    if (!this.area || this.colours) return;
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
    // Prism escapes what it does not mark, so a script stays text.
    else this.colours.innerHTML = Prism.highlight(text, Prism.languages.javascript, 'javascript') + '\n';
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
