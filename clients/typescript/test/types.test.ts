import { describe, expectTypeOf, test } from "vitest";
import WebSocketOfWs from "ws";
import {
  ClientMessage,
  type ClientMessageDefinition,
  Connected,
  Disconnected,
  Dropped,
  Heartbeat,
  JoinRoom,
  type MessageEnvelope,
  Raw,
  ReconnectAttempt,
  type RequestFailed,
  Resync,
  SocketClient,
  type SocketClientOptions,
} from "../src/index.js";
import {
  type Events,
  type Incident,
  IncidentCreated,
  Ping,
  type Project,
  type Requests,
  SubscribeProject,
} from "./messages.js";

// tsc is what fails these tests. They are written where nothing runs.
const never = (_: () => unknown): void => {};
const client = new SocketClient<Events, Requests>("ws://server/ws");
const untyped = new SocketClient("ws://server/ws");

describe("with the maps that typegen writes", () => {
  test("events are known by name", () => {
    never(() => {
      client.on("incident.created", (incident, event) => {
        expectTypeOf(incident).toEqualTypeOf<Incident>();
        expectTypeOf(event).toEqualTypeOf<MessageEnvelope<Incident>>();
      });
      // @ts-expect-error: no such event
      client.on("incident.craeted", () => {});
      // @ts-expect-error: what is sent is not what is received
      client.on("subscribe.project", () => {});
      // @ts-expect-error: not its data
      client.on("incident.created", (incident: string) => incident);
    });
  });

  test("requests are known by type, with their data and their reply", () => {
    never(async () => {
      expectTypeOf(client.request("subscribe.project", { project: "a" })).resolves.toEqualTypeOf<Project>();
      expectTypeOf(client.request("ping")).resolves.toEqualTypeOf<number>();
      expectTypeOf(client.request("ping", undefined, { timeout: 1 })).resolves.toEqualTypeOf<number>();
      expectTypeOf(client.request("all.optional")).resolves.toEqualTypeOf<null>();
      // @ts-expect-error: no such type
      client.request("subscribe.projects", { project: "a" });
      // @ts-expect-error: not its data
      client.request("subscribe.project", { project: 7 });
      // @ts-expect-error: more than its data
      client.request("subscribe.project", { project: "a", more: 1 });
      // @ts-expect-error: it needs data
      client.request("subscribe.project");
      // @ts-expect-error: an event is no request
      client.request("incident.created", {});
    });
  });

  test("what is sent is checked as well", () => {
    never(() => {
      client.send("subscribe.project", { project: "a" });
      client.send("ping");
      client.send("subscribe.project", { project: "a" }, { buffer: false });
      // @ts-expect-error: not its data
      client.send("subscribe.project", {});
      // @ts-expect-error: no such type
      client.send("subscribe", {});
    });
  });
});

describe("definitions", () => {
  test("type handlers, messages and replies, whether there are maps or not", () => {
    never(() => {
      for (const one of [client, untyped] as const) {
        one.on(IncidentCreated, (incident, event) => {
          expectTypeOf(incident).toEqualTypeOf<Incident>();
          expectTypeOf(event.timestamp).toEqualTypeOf<number>();
        });
      }
      expectTypeOf(client.request(SubscribeProject, { project: "a" })).resolves.toEqualTypeOf<Project>();
      expectTypeOf(untyped.request(Ping)).resolves.toEqualTypeOf<number>();
      client.emit(SubscribeProject, { project: "a" });
      client.emit(Ping);
      // @ts-expect-error: not its data
      client.emit(SubscribeProject, { project: 7 });
      // @ts-expect-error: it needs data
      client.request(SubscribeProject);
      // @ts-expect-error: not its data, and the definition is not widened by it
      client.emit(ClientMessage.define<{ a: number }>("a"), { a: "text" });
    });
  });

  test("of the client and of the server have types", () => {
    never(() => {
      client.on(Connected, (data) => expectTypeOf(data).toEqualTypeOf<{ reconnected: boolean }>());
      client.on(Disconnected, (data) =>
        expectTypeOf(data).toEqualTypeOf<{ code: number; reason: string; willReconnect: boolean }>(),
      );
      client.on(ReconnectAttempt, (data) =>
        expectTypeOf(data).toEqualTypeOf<{ attempt: number; delay: number }>(),
      );
      client.on(Resync, (data) => expectTypeOf(data).toEqualTypeOf<{ topics: string[]; spreadMs: number }>());
      client.on(Dropped, (data) => expectTypeOf(data).toEqualTypeOf<{ count: number }>());
      client.on(Raw, (data) => expectTypeOf(data).toEqualTypeOf<string | ArrayBuffer>());
      client.emit(JoinRoom, { room: "a" });
      client.emit(Heartbeat);
      expectTypeOf(untyped.request(JoinRoom, { room: "a" })).resolves.toEqualTypeOf<null>();
      expectTypeOf(untyped.request(Heartbeat)).resolves.toBeUnknown();
    });
  });

  test("may be written by hand, with the data in a member", () => {
    never(() => {
      const Ours: ClientMessageDefinition<{ a: number }> = { name: "a" };
      const Others = { name: "a", _data: undefined as unknown as { a: number } };
      client.on(Ours, ({ a }) => expectTypeOf(a).toEqualTypeOf<number>());
      client.on(Others, ({ a }) => expectTypeOf(a).toEqualTypeOf<number>());
      client.emit(Others, { a: 1 });
    });
  });
});

test("without maps any name goes, and its data is any", () => {
  never(() => {
    untyped.on("anything", (data) => expectTypeOf(data).toBeAny());
    untyped.send("anything", { at: "all" });
    untyped.send("anything");
    expectTypeOf(untyped.request("anything")).resolves.toBeAny();
  });
});

test("promises, errors, options", () => {
  never(() => {
    expectTypeOf(client.connect()).toEqualTypeOf<Promise<void>>();
    expectTypeOf(client.joinRoom("a")).toEqualTypeOf<Promise<void>>();
    expectTypeOf<RequestFailed["details"]>().toEqualTypeOf<readonly { path: string; message: string }[]>();
    expectTypeOf(client.on("incident.created", () => {})).toEqualTypeOf<() => void>();
    // The constructors that there are.
    const options: SocketClientOptions[] = [
      { WebSocket: WebSocketOfWs },
      { WebSocket: globalThis.WebSocket },
    ];
    new SocketClient(async () => "ws://a", options[0]);
    new SocketClient(() => "ws://a");
    // @ts-expect-error: no such option
    new SocketClient("ws://a", { reconect: true });
    // @ts-expect-error: no URL
    new SocketClient();
  });
});
