import { describe, expect, test, vi } from "vitest";
import {
  AnyEvent,
  ClientMessage,
  Connected,
  Disconnected,
  Dropped,
  Raw,
  ReconnectAttempt,
  Reply,
  RequestFailed,
  Resync,
} from "../src/index.js";
import { connected, correlationId, pass } from "./fakes.js";

const Said = ClientMessage.define<{ text: string }>("chat.said");
const event = { name: "chat.said", data: { text: "hi" }, timestamp: 1795449600000 };

describe("an event", () => {
  test("goes to the handlers of its name, by text or by definition, in the order in which they came", () => {
    const { client, server } = connected();
    const seen: unknown[] = [];
    client.on(Said, (data, whole) => seen.push([1, data.text, whole.timestamp]));
    client.on("chat.said", (data, whole) => seen.push([2, data, whole.name]));
    client.on("other", () => seen.push("other"));
    server.say(event);
    expect(seen).toEqual([
      [1, "hi", 1795449600000],
      [2, { text: "hi" }, "chat.said"],
    ]);
  });

  test("may have members that are not known, in any order", () => {
    const { client, server } = connected();
    const seen = vi.fn();
    client.on(Said, seen);
    server.say({ timestamp: 1, more: true, data: { text: "hi" }, name: "chat.said", type: "x" });
    expect(seen).toHaveBeenCalledOnce();
  });

  test.each(["__proto__", "constructor", "toString", ""])("may be called %j", (name) => {
    const { client, server } = connected();
    const seen = vi.fn();
    client.on(name, seen);
    server.say(JSON.stringify({ name, data: 1, timestamp: 0 }));
    expect(seen).toHaveBeenCalledOnce();
  });

  test("also goes to those who want any, and what is no event does not", () => {
    const { client, server } = connected();
    const seen: unknown[] = [];
    client.on(AnyEvent, (data, { name }) => seen.push([name, data]));
    server.say(event);
    server.say("plain");
    server.say({ type: "x", data: 1 });
    expect(seen).toEqual([["chat.said", { text: "hi" }]]);
  });
});

describe("the server's own events", () => {
  test("are typed ones of the application", () => {
    const { client, server } = connected();
    const seen: unknown[] = [];
    client.on(Resync, ({ topics, spreadMs }) => seen.push(topics, spreadMs));
    client.on(Dropped, ({ count }) => seen.push(count));
    server.say({ name: "wigwag.resync", data: { topics: ["a"], spreadMs: 1200 }, timestamp: 0 });
    server.say({ name: "wigwag.dropped", data: { count: 17 }, timestamp: 0 });
    expect(seen).toEqual([["a"], 1200, 17]);
  });

  test("are not those of the client, which nothing that is received can look like", () => {
    const { client, server } = connected();
    const seen = vi.fn();
    for (const message of [Connected, Disconnected, ReconnectAttempt, Raw, AnyEvent])
      client.on(message, seen);
    for (const { name } of [Connected, Disconnected, ReconnectAttempt, Raw, AnyEvent]) {
      server.say({ name, data: "forged", timestamp: 0 });
    }
    // Any event, as it should.
    expect(seen.mock.calls.every(([, whole]) => whole.data === "forged")).toBe(true);
    expect(seen).toHaveBeenCalledTimes(5);
  });
});

describe("what was published as it is", () => {
  test.each(["hello", "", "{", "[]", "null", "7", '"x"', '{"a":1}', '{"name":7}', '{"type":null}', "33"])(
    "%j arrives as the text that it is",
    (text) => {
      const { client, server } = connected();
      const seen: unknown[] = [];
      client.on(Raw, (data) => seen.push(data));
      server.say(text);
      expect(seen).toEqual([text]);
    },
  );

  test("arrives as bytes where it is bytes", () => {
    const { client, server } = connected();
    expect(server.binaryType).toBe("arraybuffer");
    const seen: unknown[] = [];
    client.on(Raw, (data) => seen.push(data));
    const bytes = new TextEncoder().encode('{"name":"x"}').buffer;
    server.say(bytes);
    expect(seen).toEqual([bytes]);
  });
});

describe("a reply that no request waits for", () => {
  test("is told to onError where it is an error", () => {
    const { client, server } = connected();
    const errors: Error[] = [];
    client.onError((error) => errors.push(error));
    const details = [{ path: "$", message: "unexpected" }];
    server.say({ type: "nope", error: "Unknown message type" });
    server.say({ type: "error", error: "Invalid message", details });
    expect(errors).toEqual([
      new RequestFailed("nope", "Unknown message type"),
      new RequestFailed("error", "Invalid message", details),
    ]);
  });

  test("and to the console, where nobody listens", () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    connected().server.say({ type: "nope", error: "Unknown message type" });
    expect(logged).toHaveBeenCalledWith(new RequestFailed("nope", "Unknown message type"));
  });

  test("goes to handlers of Reply otherwise", () => {
    const { client, server } = connected();
    const seen: unknown[] = [];
    client.on(Reply, (reply) => seen.push(reply));
    server.say({ type: "x", data: 1 });
    server.say({ type: "y", correlationId: "somebody's", data: 2 });
    expect(seen).toEqual([
      { type: "x", data: 1 },
      { type: "y", correlationId: "somebody's", data: 2 },
    ]);
  });
});

