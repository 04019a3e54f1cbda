// Made by `wigwag typegen mounted:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Tick {
  n: number;
}

/** What the server emits: name to data. */
export interface Events {
  "tick": Tick;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "kick": { data: Record<string, string>; reply: Record<string, string> };
  "watch": { data: undefined; reply: Record<string, string> };
}

// What the server emits.
export const Tick = /* @__PURE__ */ ClientMessage.define<Tick>("tick");

// What the server takes.
export const Kick = /* @__PURE__ */ ClientMessage.define<Record<string, string>, Record<string, string>>("kick");
export const Watch = /* @__PURE__ */ ClientMessage.define<undefined, Record<string, string>>("watch");
