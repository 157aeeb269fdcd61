// The operator's chart: calls and requests a second over the last ten minutes, drawn by uPlot.
'use strict';

customElements.define('server-chart', class extends HTMLElement {
  static EVERY = 5000;
  static KEPT = 120;

  connectedCallback() {
    this.rows = [[], [], []];
    this.timer = setInterval(() => this.read(), this.constructor.EVERY);
    this.sizer = new ResizeObserver(() => this.chart?.setSize(this.size()));
    this.sizer.observe(this);
    this.read();
  }

  disconnectedCallback() {
    clearInterval(this.timer);
    this.sizer.disconnect();
    this.chart?.destroy();
  }

  async read() {
    if (document.hidden) { this.last = null; return; }
    const answer = await fetch(this.getAttribute('url')).catch(() => null);
    if (!answer?.ok) return;
    const now = await answer.json();
    const before = this.last;
    this.last = now;
    // Counts begin anew when the server is started again.
    if (!before || now.at <= before.at || now.calls < before.calls) return;
    const rate = (name) => (now[name] - before[name]) / (now.at - before.at);
    [now.at, rate('calls'), rate('requests')].forEach((value, n) => {
      this.rows[n].push(value);
      if (this.rows[n].length > this.constructor.KEPT) this.rows[n].shift();
    });
    this.draw();
  }

  // The width inside of the padding.
  size() {
    const { paddingLeft, paddingRight } = getComputedStyle(this);
    return { width: Math.max(this.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight), 200), height: 220 };
  }

  draw() {
    if (this.chart) { this.chart.setData(this.rows); return; }
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line') } };
    this.chart = new uPlot({
      ...this.size(),
      series: [
        {},
        { label: this.dataset.calls, stroke: colour('--accent'), width: 2 },
        { label: this.dataset.requests, stroke: colour('--waiting'), width: 2, dash: [6, 4] },
      ],
      axes: [axis, axis],
    }, this.rows, this);
  }
});