describe("keys that could reach a prototype", () => {
  const read = (text: string): unknown => {
    const { client, server } = connected();
    let seen: unknown;
    client.on("x", (data) => {
      seen = data;
    });
    server.say(`{"name":"x","timestamp":0,"data":${text}}`);
    return seen;
  };

  test.each([
    ['{"__proto__":{"admin":true},"a":1}', { a: 1 }],
    ['{"constructor":{"prototype":{"admin":true}},"a":1}', { a: 1 }],
    ['{"prototype":{"admin":true},"a":1}', { a: 1 }],
    ['{"\\u005f_proto__":{"admin":true},"a":1}', { a: 1 }],
    ['{"\\u005F\\u005fpr\\u006fto__":{"admin":true},"a":1}', { a: 1 }],
    ['{"c\\u006fnstructor":1,"a":1}', { a: 1 }],
    ['[{"deep":[{"__proto__":null,"b":2}]}]', [{ deep: [{ b: 2 }] }]],
  ])("%s never survive", (text, expected) => {
    const seen = read(text);
    expect(seen).toEqual(expected);
    expect(JSON.stringify(seen)).not.toMatch(/proto|constructor/);
    expect(Object.assign({}, seen)).not.toHaveProperty("admin");
  });

  test("nor do they in the frame itself", () => {
    const { client, server } = connected();
    const seen: unknown[] = [];
    client.on("x", (_, whole) =>
      seen.push(Object.keys(whole), Object.getPrototypeOf(whole) === Object.prototype),
    );
    server.say('{"name":"x","__proto__":{"data":1},"constructor":1,"data":2,"timestamp":0}');
    expect(seen).toEqual([["name", "data", "timestamp"], true]);
  });

  test("are only keys: as values they are left alone", () => {
    expect(read('{"a":"__proto__","b":["constructor","prototype"],"c":"\\u00e4"}')).toEqual({
      a: "__proto__",
      b: ["constructor", "prototype"],
      c: "ä",
    });
  });

  test("are removed from replies too", async () => {
    const { client, server } = connected();
    const asking = client.request("a");
    server.say(`{"type":"a","correlationId":"${correlationId(1)}","data":{"__proto__":{"admin":true}}}`);
    expect(Object.keys((await asking) as object)).toEqual([]);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });
});

describe("a handler", () => {
  test("that throws or rejects hurts no other, and is told to onError", async () => {
    const { client, server } = connected();
    const errors: Error[] = [];
    client.onError((error) => errors.push(error));
    const seen: unknown[] = [];
    client.on("x", () => {
      throw new Error("first");
    });
    client.on("x", async () => {
      throw new Error("second");
    });
    client.on("x", (data) => seen.push(data));
    server.say({ name: "x", data: 1, timestamp: 0 });
    server.say({ name: "x", data: 2, timestamp: 0 });
    await pass();
    expect(seen).toEqual([1, 2]);
    expect(errors.map(({ message }) => message)).toEqual(["first", "first", "second", "second"]);
    expect(client.isConnected).toBe(true);
  });

  test("that throws is written to the console where nobody listens", () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { client, server } = connected();
    client.on("x", () => {
      throw new Error("mine");
    });
    server.say({ name: "x", data: 1, timestamp: 0 });
    expect(logged).toHaveBeenCalledWith(new Error("mine"));
  });

  test("of errors or of states may throw, too", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { client, server } = connected();
    const states: string[] = [];
    client.onError(() => {
      throw new Error("in onError");
    });
    client.onStateChange(() => {
      throw new Error("in onStateChange");
    });
    client.onStateChange((state) => states.push(state));
    server.end();
    await pass(0);
    expect(states).toEqual(["reconnecting"]);
    expect(logged).toHaveBeenCalledWith(new Error("in onError"));
  });

  test("is taken back by what on() returned, and only that one", () => {
    const { client, server } = connected();
    const handler = vi.fn();
    const off = client.on("x", handler);
    client.on("x", handler);
    off();
    off();
    server.say({ name: "x", data: 1, timestamp: 0 });
    expect(handler).toHaveBeenCalledOnce();
  });

  test("taken back twice takes none of those that came after it", () => {
    const { client, server } = connected();
    const off = client.on("x", () => {});
    off();
    const later = vi.fn();
    client.on("x", later);
    off();
    server.say({ name: "x", data: 1, timestamp: 0 });
    expect(later).toHaveBeenCalledOnce();
  });

  test("may take back another, which is then not called, and add one, which is called from the next on", () => {
    const { client, server } = connected();
    const removed = vi.fn();
    const added = vi.fn();
    client.on("x", () => {
      off();
      client.on("x", added);
    });
    const off = client.on("x", removed);
    server.say({ name: "x", data: 1, timestamp: 0 });
    expect(removed).not.toHaveBeenCalled();
    expect(added).not.toHaveBeenCalled();
    server.say({ name: "x", data: 2, timestamp: 0 });
    expect(added).toHaveBeenCalledOnce();
  });

  test("of states and of errors can be taken back", () => {
    const { client, server } = connected();
    const seen = vi.fn();
    client.onStateChange(seen)();
    client.onError(seen)();
    server.end();
    expect(seen).not.toHaveBeenCalled();
  });
});
