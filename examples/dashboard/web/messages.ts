// Made by `wigwag typegen app:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Incident {
  id: number;
  project: string;
  title: string;
  severity: "critical" | "major" | "minor";
  openedMs: number;
  isResolved: boolean;
}

export interface Watch {
  project: string;
}

/** What the server emits: name to data. */
export interface Events {
  "incident.opened": Incident;
  "incident.resolved": Incident;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "watch": { data: Watch; reply: null };
}

// What the server emits.
export const IncidentOpened = /* @__PURE__ */ ClientMessage.define<Incident>("incident.opened");
export const IncidentResolved = /* @__PURE__ */ ClientMessage.define<Incident>("incident.resolved");

// What the server takes.
export const Watch = /* @__PURE__ */ ClientMessage.define<Watch, null>("watch");
