// What the console's pages do beyond links and forms: keys, copying, the sign-in link, and live updates.
// Every page works without it.
'use strict';

// A one-time link has its secret in the fragment, which no server and no log sees. It is taken out of the address
// before anything else, and sent by the form. Where somebody is signed in, the button sends it: a link of another site
// must not replace a session.
{
  const form = document.getElementById('sign-in');
  if (form && location.hash.length > 1) {
    form.elements.credential.value = location.hash;
    history.replaceState(null, '', location.pathname + location.search);
    if ('asks' in form.dataset) form.querySelector('button').focus();
    else form.requestSubmit();
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
    '/': () => {
      const field = document.querySelector('[data-search]')
        ?? document.querySelector('[role="search"] :is(input:not([type="hidden"]), select)');
      const folded = field?.closest('details');
      if (folded) folded.open = true;
      field?.focus();
    },
    j: () => step(1),
    k: () => step(-1),
    r: () => {
      const asks = document.activeElement?.dataset.resend;
      if (asks) location.assign(asks);
      else document.querySelector('[data-key="r"]')?.click();
    },
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
      const source = document.getElementById(copier.dataset.copies);
      const select = () => getSelection().selectAllChildren(source);
      // Over plain HTTP from another host a browser has no clipboard: then the text is selected, to be copied by hand.
      if (!navigator.clipboard) { select(); return; }
      navigator.clipboard.writeText(source.textContent).then(() => { copier.textContent = document.body.dataset.copied; }, select);
    }
  });
}

// A page that could not be shown is asked for again until the server answers.
{
  const again = document.querySelector('[data-again]');
  const EVERY = 5000;
  const ask = async () => {
    const answer = document.hidden ? null : await fetch(again.href, { method: 'HEAD' }).catch(() => null);
    if (answer && answer.status < 500) location.replace(again.href);
    else setTimeout(ask, EVERY * (1 + Math.random()));
  };
  if (again) setTimeout(ask, EVERY);
}

// On a telephone the sections are one line that scrolls: the current one is brought into view.
{
  const current = document.querySelector('.sections [aria-current]');
  const line = current?.closest('.sections');
  if (line) line.scrollLeft = current.offsetLeft - (line.clientWidth - current.offsetWidth) / 2;
}

// Filters are folded on a telephone, and open elsewhere.
{
  const wide = matchMedia('(min-width: 761px)');
  const fold = () => { for (const part of document.querySelectorAll('.filters')) part.open = wide.matches; };
  wide.addEventListener('change', fold);
  fold();
}

