// Made by `wigwag typegen service`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface PriceChanged {
  sku: string;
  cents: number;
}

/** What the server emits: name to data. */
export interface Events {
  "price.changed": PriceChanged;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {}

// What the server emits.
export const PriceChanged = /* @__PURE__ */ ClientMessage.define<PriceChanged>("price.changed");
