// Made by `wigwag typegen chat:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Join {
  room: string;
}

export interface Presence {
  room: string;
  text: string;
}

export interface Said {
  room: string;
  name: string;
  text: string;
}

export interface Say {
  room: string;
  text: string;
}

/** What the server emits: name to data. */
export interface Events {
  "chat.presence": Presence;
  "chat.said": Said;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "join": { data: Join; reply: null };
  "say": { data: Say; reply: null };
}

// What the server emits.
export const ChatPresence = /* @__PURE__ */ ClientMessage.define<Presence>("chat.presence");
export const ChatSaid = /* @__PURE__ */ ClientMessage.define<Said>("chat.said");

// What the server takes.
export const Join = /* @__PURE__ */ ClientMessage.define<Join, null>("join");
export const Say = /* @__PURE__ */ ClientMessage.define<Say, null>("say");
