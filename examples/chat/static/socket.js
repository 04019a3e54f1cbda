// A WebSocket that comes back: after a pause with full jitter, and not after the server refused (1008).
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ says why the jitter.

const BASE_MS = 500;
const CAP_MS = 20_000;
const HEARTBEAT_MS = 25_000;
const HEARTBEAT_LIMIT_MS = 5_000;
const LASTED_MS = 5_000;

export class Live {
  #url;
  #on;
  #socket = null;
  #attempt = 0;
  #lastId = 0;
  #waiting = new Map(); // correlationId → what to do with the reply
  #timers = {};

  // on.state(name, text), on.open(), on.event(name, data)
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
    addEventListener("online", () => this.#timers.retry && this.connect());
  }

  connect() {
    clearTimeout(this.#timers.retry);
    this.#timers.retry = 0;
    const socket = new WebSocket(this.#url);
    let openedAt = 0;
    this.#socket = socket;
    this.#on.state("connecting", "connecting");
    socket.onopen = () => {
      openedAt = Date.now();
      this.#timers.beat = setInterval(() => this.#ping(socket), HEARTBEAT_MS);
      this.#on.state("connected", "connected");
      this.#on.open();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#closed(code, openedAt && Date.now() - openedAt >= LASTED_MS);
    };
  }

  // Send a message; the promise holds the reply's data, or an Error with what the server says is wrong.
  ask(type, data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("Not connected"));
    const correlationId = ++this.#lastId;
    this.#socket.send(JSON.stringify({ type, data, correlationId }));
    return new Promise((resolve, reject) => this.#waiting.set(correlationId, { resolve, reject }));
  }

  #receive(text) {
    clearTimeout(this.#timers.deadline);
    if (text === "3") return;
    const { name, data, correlationId, error, details } = JSON.parse(text);
    if (name !== undefined) {
      this.#on.event(name, data);
      return;
    }
    const asked = this.#waiting.get(correlationId);
    this.#waiting.delete(correlationId);
    if (error === undefined) asked?.resolve(data);
    else asked?.reject(new Error([error, ...(details ?? []).map(({ message }) => message)].join(": ")));
  }

  // A link can be dead without the browser knowing.
  #ping(socket) {
    socket.send("2");
    this.#timers.deadline = setTimeout(() => {
      socket.close();
      if (socket === this.#socket) this.#closed(1006, true);
    }, HEARTBEAT_LIMIT_MS);
  }

  #closed(code, lasted) {
    this.#socket = null;
    clearInterval(this.#timers.beat);
    clearTimeout(this.#timers.deadline);
    for (const { reject } of this.#waiting.values()) reject(new Error("The connection was lost"));
    this.#waiting.clear();
    if (code === 1008) {
      this.#on.state("refused", "refused by the server");
      return;
    }
    if (lasted) this.#attempt = 0; // one that did not last counts as a failed attempt
    const wait = Math.min(CAP_MS, BASE_MS + Math.random() * BASE_MS * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 10);
    this.#on.state("waiting", `connecting again in ${Math.ceil(wait / 1000)} s`);
    this.#timers.retry = setTimeout(() => this.connect(), wait);
  }
}

export function socketUrl(query = "") {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws${query}`;
}