// Live updates. One tab of a browser, the leader, holds the only stream of a workspace: six streams would block the
// seventh tab over HTTP/1.1. It tells the others what has changed by a BroadcastChannel, and each tab reads its own
// lists again. When the leader is closed, the next tab that waits for the lock takes over, and resumes where it was.
// Over plain HTTP from another host a browser has no locks: then each tab has a stream while it is visible.
const live = (() => {
  const { liveUrl: url, liveAfter: mark } = document.body.dataset;
  const LONGEST_RETRY = 60_000;
  const STALE = 60_000;
  const TOPICS = ['events', 'calls', 'documents', 'deliveries', 'states', 'runs', 'alerts'];
  const listeners = new Set();
  // What this tab knows, as the stream's ids say it: the counters of the topics.
  let last = mark || null;
  let channel = null;
  let close = null;

  // The topics whose counters differ between two ids.
  const differing = (before, now) => {
    const [old, fresh] = [before.split('.'), now.split('.')];
    return TOPICS.filter((_, at) => old[0] !== fresh[0] || old[at + 1] !== fresh[at + 1]);
  };
  const tell = (topics, isOnline) => {
    for (const listener of listeners) listener(topics, isOnline);
  };
  const end = () => {
    stop();
    // Whoever is writing keeps the text.
    if (document.activeElement?.matches('input, textarea, select')) {
      const notice = document.createElement('p');
      notice.className = 'notice bad';
      notice.textContent = document.body.dataset.ended;
      document.getElementById('notices')?.replaceChildren(notice);
    } else {
      location.reload();
    }
  };
  const receive = ({ id, topics, isOnline, isOver }) => {
    if (isOver) { end(); return; }
    if (id) last = id;
    if (topics || isOnline !== undefined) tell(topics ?? [], isOnline);
  };
  const pass = (message) => {
    channel?.postMessage(message);
    receive(message);
  };

  // Holds the stream until it is closed. A stream that the browser gives up is opened again, later each time.
  const lead = () => {
    let source = null;
    let timer = null;
    let wait = 3000;
    let heard = Date.now();
    const open = () => {
      clearTimeout(timer);
      source?.close();
      source = new EventSource(last ? `${url}?after=${encodeURIComponent(last)}` : url);
      source.onopen = () => { wait = 3000; heard = Date.now(); pass({ isOnline: true }); };
      source.onerror = () => {
        pass({ isOnline: false });
        if (source.readyState !== EventSource.CLOSED) return;
        timer = setTimeout(open, wait * (1 + Math.random()));
        wait = Math.min(wait * 2, LONGEST_RETRY);
      };
      source.addEventListener('change', (event) => {
        heard = Date.now();
        pass({ id: event.lastEventId, topics: event.data.split(' ') });
      });
      source.addEventListener('end', () => pass({ isOver: true }));
    };
    // A computer that slept has a dead connection, and does not know it.
    const revive = () => { if (!document.hidden && Date.now() - heard > STALE) open(); };
    addEventListener('online', open);
    document.addEventListener('visibilitychange', revive);
    open();
    return () => {
      clearTimeout(timer);
      source.close();
      removeEventListener('online', open);
      document.removeEventListener('visibilitychange', revive);
    };
  };

  const start = () => {
    if (close) return;
    if (!navigator.locks || !window.BroadcastChannel) {
      let leave = null;
      const look = () => {
        if (document.hidden) { leave?.(); leave = null; } else { leave ??= lead(); }
      };
      document.addEventListener('visibilitychange', look);
      look();
      close = () => { document.removeEventListener('visibilitychange', look); leave?.(); };
      return;
    }
    const name = `prichal:${url}`;
    const abort = new AbortController();
    let leave = null;
    let release = null;
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => {
      if (!data.asks) { receive(data); return; }
      // A new tab knows less than the leader, or more.
      if (leave && last && data.asks !== last) channel.postMessage({ id: last, topics: differing(data.asks, last) });
    };
    if (last) channel.postMessage({ asks: last });
    navigator.locks.request(name, { signal: abort.signal }, () => new Promise((resolve) => {
      release = resolve;
      leave = lead();
    })).catch(() => {});
    close = () => {
      abort.abort();
      leave?.();
      release?.();
      channel.close();
      channel = null;
    };
  };
  const stop = () => { close?.(); close = null; };

  addEventListener('pagehide', stop);
  // A page that comes back from the browser's cache goes on.
  addEventListener('pageshow', (event) => { if (event.persisted && listeners.size) { start(); tell(['all']); } });
  return (listener) => {
    listeners.add(listener);
    if (url) start();
    return () => listeners.delete(listener);
  };
})();

