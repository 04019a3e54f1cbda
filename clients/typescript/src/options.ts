/** What the client uses of a WebSocket: the browser's, Node's, Bun's, and that of the package `ws`, have it. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount: number;
  binaryType: string;
  // biome-ignore-start lint/suspicious/noExplicitAny: each implementation has types of its own.
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  send(data: any): void;
  // biome-ignore-end lint/suspicious/noExplicitAny: see above
  close(code?: number, reason?: string): void;
}

/** Makes WebSockets. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;

/** Where to connect, or what says it before each attempt. */
export type Url = string | (() => string | Promise<string>);

/** What the server is to know this client by (a JWT), or what gives a fresh one whenever it is asked. */
export type Token = string | (() => string | Promise<string>);

/** How a `SocketClient` behaves. Times are in ms. */
export interface SocketClientOptions {
  /** Whether to connect again after a failed attempt or a lost connection. Default: true. */
  reconnect?: boolean;
  /** How often in a row. Default: Infinity. */
  maxReconnectAttempts?: number;
  /** The least pause before an attempt; a random one of up to `reconnectDelay * 2 ** n` is added. Default: 500. */
  reconnectDelay?: number;
  /** The longest pause. Default: 20 000. */
  maxReconnectDelay?: number;
  /** How long an attempt may take, from the functions that give URL and token to the server's first answer. Default: 5000. */
  connectionTimeout?: number;
  /** How often the server is asked whether it is there; 0: never. Default: 25 000. */
  heartbeatInterval?: number;
  /** How long it may be silent after that, before the connection is given up; 0: for ever. Default: 5000. */
  heartbeatTimeout?: number;
  /** How long `request`, `joinRoom` and `leaveRoom` wait for an answer, unless they are told. Default: 10 000. */
  requestTimeout?: number;
  /**
   * How many messages are kept while there is no connection. They are sent at once when there is one, right after the
   * joins: a server that limits messages is to take both (the stock service takes 300, with 100 rooms). Default: 100.
   */
  sendBufferMessages?: number;
  /** How many bytes of them are, and how many may wait in a connection that is slow. Default: 1 048 576. */
  sendBufferBytes?: number;
  /** Whether to make no attempt while the page is hidden. Default: true. */
  pauseWhenHidden?: boolean;
  /** Whether to make no attempt while the device says that it is offline. Default: true. */
  pauseWhenOffline?: boolean;
  /** Subprotocols to offer to the server. */
  protocols?: string | string[];
  /**
   * Offered with each handshake as the subprotocol `wigwag.token.…`, beside `wigwag`, which the server is to agree to; an
   * empty one is not. A function is asked before each attempt, and again at about three quarters of the time that its
   * token is good for: the newer one is sent as `auth.authenticate` on the open connection, and what becomes of it is told to
   * `onError` where it fails. Where the server says `token expired` (code 1008), one more attempt is made with a fresh one.
   */
  token?: Token;
  /** The WebSocket to use where there is no global one (Node 20: that of the package `ws`). */
  WebSocket?: WebSocketConstructor;
}

/** How long to wait for an answer, and what ends the waiting. */
export interface RequestOptions {
  /** In ms; 0: for as long as there is a connection. Default: the client's `requestTimeout`. */
  timeout?: number;
  /** Rejects with its reason when it is aborted. A request that was not sent by then is not sent later. */
  signal?: AbortSignal;
}

/** What becomes of a message while there is no connection. */
export interface SendOptions {
  /** Whether it waits for one (the default), or an error is thrown. */
  buffer?: boolean;
}

/** All of the options, as they are when nothing is said. */
export const DEFAULTS = {
  reconnect: true,
  maxReconnectAttempts: Infinity,
  reconnectDelay: 500,
  maxReconnectDelay: 20_000,
  connectionTimeout: 5000,
  heartbeatInterval: 25_000,
  heartbeatTimeout: 5000,
  requestTimeout: 10_000,
  sendBufferMessages: 100, // all at once, after the joins: within what the stock service takes
  sendBufferBytes: 1_048_576,
  pauseWhenHidden: true,
  pauseWhenOffline: true,
};

export type Settings = SocketClientOptions & typeof DEFAULTS;
