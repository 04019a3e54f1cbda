import { after } from "./deferred.js";
import { ClientError, ConnectFailed, ConnectionClosed, ConnectionRefused } from "./errors.js";
import type { Settings, Token, Url, WebSocketLike } from "./options.js";

const PING = "2";
const PONG = "3";
const OPEN = 1;
const REFUSED = 1008;

/** Who is told what happens on a connection. After `ended`, or after `close()`, nothing more comes. */
export interface LinkListener {
  /** The server answers: it has accepted this client. */
  opened(): void;
  received(data: unknown): void;
  ended(error: ConnectFailed | ConnectionClosed): void;
}

/** Returns a WebSocket URL; a path is one of the page's own server. Throws ClientError where it is none. */
export const resolveUrl = (url: string): string => {
  try {
    const { href } = new URL(url, globalThis.location?.href);
    const resolved = href.replace(/^http/, "ws");
    if (/^wss?:/.test(resolved)) return resolved;
  } catch {}
  throw new ClientError(
    `${JSON.stringify(url)} is no WebSocket URL: write wss://host/path, or /path in a page`,
  );
};

/** What is given, or what the function gives. */
export const asked = (given: Url | Token | undefined): string | Promise<string> | undefined =>
  typeof given === "function" ? given() : given;

/** One attempt to connect and, where it succeeds, the connection: its handshake, its heartbeats, its end. */
export class Link {
  readonly #settings: Settings;
  readonly #listener: LinkListener;
  #socket: WebSocketLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasAnswered = false;
  #isAsked = false;
  /** Whether it ended, or was let go of. */
  isOver = false;
  #isAccepted = false;
  /** The token that was offered. */
  token: string | undefined;

  constructor(settings: Settings, listener: LinkListener) {
    this.#settings = settings;
    this.#listener = listener;
  }

  /** Connect. The listener may be told of the end before this returns. */
  open(url: Url): void {
    const limit = this.#settings.connectionTimeout;
    this.#wait(limit, () => this.#end(new ConnectFailed(`no connection within ${limit} ms`)));
    const { token } = this.#settings;
    if (typeof url === "string" && typeof token !== "function") this.#dial(url, token);
    else this.#ask(url, token);
  }

  async #ask(url: Url, token: Token | undefined): Promise<void> {
    try {
      this.#dial((await asked(url)) as string, await asked(token));
    } catch (cause) {
      this.#end(new ConnectFailed("the function that gives the URL or token failed", { cause }));
    }
  }

  /** Whether a message can be handed over now. */
  get isOpen(): boolean {
    return !this.isOver && this.#socket?.readyState === OPEN;
  }

  /** How much waits to be written, in bytes. */
  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  send(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#socket?.send(data);
  }

  /** Ask the server now whether it is there; `isAgain`: since it was asked just before a sleep, as it seemed. */
  check(isAgain = false): void {
    const { heartbeatInterval, heartbeatTimeout } = this.#settings;
    if (!this.isOpen || !this.#hasAnswered || !(heartbeatInterval > 0)) return;
    this.#isAsked = true;
    this.send(PING);
    const asked = Date.now();
    this.#wait(heartbeatTimeout, () => {
      // A page that slept hears of its timers before it hears what has come meanwhile. One that is hidden hears of
      // them once a minute, which is no sleep: what has come it has heard.
      if (!isAgain && Date.now() - asked > 2 * heartbeatTimeout) this.check(true);
      else this.#end(new ConnectionClosed(`the server was silent for ${heartbeatTimeout} ms`));
    });
  }

  /** Let go of it, at any stage. */
  close(): void {
    this.isOver = true;
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {}; // the package ws throws an error that nobody hears
      socket.close();
    }
  }

  #dial(url: string, token: string | undefined): void {
    if (this.isOver) return;
    const { WebSocket = globalThis.WebSocket, protocols, heartbeatInterval } = this.#settings;
    this.token = token;
    try {
      const socket: WebSocketLike = new WebSocket(
        resolveUrl(url),
        token ? [protocols ?? [], "wigwag", `wigwag.token.${token}`].flat() : protocols,
      );
      this.#socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        this.#isAccepted = true;
        // A server that refuses a client accepts the handshake, and then closes: only an answer tells.
        if (heartbeatInterval > 0) this.send(PING);
        else this.#answered();
      };
      socket.onmessage = ({ data }) => this.#received(data);
      // Not left to the close that follows: Node 20's own WebSocket has none.
      socket.onerror = ({ error, message }) => this.#isAccepted || this.#failed(error ?? message);
      socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    } catch (cause) {
      this.#failed(cause);
    }
  }

  #answered(): void {
    this.#hasAnswered = true;
    this.#rest();
    this.#listener.opened();
  }

  #received(data: unknown): void {
    if (!this.#hasAnswered) this.#answered();
    else if (this.#isAsked) this.#rest();
    if (data !== PONG && !this.isOver) this.#listener.received(data);
  }

  #rest(): void {
    this.#isAsked = false;
    this.#wait(this.#settings.heartbeatInterval, () => this.check());
  }

  #failed(cause: unknown): void {
    const problem = (cause as Error)?.message ?? cause;
    const said = problem ? `: ${problem}` : "";
    const status = / (40[13])$/.exec(said)?.[1]; // the package ws tells
    this.#end(
      status
        ? new ConnectionRefused(`the server refuses this client: HTTP ${status}`, Number(status))
        : new ConnectFailed(`no connection${said}`, { cause }),
    );
  }

  #closed(code: number, reason: string): void {
    const said = reason && `: ${reason}`;
    this.#end(
      code === REFUSED
        ? new ConnectionRefused(`the server refuses this client${said}`, code, reason)
        : new ConnectionClosed(`the connection ended with code ${code}${said}`, code, reason),
    );
  }

  #end(error: ConnectFailed | ConnectionClosed): void {
    if (this.isOver) return;
    this.close();
    this.#listener.ended(error);
  }

  #wait(ms: number, callback: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = after(ms, callback);
  }
}
