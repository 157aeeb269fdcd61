// What the console's pages do beyond links and forms: keys, copying, the sign-in link, and live updates.
// Every page works without it.
'use strict';

// A one-time link has its secret in the fragment, which no server and no log sees. It is taken out of the address
// before anything else, and sent by the form.
{
  const form = document.getElementById('sign-in');
  if (form && location.hash.length > 1) {
    form.elements.credential.value = location.hash;
    history.replaceState(null, '', location.pathname + location.search);
    form.requestSubmit();
  }
}

// Keys. They are ignored while somebody types, and together with modifiers.
{
  let isGoing = false;
  const rows = () => [...document.querySelectorAll('[data-row]')].filter((row) => row.offsetParent !== null);
  const step = (by) => {
    const all = rows();
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    next?.focus();
  };
  const open = (id) => document.getElementById(id)?.showModal();
  const acts = {
    '/': () => document.querySelector('[data-search]')?.focus(),
    j: () => step(1),
    k: () => step(-1),
    r: () => document.querySelector('[data-key="r"]')?.click(),
    g: () => { isGoing = true; setTimeout(() => { isGoing = false; }, 1500); },
    '?': () => open('keys'),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest('input, select, textarea, [contenteditable], dialog[open]')) {
      if (event.key === 'Escape') event.target.blur();
      return;
    }
    // Letters are known by their place on the keyboard, so a Russian or Kazakh layout works as well.
    const letter = event.code.startsWith('Key') ? event.code.slice(3).toLowerCase() : event.key;
    const key = event.key === '?' || event.key === '/' ? event.key : letter;
    if (isGoing) {
      isGoing = false;
      const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (!acts[key] || (event.shiftKey && key !== '?')) return;
    event.preventDefault();
    acts[key]();
  });
  document.addEventListener('click', (event) => {
    const opener = event.target.closest('[data-opens]');
    if (opener) open(opener.dataset.opens);
    const copier = event.target.closest('[data-copies]');
    if (copier) {
      const text = document.getElementById(copier.dataset.copies).textContent;
      navigator.clipboard.writeText(text).then(() => { copier.textContent = document.body.dataset.copied; });
    }
  });
}

// Live updates. One tab of a browser, the leader, holds the only stream of a workspace: six streams would block the
// seventh tab over HTTP/1.1. It tells the others what has changed by a BroadcastChannel, and each tab reads its own
// lists again. When the leader is closed, the next tab that waits for the lock takes over.
const live = (() => {
  const url = document.body.dataset.liveUrl;
  const listeners = new Set();
  let last = null;
  const tell = (change) => {
    last = change.id ?? last;
    for (const listener of listeners) listener(change.topics);
  };
  const start = () => {
    const channel = new BroadcastChannel(`prichal:${url}`);
    channel.onmessage = (event) => tell(event.data);
    navigator.locks.request(`prichal:${url}`, () => new Promise((release) => {
      const from = last === null ? '' : `?after=${encodeURIComponent(last)}`;
      const source = new EventSource(url + from);
      source.addEventListener('change', (event) => {
        const change = { id: event.lastEventId, topics: event.data.split(' ') };
        channel.postMessage(change);
        tell(change);
      });
      source.addEventListener('end', () => { source.close(); location.reload(); });
      addEventListener('pagehide', () => { source.close(); release(); }, { once: true });
    }));
  };
  let isStarted = false;
  return (listener) => {
    listeners.add(listener);
    if (!isStarted && url) { isStarted = true; start(); }
    return () => listeners.delete(listener);
  };
})();

// A list that reads itself again when one of its topics changes: at most every two seconds, not while the tab is
// hidden, and not while it is paused.
customElements.define('live-list', class extends HTMLElement {
  static GAP = 2000;

  connectedCallback() {
    const topics = this.getAttribute('topics').split(' ');
    this.label = document.createElement('span');
    this.button = document.createElement('button');
    this.button.type = 'button';
    this.replaceChildren(this.label, this.button);
    this.button.addEventListener('click', () => { this.isPaused = !this.isPaused; this.show(); this.refresh(); });
    this.stop = live((changed) => {
      if (!changed.some((topic) => topics.includes(topic))) return;
      this.waiting = (this.waiting ?? 0) + 1;
      this.show();
      this.refresh();
    });
    this.onVisible = () => this.refresh();
    document.addEventListener('visibilitychange', this.onVisible);
    this.show();
  }

  disconnectedCallback() {
    this.stop();
    clearTimeout(this.timer);
    document.removeEventListener('visibilitychange', this.onVisible);
  }

  show() {
    const { live: words, paused, pause, resume } = this.dataset;
    this.label.textContent = this.isPaused ? paused.replace('{}', this.waiting ?? 0) : words;
    this.button.textContent = this.isPaused ? resume : pause;
  }

  refresh() {
    if (this.isPaused || !this.waiting || document.hidden || this.timer) return;
    const gap = Math.max(0, (this.last ?? 0) + this.constructor.GAP - Date.now());
    this.timer = setTimeout(() => this.read(), gap);
  }

  async read() {
    this.waiting = 0;
    this.last = Date.now();
    const target = document.getElementById(this.getAttribute('target'));
    const before = new Set([...target.querySelectorAll('[data-row]')].map((row) => row.getAttribute('href')));
    const focused = document.activeElement?.getAttribute('href');
    try {
      const answer = await fetch(this.getAttribute('url'), { headers: { 'HX-Request': 'true' } });
      const signIn = answer.headers.get('hx-redirect');
      if (signIn) return location.assign(signIn);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(target.id);
      if (!answer.ok || !fresh) throw new Error(`${answer.status}`);
      if (this.isPaused || target.contains(document.activeElement) && document.activeElement.matches('input, textarea, select')) {
        this.waiting ||= 1;
        return;
      }
      target.replaceChildren(...document.adoptNode(fresh).childNodes);
      for (const row of target.querySelectorAll('tr:has([data-row])')) {
        const href = row.querySelector('[data-row]').getAttribute('href');
        row.classList.toggle('new', before.size > 0 && !before.has(href));
        if (href === focused) row.querySelector('[data-row]').focus({ preventScroll: true });
      }
      if (window.htmx) htmx.process(target);
      this.show();
    } catch {
      this.label.textContent = document.body.dataset.offline;
      this.waiting ||= 1;
    } finally {
      this.timer = null;
      this.refresh();
    }
  }
});
