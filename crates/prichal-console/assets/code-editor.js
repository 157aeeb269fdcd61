// The editor of scripts: CodeJar over the textarea of a form, with colours by Prism. Without it, the textarea serves.
'use strict';

customElements.define('code-editor', class extends HTMLElement {
  // The length above which a text is not coloured: each key colours all of it.
  static LONG = 60000;

  async connectedCallback() {
    const area = this.querySelector('textarea');
    if (!area || this.editor || area.readOnly) return;
    const { CodeJar } = await import(this.dataset.codejar);
    this.editor = document.createElement('pre');
    this.editor.className = 'code';
    this.editor.setAttribute('role', 'textbox');
    this.editor.setAttribute('aria-multiline', 'true');
    this.editor.setAttribute('aria-label', area.labels[0]?.textContent ?? '');
    this.editor.tabIndex = 0;
    area.after(this.editor);
    const colour = (editor) => {
      const text = editor.textContent;
      if (text.length > this.constructor.LONG) editor.textContent = text;
      // Prism escapes what it does not mark, so a script stays text.
      else editor.innerHTML = Prism.highlight(text, Prism.languages.javascript, 'javascript');
    };
    // Tab leaves the editor, as it leaves every other field.
    const jar = CodeJar(this.editor, colour, { tab: '  ', catchTab: false });
    jar.updateCode(area.value);
    jar.onUpdate((text) => { area.value = text; });
    area.form?.addEventListener('submit', () => { area.value = jar.toString(); });
    area.hidden = true;
  }
});
