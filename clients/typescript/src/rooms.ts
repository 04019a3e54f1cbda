import { Deferred } from "./deferred.js";

/** A room that the client wants to be in. */
export class Room {
  readonly name: string;
  /** On which connection it was asked for last. */
  asked: unknown;
  /** Whether the server has let this client in before. */
  wasJoined = false;
  /** Of the join on this connection or, while there is none, on the next. */
  outcome = new Deferred();

  constructor(name: string) {
    this.name = name;
  }

  /** It is to be joined anew; who still waits goes on waiting. */
  renew(): void {
    if (this.outcome.isSettled) this.outcome = new Deferred();
  }
}
