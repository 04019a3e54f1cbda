import { backoff, LASTED } from "./backoff.js";
import { after, Deferred, quiet } from "./deferred.js";
import {
  ClientError,
  type ConnectFailed,
  ConnectionClosed,
  ConnectionRefused,
  RequestFailed,
  RequestTimeout,
  SendBufferFull,
} from "./errors.js";
import { Handlers } from "./handlers.js";
import { asked, Link, resolveUrl } from "./link.js";
import {
  AnyEvent,
  Authenticate,
  type ClientMessageDefinition,
  Connected,
  Disconnected,
  decode,
  JoinRoom,
  keyOf,
  LeaveRoom,
  type MessageHandler,
  Raw,
  ReconnectAttempt,
  ReconnectFailed,
  Reply,
} from "./messages.js";
import {
  DEFAULTS,
  type RequestOptions,
  type SendOptions,
  type Settings,
  type SocketClientOptions,
  type Url,
} from "./options.js";
import { type Content, type Message, Pending, SendBuffer } from "./outgoing.js";
import { Page } from "./page.js";
import { Room } from "./rooms.js";
import { secondsLeft } from "./token.js";

/**
 * `disconnected`: before `connect()`, and after `disconnect()`. `connecting`, `connected`, `reconnecting`: at work.
 * `refused`: the server doesn't want this client. `failed`: no further attempt is made, or the application is done with
 * this client (code 1000). From the last two, and from `disconnected`, `connect()` begins anew.
 */
export type ConnectionState =
  | "disconnected"
  | "connecting"
  | "connected"
  | "reconnecting"
  | "refused"
  | "failed";

// biome-ignore-start lint/suspicious/noExplicitAny: what nothing is said of, as JSON.parse has it.
/** Events of any name. */
export type AnyEvents = Record<string, any>;
/** Requests of any type. */
export type AnyRequests = Record<string, { data: any; reply: any }>;
// biome-ignore-end lint/suspicious/noExplicitAny: see above

/** Data may be left out where it may be undefined, or has nothing that must be there. */
export type DataArguments<Data, Options> = undefined extends Data
  ? [data?: Data, options?: Options]
  : Record<never, never> extends Data
    ? [data?: Data, options?: Options]
    : [data: Data, options?: Options];

const STATE = {};
const ERROR = {};
/** The close code of an application that is done with this client. */
const DONE = 1000;
/** What the server says when it closes with 1008 for the token's age alone. */
const EXPIRED = "token expired";
/** What the stock service answers to a newer token: how long it is good for, and the rooms that it does not allow. */
type Renewed = { expiresInS?: number | null; left?: string[] } | null;
/** A join that failed so stands at the server, and comes alive later. */
const UNAVAILABLE = "Unavailable";
/** What a join is answered that came too early. Ten refusals a minute end a connection. */
const TOO_EARLY = /^Too many (messages|joins)$/;

/**
 * A connection to a wigwag server that is kept: it reconnects, joins its rooms again, watches the link, keeps what is
 * sent meanwhile within limits, and asks the server and waits for the answer.
 *
 *     const client = new SocketClient("/ws");
 *     client.on("chat.said", (said) => show(said));
 *     client.joinRoom("lobby");
 *     client.connect();
 *
 * `Events` and `Requests` are the maps that `wigwag typegen` writes; without them any name goes.
 *
 * What may be lost: a message that was handed to a connection may be lost with it, so use `request` where that
 * matters. What the server emits while there is no connection is not sent again: on `Connected`, join and then fetch.
 */
export class SocketClient<
  Events extends object = AnyEvents,
  Requests extends { [Type in keyof Requests]: { data: unknown; reply: unknown } } = AnyRequests,
