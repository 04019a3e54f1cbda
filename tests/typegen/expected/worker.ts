// Made by `wigwag typegen worker`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface ReportReady {
  url: string;
}

/** What the server emits: name to data. */
export interface Events {
  "report.ready": ReportReady;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {}

// What the server emits.
export const ReportReady = /* @__PURE__ */ ClientMessage.define<ReportReady>("report.ready");
