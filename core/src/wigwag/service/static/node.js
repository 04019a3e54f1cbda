// What the node has and does: numbers, each with a plot of the last two minutes, and all of it as a table.
import { at, duration, make, write } from "./elements.js";
import { Plot } from "./plot.js";

const WINDOW_MS = 120_000;
const LEAST_S = 0.5;
const TABLE_STEP_MS = 10_000;

const FIGURES = [
  { id: "connections", label: "Connections", of: ({ connections }) => connections, over: last },
  { id: "node-topics", label: "Topics", of: ({ topics }) => topics, over: last },
  { id: "published", label: "Published per second", of: rateOf("published"), over: mean },
  { id: "delivered", label: "Delivered per second", of: rateOf("delivered"), over: mean },
];
const FACTS = [
  { id: "tag", label: "Node", of: ({ node }) => node },
  { id: "provider", label: "Provider", of: ({ provider, isUp }) => `${provider}, ${isUp ? "up" : "down"}` },
  { id: "uptime", label: "Uptime", of: ({ uptimeS }) => duration(uptimeS) },
  { id: "received", label: "From clients", of: ({ received }) => number(received) },
  { id: "dropped", label: "Dropped", of: ({ dropped }) => number(dropped) },
];

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

function number(value) {
  if (value === null) return "–";
  return (value >= 100_000 ? compact : value >= 10 ? whole : fine).format(value);
}

function last(values) {
  return values.at(-1) ?? null;
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value) / values.length : null;
}

// How much a count grows in a second, between two of one node's statistics; before there are two it is not known.
function rateOf(count) {
  return (now, before) => {
    if (before?.node !== now.node) return null;
    return (now[count] - before[count]) / (now.uptimeS - before.uptimeS);
  };
}

export class NodeView {
  constructor() {
    this.samples = []; // { at, values: one a figure }, oldest first
    this.last = null;
    this.views = FIGURES.map(({ id, label }) => {
      const value = make("dd", { className: "value", id, text: "–" });
      const top = make("span");
      const range = make("dd", { className: "range quiet" });
      const plot = new Plot();
      const scale = make(
        "span",
        { className: "scale quiet", "aria-hidden": "true" },
        top,
        make("span", { text: "0" }),
      );
      const drawn = make("dd", { className: "plot" }, plot.element, scale);
      at("figures").append(make("div", {}, make("dt", { text: label }), value, drawn, range));
      return { value, plot, top, range };
    });
    this.facts = FACTS.map(({ id, label }) => {
      const value = make("dd", { id, text: "–" });
      at("facts").append(make("div", {}, make("dt", { text: label }), value));
      return value;
    });
    this.rows = [];
    at("history").ontoggle = () => this.showTable();
  }

  // New statistics of the node.
  take(stats) {
    // The reply to our asking may come just before an event: so short a time says nothing of a rate.
    if (this.last?.node === stats.node && stats.uptimeS - this.last.uptimeS < LEAST_S) return;
    const now = performance.now();
    this.samples.push({ at: now, values: FIGURES.map(({ of }) => of(stats, this.last)) });
    this.last = stats;
    while (this.samples[0].at < now - WINDOW_MS) this.samples.shift();
    at("node").dataset.stale = "false";
    write(at("as-of"), "");
    this.show();
  }

  // Until the next statistics come nothing is known.
  rest() {
    if (!this.last) return;
    this.samples.push({ at: performance.now(), values: FIGURES.map(() => null) });
    this.last = null;
    at("node").dataset.stale = "true";
    write(at("as-of"), `as of ${new Date().toLocaleTimeString()}`);
  }

  show() {
    const to = this.samples.at(-1).at;
    this.views.forEach(({ value, plot, top, range }, index) => {
      const points = this.samples.map(({ at, values }) => ({ at, value: values[index] }));
      const known = points.map((point) => point.value).filter((value) => value !== null);
      write(value, number(points.at(-1).value));
      write(top, number(plot.draw(points, to - WINDOW_MS, to)));
      const [least, most] = [number(Math.min(...known)), number(Math.max(...known))];
      write(range, known.length ? `${least === most ? most : `${least} to ${most}`} in the last 2 min` : "");
    });
    FACTS.forEach(({ of }, index) => {
      write(this.facts[index], of(this.last));
    });
    at("provider").dataset.up = this.last.isUp;
    this.showTable();
  }

  showTable() {
    if (!at("history").open) return;
    if (!this.rows.length) this.makeTable();
    const now = this.samples.at(-1)?.at ?? 0;
    this.rows.forEach((cells, row) => {
      const until = now - row * TABLE_STEP_MS;
      const within = this.samples.filter(({ at }) => at <= until && at > until - TABLE_STEP_MS);
      cells.forEach((cell, index) => {
        const known = within.map(({ values }) => values[index]).filter((value) => value !== null);
        write(cell, number(FIGURES[index].over(known)));
      });
    });
  }

  makeTable() {
    const columns = ["Seconds ago", ...FIGURES.map(({ label }) => label)];
    at("history")
      .querySelector("thead tr")
      .append(...columns.map((text) => make("th", { text, scope: "col" })));
    for (let ago = 0; ago < WINDOW_MS; ago += TABLE_STEP_MS) {
      const cells = FIGURES.map(() => make("td"));
      const from = ago / 1000;
      const head = make("th", { text: `${from} to ${from + TABLE_STEP_MS / 1000}`, scope: "row" });
      at("history")
        .querySelector("tbody")
        .append(make("tr", {}, head, ...cells));
      this.rows.push(cells);
    }
  }
}