> {
  readonly #url: Url;
  readonly #settings: Settings;
  readonly #page: Page;
  readonly #handlers = new Handlers((error, key) => {
    if (key === ERROR) console.error(error);
    else this.#report(error);
  });
  readonly #buffer: SendBuffer;
  readonly #pending = new Pending((id) => this.#buffer.drop((message) => message.id === id));
  readonly #reported = new WeakSet();
  readonly #rooms = new Map<string, Room>();
  /** Those that this connection asked for too early, and will ask for again. */
  readonly #tooEarly = new Set<Room>();
  /** How often that was so since a room was last joined: the pause grows. */
  #refusals = 0;
  #again: ReturnType<typeof setTimeout> | undefined;

  #state: ConnectionState = "disconnected";
  #error: ClientError | undefined;
  /** The connection, or the attempt to make one. */
  #link: Link | undefined;
  #opening: Deferred | undefined;
  #openedAt = 0;
  #wasConnected = false;
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  /** Whether the token was found to be too old, and no connection has lasted since. */
  #wasExpired = false;
  /** Between `connect()` and `disconnect()`, or the end that the server or the attempts put to it. */
  #isActive = false;
  #isDestroyed = false;

  /** `url`: `wss://host/path`, `/path` in a page, or a function that gives one before each attempt. */
  constructor(url: Url, options: SocketClientOptions = {}) {
    this.#url = url;
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#settings = { ...DEFAULTS, ...Object.fromEntries(given) };
    this.#page = new Page(this.#settings, (event) => this.#pageChanged(event));
    this.#buffer = new SendBuffer(this.#settings);
  }

  /** Where the client stands. */
  get connectionState(): ConnectionState {
    return this.#state;
  }

  get isConnected(): boolean {
    return this.#state === "connected";
  }

  /** What ended the last connection or attempt. */
  get error(): ClientError | undefined {
    return this.#error;
  }

  /** The rooms that the client wants to be in, as a snapshot. */
  get joinedRooms(): ReadonlySet<string> {
    return new Set(this.#rooms.keys());
  }

  // Lifecycle

  /**
   * Keep a connection from now on. While it waits to make an attempt, make one at once.
   *
   * The promise need not be looked at. It resolves when connected, and rejects when that will not be: with
   * ConnectionRefused, with ConnectionClosed after `disconnect()`, or with what failed the last attempt.
   *
   * Throws ClientError at once where there is no WebSocket, the URL is none, or after `destroy()`.
   */
  connect(): Promise<void> {
    this.#checkUsable();
    if (typeof (this.#settings.WebSocket ?? globalThis.WebSocket) !== "function") {
      throw new ClientError("no WebSocket here: npm install ws, and give its { WebSocket }");
    }
    if (typeof this.#url === "string") resolveUrl(this.#url);
    if (this.isConnected) return Promise.resolve();
    this.#opening ??= new Deferred();
    const { promise } = this.#opening;
    if (!this.#isActive) {
      this.#isActive = true;
      this.#wasConnected = this.#wasExpired = false;
      this.#attempts = 0;
      this.#page.watch();
      this.#enter("connecting");
    }
    if (this.#isActive && !this.#link) this.#try();
    return promise;
  }

  /**
   * Close the connection, and make no other. Handlers and rooms are kept for another `connect()`; requests and what
   * waits to be sent are not: the requests reject with ConnectionClosed.
   */
  disconnect(): void {
    this.#link?.close();
    this.#buffer.drop(() => true);
    const error = new ConnectionClosed("this client disconnected", DONE);
    this.#reported.add(error);
    this.#over("disconnected", error);
  }

  /** Disconnect for good, and forget everything. */
  destroy(): void {
    this.#isDestroyed = true;
    this.disconnect();
    this.clearRooms();
    this.#handlers.clear();
  }

  // Receiving

  /**
   * Call `handler(data, event)` for each event of this name. Returns a function that takes it back.
   *
   * Handlers are called in the order of the events, and not awaited. One that throws or rejects is told to `onError`
   * handlers, and hurts no other.
   */
  on<Data>(message: ClientMessageDefinition<Data>, handler: MessageHandler<Data>): () => void;
  on<Name extends keyof Events & string>(name: Name, handler: MessageHandler<Events[Name]>): () => void;
  on(message: string | ClientMessageDefinition<unknown>, handler: MessageHandler<never>): () => void {
    const key = keyOf(message);
    if (key !== Connected) return this.#handlers.add(key, handler);
    // A handler before this one may have disconnected.
    return this.#handlers.add(key, (...event: Parameters<typeof handler>) =>
      this.isConnected ? handler(...event) : undefined,
    );
  }

  /** Call `handler(state)` at each change. Returns a function that takes it back. */
  onStateChange(handler: (state: ConnectionState) => unknown): () => void {
    // A handler before this one may have changed it again, of which this one has then heard already.
    return this.#handlers.add(STATE, (state) => (state === this.#state ? handler(state) : undefined));
  }

  /**
   * Call `handler(error)` for what no call throws: a failed attempt, a lost connection, a room that could not be
   * joined, a server's error to what was sent without asking, and what a handler threw. Returns a function that takes
   * it back. While there is none, the last three are written to the console.
   */
  onError(handler: (error: Error) => unknown): () => void {
    return this.#handlers.add(ERROR, handler);
  }

  // Sending

  /**
   * Send a message; the server answers only if something is wrong with it, which is told to `onError`.
   *
   * While there is no connection it waits for one, unless `buffer` is false.
   *
   * Throws SendBufferFull where it does not fit what is kept, ConnectionRefused or what failed last where there will
   * be no connection, and ConnectionClosed where there is none and `buffer` is false.
   */
  send<Type extends keyof Requests & string>(
    type: Type,
    ...[data, options]: DataArguments<Requests[Type]["data"], SendOptions>
  ): void {
    this.sendRaw(JSON.stringify({ type, data }), options);
  }

  /** `send`, by definition. */
  emit<Data>(
    { name }: ClientMessageDefinition<Data>,
    ...data: DataArguments<NoInfer<Data>, SendOptions>
  ): void {
    this.send(name as never, ...(data as never));
  }

  /** Send a text or binary message as it is; otherwise as `send`. */
  sendRaw(content: Content, { buffer = true }: SendOptions = {}): void {
    this.#transmit(content, buffer);
  }

  /**
   * Send a message, and resolve with the data of the answer.
   *
   * Rejects with RequestFailed where the server answers with an error, with RequestTimeout where it does not within
   * `timeout`, which includes waiting for a connection, with ConnectionClosed where the connection ended before (the
   * server may have acted), and with what `send` throws.
   */
  request<Data, Answer>(
    message: ClientMessageDefinition<Data, Answer>,
    ...[data, options]: DataArguments<NoInfer<Data>, RequestOptions>
  ): Promise<Answer>;
  request<Type extends keyof Requests & string>(
    type: Type,
    ...[data, options]: DataArguments<Requests[Type]["data"], RequestOptions>
  ): Promise<Requests[Type]["reply"]>;
  request(
    message: string | ClientMessageDefinition<unknown>,
    data?: unknown,
    options?: RequestOptions,
  ): Promise<unknown> {
    return this.#ask(typeof message === "string" ? message : message.name, data, options);
  }

  // Rooms

  /**
   * Join a room, on this connection and on each that follows, once.
   *
   * The promise need not be looked at. It resolves when the room is live; rejects with RequestFailed where the server
   * says no, which is told to `onError` too (at first the room is forgotten; later it is tried again on the next
   * connection), and with RequestTimeout where it is not live within `requestTimeout` (the wish stands). That it is
   * asked for too early, `Too many messages` or `Too many joins`, is told to `onError` alone: it is asked for again.
   */
  joinRoom(name: string): Promise<void> {
    this.#checkUsable();
    let room = this.#rooms.get(name);
    if (!room) this.#rooms.set(name, (room = new Room(name)));
    if (room.outcome.isFailed) {
      room.asked = undefined;
      room.renew();
    }
    this.#join(room);
    const { promise } = room.outcome;
    const limit = this.#settings.requestTimeout;
    return quiet(
      new Promise((resolve, reject) => {
        const timer = after(limit, () =>
          reject(new RequestTimeout(this.#late(`room ${name} was not joined`, limit))),
        );
        promise.then(resolve, reject).finally(() => clearTimeout(timer));
      }),
    );
  }

  /**
   * Want a room no longer. The promise need not be looked at: it resolves when the server has let go of it, at once
   * where it was not wanted or there is no connection; an error is told to `onError` too.
   */
  leaveRoom(name: string): Promise<void> {
    const room = this.#rooms.get(name);
    if (!room) return Promise.resolve();
    this.#rooms.delete(name);
    room.outcome.reject(new ClientError(`room ${name} was left`));
    if (this.#tooEarly.delete(room) || room.asked !== this.#link || !this.isConnected)
      return Promise.resolve();
    return quiet(
      this.#ask(LeaveRoom.name, { room: name }, {}, false).then(
        () => {},
        (error) => {
          if (error instanceof ConnectionClosed) return; // the next does not join it
          this.#report(error);
          throw error;
        },
      ),
    );
  }

  /** Leave all rooms. */
  clearRooms(): Promise<void> {
    return quiet(Promise.all([...this.#rooms.keys()].map((name) => this.leaveRoom(name))).then(() => {}));
  }

  // Connecting

  #try(): void {
    clearTimeout(this.#retry);
    if (this.#page.isAway) return; // until it is back
    const link = new Link(this.#settings, {
      opened: () => this.#opened(link),
      received: (data) => this.#received(data),
      ended: (error) => this.#ended(error),
    });
    this.#link = link;
    link.open(this.#url);
  }

  #pageChanged({ type }: Event): void {
    const { isHidden, isAway } = this.#page;
    if (this.#link && !this.isConnected && type === "online" && !isAway) {
      this.#link.close(); // it began on a network that is gone, and would wait for it until its time is up
      this.#link = undefined;
      this.#try();
    } else if (this.#link) {
      if (!isHidden) this.#link.check(); // the network may be another
    } else if (type === "online" || (type !== "offline" && !isHidden)) {
      this.#try(); // it is back
    }
  }

  #opened(link: Link): void {
    const reconnected = this.#wasConnected;
    this.#wasConnected = true;
    this.#openedAt = performance.now();
    this.#renewIn(secondsLeft(link.token));
    this.#opening?.resolve();
    this.#opening = undefined;
    this.#enter("connected");
    // Its handlers come first, so that they may say who this is. They may disconnect, too.
    if (link.isOpen) this.#handlers.call(Connected, { reconnected });
    for (const room of this.#rooms.values()) this.#join(room);
    while (link.isOpen) {
      const message = this.#buffer.shift();
      if (!message) break;
      this.#handOver(link, message);
    }
  }

  #ended(error: ConnectFailed | ConnectionClosed): void {
    const { reconnect, maxReconnectAttempts, reconnectDelay, maxReconnectDelay, token } = this.#settings;
    if (this.isConnected && performance.now() - this.#openedAt >= LASTED) {
      this.#attempts = 0;
      this.#wasExpired = false;
    }
    const attempt = this.#attempts + 1;
    const isDone = (error as ConnectionClosed).code === DONE; // a failed attempt has no code, nor a reason
    let state: ConnectionState = "failed";
    let next: { readonly attempt: number; readonly delay: number } | undefined;
    const isExpired = (error as ConnectionClosed).reason === EXPIRED && typeof token === "function";
    if (error instanceof ConnectionRefused && !(isExpired && reconnect && !this.#wasExpired)) {
      state = "refused";
    } else if (reconnect && !isDone && attempt <= maxReconnectAttempts) {
      state = this.isConnected ? "reconnecting" : this.#state;
      this.#wasExpired ||= isExpired;
      next = { attempt, delay: backoff(this.#attempts++, reconnectDelay, maxReconnectDelay) };
    }
    this.#over(state, error, next?.delay);
    this.#report(error, !!next || isDone);
    if (next) {
      if (this.#isActive && !this.#link) this.#handlers.call(ReconnectAttempt, next);
    } else if (reconnect && !isDone && state === "failed") {
      this.#handlers.call(ReconnectFailed, { attempts: this.#attempts });
    }
  }

  /** The connection, or the attempt to make one, is over. Handlers are called last: they may do anything. */
  #over(state: ConnectionState, error: ConnectFailed | ConnectionClosed, delay?: number): void {
    const { isConnected } = this;
    const willReconnect = delay !== undefined;
    clearTimeout(this.#retry);
    clearTimeout(this.#renewal);
    clearTimeout(this.#again);
    this.#again = undefined;
    this.#tooEarly.clear();
    this.#link = undefined;
    this.#error = error;
    for (const room of this.#rooms.values()) {
      if (!willReconnect) room.outcome.reject(error);
      room.renew();
    }
    if (willReconnect) {
      this.#retry = setTimeout(() => this.#try(), delay);
    } else {
      this.#isActive = false;
      this.#page.unwatch();
      this.#opening?.reject(error);
      this.#opening = undefined;
    }
    this.#pending.fail(error, !willReconnect);
    this.#enter(state);
    if (isConnected) {
      const { code, reason } = error as ConnectionClosed;
      this.#handlers.call(Disconnected, { code, reason, willReconnect });
    }
  }

  /** Bring a fresh token in time, where a function gives them; the one in use is good for so many seconds. */
  #renewIn(seconds: number): void {
    const { token } = this.#settings;
    const link = this.#link;
    const until = Date.now() + seconds * 1000;
    // Those who came together don't all come again together; and there is time to try again.
    const delay = typeof token === "function" && seconds > 1 ? seconds * (650 + Math.random() * 200) : 0;
    this.#renewal = after(delay, async () => {
      try {
        const fresh = await asked(token);
        if (this.#link !== link) return; // the next asks for its own
        const answer = (await this.#ask(Authenticate.name, { token: fresh }, {}, false)) as Renewed;
        for (const name of answer?.left ?? []) {
          const room = this.#rooms.get(name);
          if (room)
            this.#refuse(
              room,
              new RequestFailed(JoinRoom.name, "Forbidden", [{ path: "$.room", message: name }]),
            );
        }
        this.#renewIn(answer?.expiresInS ?? secondsLeft(fresh));
      } catch (error) {
        if (this.#link !== link) return;
        this.#report(error);
        this.#renewIn((until - Date.now()) / 1000);
      }
    });
  }

  // Sending, receiving

  #ask(type: string, data: unknown, options: RequestOptions = {}, isKept = true): Promise<unknown> {
    return this.#pending.ask(
      (id) => this.#transmit(JSON.stringify({ type, data, correlationId: id }), isKept, id),
      { ...options, timeout: options.timeout ?? this.#settings.requestTimeout },
      (limit) => this.#late(`no answer to ${type}`, limit),
    );
  }

  #transmit(content: Content, isKept: boolean, id?: string): void {
    this.#checkUsable();
    const link = this.#link;
    if (this.isConnected && link?.isOpen) {
      if (link.bufferedAmount > this.#settings.sendBufferBytes) {
        throw new SendBufferFull(`${link.bufferedAmount} bytes wait to be written`);
      }
      this.#handOver(link, { content, id });
    } else if (this.#error && (this.#state === "refused" || this.#state === "failed")) {
      throw this.#error;
    } else if (isKept) {
      this.#buffer.push({ content, id });
    } else {
      throw new ConnectionClosed("not connected");
    }
  }

  #handOver(link: Link, { content, id }: Message): void {
    link.send(content);
    this.#pending.sent(id);
  }

  #received(data: unknown): void {
    const frame = decode(data);
    if (!frame) {
      this.#handlers.call(Raw, data);
    } else if (frame.name !== undefined) {
      this.#handlers.call(frame.name, frame.data, frame);
      this.#handlers.call(AnyEvent, frame.data, frame);
    } else {
      const error =
        frame.error === undefined ? undefined : new RequestFailed(frame.type, frame.error, frame.details);
      if (this.#pending.settle(frame.correlationId, error, frame.data)) return;
      if (error) this.#report(error);
      else this.#handlers.call(Reply, frame);
    }
  }

  /** Ask for a room, unless this connection was asked for it. */
  #join(room: Room): void {
    const link = this.#link;
    if (!this.isConnected || !link?.isOpen || room.asked === link) return;
    room.asked = link;
    this.#ask(JoinRoom.name, { room: room.name }, { timeout: 0 }, false).then(
      () => {
        room.wasJoined = true;
        this.#refusals = 0;
        if (this.#link === link) room.outcome.resolve(); // else it was lost in this very moment
      },
      (error) => {
        // With the connection lost, the next is asked.
        if (error instanceof ConnectionClosed || this.#rooms.get(room.name) !== room) return;
        if (error instanceof RequestFailed && TOO_EARLY.test(error.error)) {
          this.#tooEarly.add(room);
          this.#joinAgain();
          this.#report(error, true);
          return;
        }
        const isRefused = error instanceof RequestFailed && error.error !== UNAVAILABLE;
        if (isRefused && !room.wasJoined) this.#rooms.delete(room.name);
        this.#refuse(room, error);
      },
    );
  }

  #refuse(room: Room, error: Error): void {
    room.outcome.reject(error);
    this.#report(error);
  }

  /** Ask again for what was asked for too early, one room after the other: each refusal counts. */
  #joinAgain(): void {
    this.#again ??= setTimeout(
      () => {
        this.#again = undefined;
        const [room] = this.#tooEarly;
        if (!room) return; // left meanwhile
        this.#tooEarly.delete(room);
        room.asked = undefined;
        this.#join(room);
        if (this.#tooEarly.size) this.#joinAgain();
      },
      backoff(this.#refusals++, 1000, 20_000),
    );
  }

  #enter(state: ConnectionState): void {
    if (state !== this.#state) {
      this.#state = state;
      this.#handlers.call(STATE, state);
    }
  }

  /** Tell of an error once, though it may come from a promise that a handler returned as well. */
  #report(error: unknown, isUsual = false): void {
    if (this.#reported.has(error as object)) return;
    if (error instanceof Object) this.#reported.add(error);
    if (!this.#handlers.call(ERROR, error) && !isUsual) console.error(error);
  }

  #late(what: string, limit: number): string {
    const why = this.isConnected ? "" : `; not connected: ${this.#error?.message ?? "call connect()"}`;
    return `${what} within ${limit} ms${why}`;
  }

  #checkUsable(): void {
    if (this.#isDestroyed) throw new ClientError("the client is destroyed: make another");
  }
}
