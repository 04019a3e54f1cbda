import { vi } from "vitest";
import { SocketClient, type SocketClientOptions, type Url } from "../src/index.js";

/** A WebSocket whose server is the test. */
export class FakeSocket {
  static made: FakeSocket[] = [];

  readonly url: string;
  readonly protocols: string | string[] | undefined;
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  onopen: ((event: object) => void) | null = null;
  onmessage: ((event: object) => void) | null = null;
  onclose: ((event: object) => void) | null = null;
  onerror: ((event: object) => void) | null = null;
  readonly sent: unknown[] = [];
  isClosedByClient = false;

  constructor(url: string, protocols?: string | string[]) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.made.push(this);
  }

  send(data: unknown): void {
    if (this.readyState === 0) throw new Error("InvalidStateError");
    this.sent.push(data);
  }

  close(): void {
    this.isClosedByClient = true;
    this.readyState = 2;
  }

  // What the server does

  /** Accept the handshake, which is not yet an answer. */
  accept(): void {
    this.readyState = 1;
    this.onopen?.({});
  }

  /** Accept, and answer the first heartbeat. */
  open(): this {
    this.accept();
    this.say("3");
    return this;
  }

  say(message: unknown): void {
    const data =
      typeof message === "string" || message instanceof ArrayBuffer ? message : JSON.stringify(message);
    this.onmessage?.({ data });
  }

  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    if (code === 1006) this.onerror?.({});
    this.onclose?.({ code, reason });
  }

  // What the client sent

  /** The messages, read; heartbeats are left out. */
  get messages(): { type: string; data?: unknown; correlationId?: string }[] {
    return this.sent.filter((sent) => sent !== "2").map((sent) => JSON.parse(sent as string));
  }

  get pings(): number {
    return this.sent.filter((sent) => sent === "2").length;
  }

  /** Answer the last request of a type. */
  reply(type: string, answer: { data?: unknown; error?: string; details?: unknown }): void {
    const { correlationId } = this.messages.filter((message) => message.type === type).at(-1) ?? {};
    this.say({ type, correlationId, ...answer });
  }
}

/** The last socket that was made. */
export const socket = (): FakeSocket => {
  const last = FakeSocket.made.at(-1);
  if (!last) throw new Error("no attempt was made");
  return last;
};

export const attempts = (): number => FakeSocket.made.length;

/** Clients that a test made, to be destroyed after it. */
const made: { destroy(): void }[] = [];

export const newClient = (options: SocketClientOptions = {}, url: Url = "ws://server/ws"): SocketClient => {
  const client = new SocketClient(url, options);
  made.push(client);
  return client;
};

/** A client that is connected, with the socket of its connection. */
export const connected = (
  options: SocketClientOptions = {},
): { client: SocketClient; server: FakeSocket } => {
  const client = newClient(options);
  client.connect();
  return { client, server: socket().open() };
};

/** A page and its device, which a test hides, shows, and takes offline. */
export class FakePage {
  readonly document: EventTarget & { visibilityState: string } = Object.assign(new EventTarget(), {
    visibilityState: "visible",
  });
  readonly navigator: { onLine: boolean } = { onLine: true };
  readonly window: EventTarget = new EventTarget();
  /** How many listeners there are. */
  listeners = 0;

  constructor() {
    for (const target of [this.document, this.window]) {
      const { addEventListener, removeEventListener } = target;
      const known = new Set<unknown>();
      target.addEventListener = (type: string, listener: EventListener) => {
        known.add(`${type} ${id(listener)}`);
        this.listeners = this.#count(target, known);
        addEventListener.call(target, type, listener);
      };
      target.removeEventListener = (type: string, listener: EventListener) => {
        known.delete(`${type} ${id(listener)}`);
        this.listeners = this.#count(target, known);
        removeEventListener.call(target, type, listener);
      };
    }
    vi.stubGlobal("document", this.document);
    vi.stubGlobal("navigator", this.navigator);
    vi.stubGlobal("addEventListener", this.window.addEventListener);
    vi.stubGlobal("removeEventListener", this.window.removeEventListener);
  }

  readonly #counts = new Map<EventTarget, number>();

  #count(target: EventTarget, known: Set<unknown>): number {
    this.#counts.set(target, known.size);
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  hide(): void {
    this.document.visibilityState = "hidden";
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  show(): void {
    this.document.visibilityState = "visible";
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  goOffline(): void {
    this.navigator.onLine = false;
    this.window.dispatchEvent(new Event("offline"));
  }

  goOnline(): void {
    this.navigator.onLine = true;
    this.window.dispatchEvent(new Event("online"));
  }
}

const ids = new Map<unknown, number>();
const id = (listener: unknown): number => {
  const known = ids.get(listener) ?? ids.size;
  ids.set(listener, known);
  return known;
};

/** Let promises settle and timers run for a time, in ms. */
export const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** Let time pass until the next attempt is made; return its socket. */
export const nextAttempt = async (): Promise<FakeSocket> => {
  const before = attempts();
  for (let tenth = 0; attempts() === before; tenth++) {
    if (tenth > 200) throw new Error("no attempt was made within 20 s");
    await pass(100);
  }
  return socket();
};

/** What a promise came to by now. */
export const outcome = (promise: Promise<unknown>): { value?: unknown; error?: Error } => {
  const seen: { value?: unknown; error?: Error } = {};
  promise.then(
    (value) => {
      seen.value = value;
    },
    (error) => {
      seen.error = error;
    },
  );
  return seen;
};

/** The correlation id of a client's request number `number`, counted from 1. */
export const correlationId = (number: number): string => `345678-9abc-4def-${number}`;

export const begin = (): void => {
  vi.stubGlobal("crypto", { randomUUID: () => "12345678-9abc-4def-8123-456789abcdef" });
  vi.useFakeTimers();
  FakeSocket.made = [];
  vi.stubGlobal("WebSocket", FakeSocket);
};

export const end = (): void => {
  for (const client of made.splice(0)) client.destroy();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
};
