// Made by `wigwag typegen registry:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface CursorMove {
  x: number;
  y: number;
  document: string;
}

export interface CursorMoved {
  user: string;
  x: number;
  y: number;
}

/** A client says, at the application's level, that it is there.  (``2``/``3`` is the protocol's.) */
export interface Heartbeat {
  timestamp?: number | null;
}

/** What the server emits: name to data. */
export interface Events {
  "cursor.moved": CursorMoved;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "cursor.move": { data: CursorMove; reply: null };
  "heartbeat": { data: Heartbeat; reply: Record<string, boolean> };
}

// What the server emits.
export const CursorMoved = /* @__PURE__ */ ClientMessage.define<CursorMoved>("cursor.moved");

// What the server takes.
export const CursorMove = /* @__PURE__ */ ClientMessage.define<CursorMove, null>("cursor.move");
