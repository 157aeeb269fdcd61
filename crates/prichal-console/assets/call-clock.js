// The clock of a call in progress: the time since its beginning, by the clock of the server, which has made the page.
'use strict';

customElements.define('call-clock', class extends HTMLElement {
  connectedCallback() {
    // The text is the time at which the page was made, so that a wrong clock of this machine does not matter.
    const shown = this.textContent.trim().split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
    this.since = performance.now() - shown * 1000;
    this.timer = setInterval(() => this.show(), 1000);
  }

  disconnectedCallback() { clearInterval(this.timer); }

  show() {
    const seconds = Math.floor((performance.now() - this.since) / 1000);
    const two = (number) => String(number).padStart(2, '0');
    const minutes = Math.floor(seconds / 60);
    const text = minutes < 60
      ? `${minutes}:${two(seconds % 60)}`
      : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
    if (this.textContent !== text) this.textContent = text;
  }
});
