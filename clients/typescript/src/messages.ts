/**
 * A message's name together with the type of its data and, where it is a request, of its reply.
 *
 * `_data` and `_reply` never hold anything: they carry the types.
 */
export interface ClientMessageDefinition<Data, Reply = unknown> {
  readonly name: string;
  readonly _data?: Data;
  readonly _reply?: Reply;
}

/** An event as it came: what handlers get as their second argument. */
export interface MessageEnvelope<Data = unknown> {
  readonly name: string;
  readonly data: Data;
  /** When it was emitted, in ms since 1970-01-01 UTC. */
  readonly timestamp: number;
}

/** The server's answer to a message, as it came. */
export interface ReplyEnvelope {
  readonly type: string;
  readonly data?: unknown;
  readonly error?: string;
  readonly details?: readonly { path: string; message: string }[];
  readonly correlationId?: string | number;
}

/** Called with an event's data, and the event. One that throws or rejects is reported, and hurts no other. */
export type MessageHandler<Data> = (data: Data, event: MessageEnvelope<Data>) => unknown;

const define = <Data, Reply = unknown>(name: string): ClientMessageDefinition<Data, Reply> => ({ name });

/** Makes definitions of messages, which give `on`, `emit` and `request` their types. */
export const ClientMessage = {
  /**
   * Define a message by its name on the wire.
   *
   *     const OrderPaid = ClientMessage.define<{ id: number }>("order.paid");
   *     client.on(OrderPaid, ({ id }) => …);
   */
  define,
};

// What the server's stock handlers take.

/** Join a room. `client.joinRoom()` does it, and joins again after a reconnect. */
export const JoinRoom: ClientMessageDefinition<{ room: string }, null> = /* @__PURE__ */ define("room.join");
/** Leave a room. `client.leaveRoom()` does it. */
export const LeaveRoom: ClientMessageDefinition<{ room: string }, null> =
  /* @__PURE__ */ define("room.leave");
/** Tell the application that somebody is there. The link is watched without it. */
export const Heartbeat: ClientMessageDefinition<{ timestamp?: number | null }> =
  /* @__PURE__ */ define("heartbeat");
/** Say who you are, where an application wants to hear it in a message. */
export const Authenticate: ClientMessageDefinition<Record<string, unknown>> =
  /* @__PURE__ */ define("auth.authenticate");

// What the server says by itself.

/**
 * Messages for these topics may be missing, and ones for you alone or for everybody, even where `topics` is empty.
 * Fetch what you need, after a random pause of at most `spreadMs`: many clients are told at once.
 */
export const Resync: ClientMessageDefinition<{ topics: string[]; spreadMs: number }> =
  /* @__PURE__ */ define("wigwag.resync");
/** You read too slowly, and this many messages were not sent to you. Fetch what you need. */
export const Dropped: ClientMessageDefinition<{ count: number }> = /* @__PURE__ */ define("wigwag.dropped");

// What the client says. These are told apart by identity, so that nothing which a server sends can look like one.

const locals = /* @__PURE__ */ new Set<unknown>();

const local = <Data>(name: string): ClientMessageDefinition<Data> => {
  const definition = { name };
  locals.add(definition);
  return definition;
};

/** The server has accepted this client, and answers. `reconnected`: not for the first time since `connect()`. */
export const Connected: ClientMessageDefinition<{ reconnected: boolean }> =
  /* @__PURE__ */ local("connected");
/** A connection ended that was `Connected`, by whichever side. */
export const Disconnected: ClientMessageDefinition<{ code: number; reason: string; willReconnect: boolean }> =
  /* @__PURE__ */ local("disconnected");
/** The next attempt, the `attempt`th in a row, is made in `delay` ms; later where the page is hidden or offline. */
export const ReconnectAttempt: ClientMessageDefinition<{ attempt: number; delay: number }> =
  /* @__PURE__ */ local("reconnectAttempt");
/** `maxReconnectAttempts` have failed, and no other is made. */
export const ReconnectFailed: ClientMessageDefinition<{ attempts: number }> =
  /* @__PURE__ */ local("reconnectFailed");
/** Any event from the server, whatever its name: for logs. The second argument has the name. */
export const AnyEvent: ClientMessageDefinition<unknown> = /* @__PURE__ */ local("anyEvent");
/** What was published as it is: a text that is no event, or bytes. */
export const Raw: ClientMessageDefinition<string | ArrayBuffer> = /* @__PURE__ */ local("raw");
/** An answer that no request waits for: to `send` or `emit`, or one that came too late. Errors go to `onError`. */
export const Reply: ClientMessageDefinition<ReplyEnvelope> = /* @__PURE__ */ local("reply");

/** What handlers of a message are found by. */
export const keyOf = (message: string | ClientMessageDefinition<unknown>): unknown =>
  typeof message === "string" || locals.has(message) ? message : message.name;

const UNSAFE = /^(__proto__|constructor|prototype)$/;
// A text without any of these letters has no such key: most texts are not looked at key by key.
const SUSPICIOUS = /proto|constructor|\\u/;

/** Read JSON, without the keys that could reach an object's prototype. Throws what JSON.parse throws. */
export const parse = (text: string): unknown =>
  JSON.parse(
    text,
    SUSPICIOUS.test(text) ? (key, value) => (UNSAFE.test(key) ? undefined : value) : undefined,
  );

/** Read what came from the server: an event, a reply, or undefined for what is neither. */
export const decode = (
  message: unknown,
): MessageEnvelope<unknown> | (ReplyEnvelope & { readonly name?: undefined }) | undefined => {
  try {
    const frame = parse(message as string) as Record<string, unknown> | null;
    if (typeof frame?.["name"] === "string" || typeof frame?.["type"] === "string") {
      return frame as unknown as MessageEnvelope;
    }
  } catch {}
  return undefined;
};
