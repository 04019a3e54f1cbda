/**
 * The client of wigwag for browsers, Node and Bun.
 *
 * @packageDocumentation
 */
export {
  type AnyEvents,
  type AnyRequests,
  type ConnectionState,
  type DataArguments,
  SocketClient,
} from "./client.js";
export {
  ClientError,
  ConnectFailed,
  ConnectionClosed,
  ConnectionRefused,
  type ErrorDetail,
  RequestFailed,
  RequestTimeout,
  SendBufferFull,
} from "./errors.js";
export {
  AnyEvent,
  Authenticate,
  ClientMessage,
  type ClientMessageDefinition,
  Connected,
  Disconnected,
  Dropped,
  Heartbeat,
  JoinRoom,
  LeaveRoom,
  type MessageEnvelope,
  type MessageHandler,
  Raw,
  ReconnectAttempt,
  ReconnectFailed,
  Reply,
  type ReplyEnvelope,
  Resync,
} from "./messages.js";
export type {
  RequestOptions,
  SendOptions,
  SocketClientOptions,
  Url,
  WebSocketConstructor,
  WebSocketLike,
} from "./options.js";
