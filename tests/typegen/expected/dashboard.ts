// Made by `wigwag typegen dashboard:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Beat {
  timestamp: number;
}

export interface IncidentCreated {
  uuid: string;
  title: string;
  severity: "critical" | "major" | "minor";
  monitorUuid: string;
}

export interface SubscribeProject {
  projectUuid: string;
}

export interface Subscribed {
  projectUuid: string;
  subscribed: boolean;
}

/** What the server emits: name to data. */
export interface Events {
  "incident.created": IncidentCreated;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "heartbeat": { data: undefined; reply: Beat };
  "subscribe.project": { data: SubscribeProject; reply: Subscribed };
}

// What the server emits.
export const IncidentCreated = /* @__PURE__ */ ClientMessage.define<IncidentCreated>("incident.created");

// What the server takes.
export const SubscribeProject = /* @__PURE__ */ ClientMessage.define<SubscribeProject, Subscribed>("subscribe.project");
