/** One place in a message's data that does not fit: `path` begins with `$`, the data. */
export interface ErrorDetail {
  path: string;
  message: string;
}

/**
 * What goes wrong between a `SocketClient` and its server.
 *
 *     ClientError
 *     ├── ConnectFailed            no connection came about
 *     ├── ConnectionClosed         the connection ended
 *     │   └── ConnectionRefused    the server doesn't want this client; it is not asked again
 *     ├── RequestFailed            the server answered with an error
 *     ├── RequestTimeout           no answer in time
 *     └── SendBufferFull           no room to keep the message until it can be sent
 */
export class ClientError extends Error {
  override readonly name: string = "ClientError";
}

/** A connection could not be made. `cause` says why, where that is known: a browser doesn't tell. */
export class ConnectFailed extends ClientError {
  override readonly name = "ConnectFailed";
}

/** The connection ended. What was sent last may have been received, or not. */
export class ConnectionClosed extends ClientError {
  override readonly name: string = "ConnectionClosed";

  constructor(
    message: string,
    /** The WebSocket close code; 1006 where the link was simply lost, 1000 where this client disconnected. */
    readonly code = 1006,
    /** What the server said to it, for people. */
    readonly reason = "",
  ) {
    super(message);
  }
}

/**
 * The server doesn't want this client: close code 1008 or, where the WebSocket tells, HTTP 401 or 403. `connect()` may be
 * called again, with a better token.
 */
export class ConnectionRefused extends ConnectionClosed {
  override readonly name = "ConnectionRefused";
}

/** The server answered with an error. */
export class RequestFailed extends ClientError {
  override readonly name = "RequestFailed";

  constructor(
    /** The type of the message that failed. */
    readonly type: string,
    /** The server's text: `Forbidden`, `Validation failed`, …, or the application's own. */
    readonly error: string,
    /** What does not fit, where the server said so. */
    readonly details: readonly ErrorDetail[] = [],
  ) {
    super(`${type}: ${error}`);
  }
}

/** No answer in time. The server may have acted all the same. */
export class RequestTimeout extends ClientError {
  override readonly name = "RequestTimeout";
}

/** The message does not fit what is kept until it can be sent. It was not kept. */
export class SendBufferFull extends ClientError {
  override readonly name = "SendBufferFull";
}
