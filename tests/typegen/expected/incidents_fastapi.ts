// Made by `wigwag typegen incidents_fastapi:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Incident {
  project: string;
  title: string;
  severity: "critical" | "major" | "minor";
  uuid: string;
}

export interface Project {
  project: string;
}

/** What the server emits: name to data. */
export interface Events {
  "incident.created": Incident;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "subscribe.project": { data: Project; reply: Project };
}

// What the server emits.
export const IncidentCreated = /* @__PURE__ */ ClientMessage.define<Incident>("incident.created");

// What the server takes.
export const SubscribeProject = /* @__PURE__ */ ClientMessage.define<Project, Project>("subscribe.project");