// A list that reads itself again when one of its topics changes: at most every two seconds, every eight while changes
// do not cease, not while the tab is hidden, and not while it is paused. `target` names the elements that are replaced.
customElements.define('live-list', class extends HTMLElement {
  static GAP = 2000;
  static BUSY_GAP = 8000;
  static LONGEST_GAP = 30_000;

  connectedCallback() {
    const topics = this.getAttribute('topics').split(' ');
    this.gap = this.constructor.GAP;
    this.waiting = 0;
    this.isOnline = true;
    this.label = document.createElement('span');
    this.button = document.createElement('button');
    this.button.type = 'button';
    this.status = document.createElement('span');
    this.status.className = 'hidden';
    this.status.setAttribute('role', 'status');
    this.replaceChildren(this.label, this.button, this.status);
    this.button.addEventListener('click', () => {
      this.isPaused = !this.isPaused;
      this.show();
      this.refresh();
    });
    this.stop = live((changed, isOnline) => {
      if (isOnline !== undefined) this.isOnline = isOnline;
      if (changed.some((topic) => topic === 'all' || topics.includes(topic))) this.waiting += 1;
      this.show();
      this.refresh();
    });
    // Changes without a topic are read at intervals, until the page says that it is over.
    const every = Number(this.getAttribute('every'));
    if (every) this.poll = setInterval(() => this.look(), every);
    this.onVisible = () => this.refresh();
    document.addEventListener('visibilitychange', this.onVisible);
    this.show();
  }

  disconnectedCallback() {
    this.stop();
    clearTimeout(this.timer);
    this.timer = null;
    clearInterval(this.poll);
    document.removeEventListener('visibilitychange', this.onVisible);
  }

  look() {
    if (this.targets().some((target) => target.querySelector('[data-over]'))) {
      clearInterval(this.poll);
      return;
    }
    this.waiting ||= 1;
    this.refresh();
  }

  show() {
    const { live: words, paused, pause, resume } = this.dataset;
    const state = this.isOnline ? words : document.body.dataset.offline;
    this.label.textContent = this.isPaused ? paused.replace('{}', this.waiting) : state;
    this.button.textContent = this.isPaused ? resume : pause;
  }

  targets() {
    return this.getAttribute('target').split(' ').map((id) => document.getElementById(id)).filter(Boolean);
  }

  refresh() {
    if (this.isPaused || !this.waiting || document.hidden || this.timer) return;
    const gap = Math.max(0, (this.last ?? 0) + this.gap - Date.now());
    this.timer = setTimeout(() => this.read(), gap);
  }

  // Fields that somebody fills in are not replaced.
  isInUse() {
    const focus = document.activeElement;
    const isField = focus?.matches('input, textarea, select');
    return this.isPaused || document.hidden || (isField && this.targets().some((target) => target.contains(focus)));
  }

  async read() {
    const waiting = this.waiting;
    const { GAP, BUSY_GAP, LONGEST_GAP } = this.constructor;
    const isBusy = Date.now() < (this.last ?? 0) + 2 * this.gap;
    const gap = isBusy ? Math.min(this.gap * 2, BUSY_GAP) : GAP;
    this.last = Date.now();
    try {
      if (this.isInUse()) return;
      this.waiting = 0;
      const answer = await fetch(this.getAttribute('url'), { headers: { 'HX-Request': 'true' } });
      if (answer.headers.has('hx-redirect')) { location.assign(answer.headers.get('hx-redirect')); return; }
      if (!answer.ok) throw new Error(`${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (!this.isConnected) return;
      if (this.isInUse()) { this.waiting += waiting; return; }
      this.replace(fresh);
      this.gap = gap;
      this.isOnline = true;
    } catch {
      this.isOnline = false;
      this.waiting += waiting;
      this.gap = Math.min(this.gap * 2, LONGEST_GAP);
    } finally {
      this.timer = null;
      this.show();
      if (this.isConnected) this.refresh();
    }
  }

  replace(fresh) {
    const focused = document.activeElement?.getAttribute('href');
    let hasNew = false;
    for (const target of this.targets()) {
      const source = fresh.getElementById(target.id);
      if (!source || source.innerHTML === target.innerHTML) continue;
      const before = new Set([...target.querySelectorAll('[data-row]')].map((row) => row.getAttribute('href')));
      const open = new Set([...target.querySelectorAll('details[open][id]')].map((part) => part.id));
      target.replaceChildren(...document.adoptNode(source).childNodes);
      for (const part of target.querySelectorAll('details[id]')) part.open ||= open.has(part.id);
      for (const link of target.querySelectorAll('[data-row]')) {
        const href = link.getAttribute('href');
        const isNew = before.size > 0 && !before.has(href);
        link.closest('tr')?.classList.toggle('new', isNew);
        hasNew ||= isNew;
        if (href === focused) link.focus({ preventScroll: true });
      }
      if (window.htmx) htmx.process(target);
    }
    this.status.textContent = hasNew ? this.dataset.arrived : '';
  }
});
