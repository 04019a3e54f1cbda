// The last messages that came: as text, so many of them, so much of each.
import { at, make, say, write } from "./elements.js";

const MOST_SHOWN = 200;
const MOST_CHARACTERS = 1_000;
const MOST_BYTES = 32;

const format = new Intl.NumberFormat("en");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Log {
  constructor() {
    this.count = 0; // that came
    this.told = 0; // of them, how many were said
    this.isPaused = false;
    this.last = null;
    this.waiting = []; // to be shown, oldest first
    this.timer = 0;
    this.shownAt = -Infinity;
  }

  event(name, data, timestamp) {
    this.add({ name, text: JSON.stringify(data) ?? "", timestamp });
  }

  raw(message) {
    if (typeof message === "string") {
      this.add({ name: "", text: message, timestamp: Date.now() });
      return;
    }
    const bytes = new Uint8Array(message.slice(0, MOST_BYTES));
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const size = `${format.format(message.byteLength)} ${message.byteLength === 1 ? "byte" : "bytes"}`;
    const text = `${size}: ${hex}${message.byteLength > MOST_BYTES ? " …" : ""}`;
    this.add({ name: "", text, timestamp: Date.now() });
  }

  add(message) {
    this.count++;
    const length = message.text.length;
    if (length > MOST_CHARACTERS) {
      message.text = message.text.slice(0, MOST_CHARACTERS);
      message.length = length;
    }
    this.last = message;
    this.waiting.push(message);
    if (this.waiting.length > MOST_SHOWN) this.waiting.shift();
    // Many at once are shown together; who wants it calm has them every second.
    if (this.timer) return;
    const pause = calm.matches ? 1_000 : 100;
    this.timer = setTimeout(
      () => {
        this.timer = 0;
        this.show();
      },
      Math.max(0, this.shownAt + pause - performance.now()),
    );
  }

  show() {
    this.shownAt = performance.now();
    write(at("count"), this.count ? format.format(this.count) : "");
    if (this.isPaused) return;
    const latest = this.waiting;
    this.waiting = [];
    const log = at("log");
    log.prepend(...latest.map(line).reverse());
    while (log.childElementCount > MOST_SHOWN) log.lastElementChild.remove();
    if (latest.length) say(() => this.summary());
  }

  // What is said of what came since the last time.
  summary() {
    const { name, text } = this.last;
    const came = this.count - this.told;
    this.told = this.count;
    const last = `${name ? `${name}: ` : ""}${text.slice(0, 100)}`;
    return came === 1 ? `Received ${last}` : `Received ${came} messages, the last: ${last}`;
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    at("log").dataset.paused = isPaused;
    if (!isPaused) this.show();
  }

  clear() {
    this.count = this.told = 0;
    this.waiting = [];
    at("log").replaceChildren();
    write(at("count"), "");
  }
}

function line({ name, text, length, timestamp }) {
  const date = new Date(timestamp);
  const isDate = !Number.isNaN(date.getTime()); // a publisher may write any number
  const time = make("time", { text: isDate ? date.toLocaleTimeString() : "?" });
  if (isDate) time.dateTime = date.toISOString();
  const item = make("li", {}, time, " ");
  if (name) item.append(make("b", { text: name.slice(0, MOST_CHARACTERS) }), " ");
  item.append(text);
  if (length) item.append(make("i", { text: ` … ${format.format(length)} characters in all` }));
  return item;
}
