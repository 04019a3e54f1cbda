// Made by `wigwag typegen smallest:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Said {
  text: string;
}

/** What the server emits: name to data. */
export interface Events {
  "said": Said;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {}

// What the server emits.
export const Said = /* @__PURE__ */ ClientMessage.define<Said>("said");
