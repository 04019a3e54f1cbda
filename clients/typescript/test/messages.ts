// What `wigwag typegen` writes, in small.
import { ClientMessage } from "../src/index.js";

export interface Incident {
  uuid: string;
  title: string;
  severity: "minor" | "major" | "critical";
  note?: string | null;
}

export interface Project {
  project: string;
}

/** What the server emits: name → data. */
export interface Events {
  "incident.created": Incident;
}

/** What the server takes: type → data, and the data of its reply. */
export interface Requests {
  "all.optional": { data: { limit?: number }; reply: null };
  ping: { data: undefined; reply: number };
  "subscribe.project": { data: Project; reply: Project };
}

export const IncidentCreated = /* @__PURE__ */ ClientMessage.define<Incident>("incident.created");
export const Ping = /* @__PURE__ */ ClientMessage.define<undefined, number>("ping");
export const SubscribeProject = /* @__PURE__ */ ClientMessage.define<Project, Project>("subscribe.project");
