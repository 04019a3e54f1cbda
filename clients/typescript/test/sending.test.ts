import { randomUUID } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import {
  Authenticate,
  ClientMessage,
  ConnectFailed,
  ConnectionClosed,
  ConnectionRefused,
  Heartbeat,
  JoinRoom,
  LeaveRoom,
  RequestFailed,
  RequestTimeout,
  SendBufferFull,
} from "../src/index.js";
import { connected, correlationId, newClient, nextAttempt, outcome, pass, socket } from "./fakes.js";

describe("what is sent", () => {
  test("is a message with a type and, where there is some, data", () => {
    const { client, server } = connected();
    client.send("a", { x: 1 });
    client.send("b");
    client.send("c", null);
    client.send("d", [1]);
    client.emit(ClientMessage.define<{ y: number }>("e"), { y: 2 });
    expect(server.sent.slice(1)).toEqual([
      '{"type":"a","data":{"x":1}}',
      '{"type":"b"}',
      '{"type":"c","data":null}',
      '{"type":"d","data":[1]}',
      '{"type":"e","data":{"y":2}}',
    ]);
  });

  test("has the names that the server knows", () => {
    const { client, server } = connected();
    client.emit(JoinRoom, { room: "a" });
    client.emit(LeaveRoom, { room: "a" });
    client.emit(Heartbeat);
    client.emit(Authenticate, { token: "t" });
    expect(server.messages.map(({ type }) => type)).toEqual([
      "room.join",
      "room.leave",
      "heartbeat",
      "auth.authenticate",
    ]);
  });

  test("raw goes as it is", () => {
    const { client, server } = connected();
    const bytes = new Uint8Array([1, 2]);
    client.sendRaw("plain");
    client.sendRaw(bytes);
    expect(server.sent.slice(1)).toEqual(["plain", bytes]);
  });

  test("throws at once where it can't be written as JSON", () => {
    const { client } = connected();
    expect(() => client.send("x", 1n)).toThrow(TypeError);
  });
});

describe("while there is no connection", () => {
  test("what is sent waits, in order", () => {
    const client = newClient();
    client.send("a");
    client.connect();
    client.send("b");
    socket().accept();
    client.send("c"); // accepted, but not answered
    expect(socket().messages).toEqual([]);
    socket().say("3");
    expect(socket().messages.map(({ type }) => type)).toEqual(["a", "b", "c"]);
  });

  test("bytes that wait are those that were given, whatever becomes of them", () => {
    const client = newClient();
    const bytes = new Uint8Array([0, 1, 2, 3]);
    client.sendRaw(bytes.subarray(1, 3));
    client.sendRaw(bytes.buffer);
    bytes.fill(9);
    client.connect();
    const sent = socket().open().sent.slice(-2) as ArrayBuffer[];
    expect(sent.map((one) => [...new Uint8Array(one)])).toEqual([
      [1, 2],
      [0, 1, 2, 3],
    ]);
  });

  test("what was refused at the door still waits, for a client with a better token", () => {
    const client = newClient();
    client.onError(() => {});
    client.send("a");
    client.connect();
    socket().accept();
    socket().end(1008);
    client.connect();
    socket().open();
    expect(socket().messages.map(({ type }) => type)).toEqual(["a"]);
  });

  test("a connection that is closing is none", async () => {
    const { client, server } = connected();
    server.readyState = 2;
    client.send("a");
    expect(server.messages).toEqual([]);
    server.end();
    await pass(1000);
    socket().open();
    expect(socket().messages.map(({ type }) => type)).toEqual(["a"]);
  });

  test("what does not fit by count is the caller's error, and is not kept", () => {
    const client = newClient({ sendBufferMessages: 2 });
    client.send("a");
    client.send("b");
    expect(() => client.send("c")).toThrow(SendBufferFull);
    expect(() => client.send("c")).toThrow(/not connected, and 12 bytes do not fit beside the 2 messages/);
    client.connect();
    socket().open();
    expect(socket().messages.map(({ type }) => type)).toEqual(["a", "b"]);
    client.send("c");
    expect(socket().messages.map(({ type }) => type)).toEqual(["a", "b", "c"]);
  });

  test("what does not fit by bytes, as UTF-8 has them, is too", () => {
    const client = newClient({ sendBufferBytes: 10 });
    client.sendRaw("äöü"); // 6
    expect(() => client.sendRaw("äöü")).toThrow(SendBufferFull);
    client.sendRaw(new ArrayBuffer(4));
    expect(() => client.sendRaw("x")).toThrow(SendBufferFull);
  });

  test("has by default room for 100 messages, and for a MiB", () => {
    const client = newClient();
    client.sendRaw("x".repeat(1_048_576));
    expect(() => client.sendRaw("x")).toThrow(SendBufferFull);
    const other = newClient();
    for (let count = 0; count < 100; count++) other.send("a");
    expect(() => other.send("a")).toThrow(SendBufferFull);
  });

  test("room comes back when what waited is sent", async () => {
    const { client } = connected({ sendBufferMessages: 1, sendBufferBytes: 20 });
    for (const _ of [1, 2, 3]) {
      socket().end();
      client.send("a");
      expect(() => client.send("b")).toThrow(SendBufferFull);
      (await nextAttempt()).open();
      expect(socket().messages.map(({ type }) => type)).toEqual(["a"]);
    }
  });

  test("what is not to wait is the caller's error", () => {
    const client = newClient();
    expect(() => client.send("a", undefined, { buffer: false })).toThrow(
      new ConnectionClosed("not connected"),
    );
    client.connect();
    socket().open();
    expect(socket().messages).toEqual([]);
    client.send("a", undefined, { buffer: false });
    expect(socket().messages).toEqual([{ type: "a" }]);
  });

  test("and there will be none, every call says why", async () => {
    const { client, server } = connected();
    client.onError(() => {});
    server.end(1008, "no");
    expect(() => client.send("a")).toThrow(ConnectionRefused);
    await expect(client.request("a")).rejects.toThrow(ConnectionRefused);
    client.connect();
    socket().open();
    expect(socket().messages).toEqual([]);
  });

  test("and no further attempt is made, every call says what failed last", async () => {
    const client = newClient({ reconnect: false });
    client.onError(() => {});
    client.connect();
    socket().end();
    expect(() => client.send("a")).toThrow(ConnectFailed);
    await expect(client.request("a")).rejects.toThrow(ConnectFailed);
  });

  test("what waits is dropped by disconnect(): the next may be somebody else", () => {
    const client = newClient();
    client.send("a");
    client.disconnect();
    client.connect();
    expect(socket().open().messages).toEqual([]);
  });
});

test("a connection that takes nothing is not handed more without end", () => {
  const { client, server } = connected({ sendBufferBytes: 100 });
  server.bufferedAmount = 101;
  expect(() => client.send("a")).toThrow(new SendBufferFull("101 bytes wait to be written"));
  server.bufferedAmount = 100;
  client.send("a");
});

describe("request()", () => {
  test("has an id that others can't guess, so that what they publish can't pass for its answer", async () => {
    // In a page that came over plain HTTP there is no randomUUID.
    const ids = [{ randomUUID }, { randomUUID }, {}, {}].map((crypto) => {
      vi.stubGlobal("crypto", crypto);
      const { client, server } = connected();
      outcome(client.request("a"));
      return server.messages[0]?.correlationId;
    });
    for (const id of ids) expect(id).toMatch(/^[0-9a-z-]{8,}-1$/);
    expect(new Set(ids).size).toBe(4);
    const { client, server } = connected();
    const answer = outcome(client.request("a"));
    for (const guess of [1, "1", "-1"]) server.say({ type: "a", correlationId: guess, data: "forged" });
    await pass();
    expect(answer).toEqual({});
  });

  test("resolves with the data of its answer, whatever the order", async () => {
    const { client, server } = connected();
    const first = outcome(client.request("a", { x: 1 }));
    const second = outcome(client.request(ClientMessage.define<undefined, number>("b")));
    expect(server.messages).toEqual([
      { type: "a", data: { x: 1 }, correlationId: correlationId(1) },
      { type: "b", correlationId: correlationId(2) },
    ]);
    server.say({ type: "b", correlationId: correlationId(2), data: 2 });
    server.say({ type: "a", correlationId: correlationId(1), data: null });
    await pass();
    expect(first).toEqual({ value: null });
    expect(second).toEqual({ value: 2 });
    expect(vi.getTimerCount()).toBe(1); // the heartbeat
  });

  test("rejects with the server's error, and its details", async () => {
    const { client, server } = connected();
    const asking = outcome(client.request("a", {}));
    const details = [{ path: "$.room", message: "Expected `str`, got `int`" }];
    server.reply("a", { error: "Validation failed", details });
    await pass();
    expect(asking.error).toBeInstanceOf(RequestFailed);
    expect(asking.error).toMatchObject({
      name: "RequestFailed",
      message: "a: Validation failed",
      type: "a",
      error: "Validation failed",
      details,
    });
    const other = outcome(client.request("b"));
    server.reply("b", { error: "Forbidden" });
    await pass();
    expect(other.error).toMatchObject({ details: [] });
  });

  test("rejects when no answer comes in time; one that comes late hurts nobody", async () => {
    const { client, server } = connected();
    const errors = vi.fn();
    client.onError(errors);
    const asking = outcome(client.request("a"));
    const sooner = outcome(client.request("b", undefined, { timeout: 100 }));
    await pass(100);
    expect(sooner.error).toEqual(new RequestTimeout("no answer to b within 100 ms"));
    await pass(9900);
    expect(asking.error).toEqual(new RequestTimeout("no answer to a within 10000 ms"));
    server.reply("a", { data: 1 });
    expect(errors).not.toHaveBeenCalled();
  });

  test("waits for a connection within that time, and is not sent after it", async () => {
    const client = newClient({ requestTimeout: 4000 });
    client.connect();
    const asking = outcome(client.request("a"));
    socket().end();
    await pass(4000);
    expect(asking.error).toEqual(
      new RequestTimeout("no answer to a within 4000 ms; not connected: no connection"),
    );
    client.connect();
    expect(socket().open().messages).toEqual([]);
  });

  test("gives back the room that it took while it waited", async () => {
    for (const options of [{ sendBufferMessages: 1 }, { sendBufferBytes: 60 }]) {
      const client = newClient({ ...options, requestTimeout: 1000 });
      const asking = outcome(client.request("a"));
      expect(() => client.send("b")).toThrow(SendBufferFull);
      await pass(1000);
      expect(asking.error).toBeInstanceOf(RequestTimeout);
      client.send("b");
    }
  });

  test("treats a time limit that is undefined as one that was not given", async () => {
    const { client } = connected();
    const options = { timeout: undefined } as object;
    const asking = outcome(client.request("a", undefined, options));
    await pass(10_000);
    expect(asking.error).toEqual(new RequestTimeout("no answer to a within 10000 ms"));
  });

  test.each([0, Infinity, 2 ** 31])("has no limit where it is %d", async (timeout) => {
    const { client, server } = connected();
    const asking = outcome(client.request("a", undefined, { timeout }));
    for (let minute = 0; minute < 10; minute++) {
      await pass(25_000);
      server.say("3");
    }
    server.reply("a", { data: 1 });
    await pass();
    expect(asking).toEqual({ value: 1 });
  });

  test("rejects when the connection ends after it was sent; what was not yet sent goes on waiting", async () => {
    const { client, server } = connected();
    const sent = outcome(client.request("a"));
    server.end(1012);
    const waiting = outcome(client.request("b"));
    await pass(1000);
    expect(sent.error).toMatchObject({ name: "ConnectionClosed", code: 1012 });
    socket().open();
    expect(socket().messages.map(({ type }) => type)).toEqual(["b"]);
    socket().reply("b", { data: 1 });
    await pass();
    expect(waiting).toEqual({ value: 1 });
  });

  test("that waited and was sent is lost with that connection", async () => {
    const client = newClient();
    const asking = outcome(client.request("a"));
    client.connect();
    socket().open();
    socket().end(1011);
    await pass();
    expect(asking.error).toMatchObject({ name: "ConnectionClosed", code: 1011 });
  });

  test("rejects on disconnect(), sent or not", async () => {
    const { client } = connected();
    const sent = outcome(client.request("a"));
    const waiting = outcome(newClient().request("a"));
    client.disconnect();
    await pass();
    expect(sent.error).toMatchObject({ name: "ConnectionClosed", code: 1000 });
    expect(waiting).toEqual({});
    expect(vi.getTimerCount()).toBe(1); // of the other client's request
  });

  test("rejects, and does not throw, where it can't be sent", async () => {
    const { client } = connected();
    await expect(client.request("a", 1n)).rejects.toThrow(TypeError);
    const full = newClient({ sendBufferMessages: 0 });
    await expect(full.request("a")).rejects.toThrow(SendBufferFull);
    expect(vi.getTimerCount()).toBe(1);
  });

  test("may be aborted, and is then not sent later", async () => {
    const client = newClient();
    const controller = new AbortController();
    const asking = outcome(client.request("a", undefined, { signal: controller.signal }));
    controller.abort(new Error("no longer"));
    await pass();
    expect(asking.error).toEqual(new Error("no longer"));
    client.connect();
    expect(socket().open().messages).toEqual([]);
    await expect(
      client.request("a", undefined, { signal: AbortSignal.abort(new Error("before")) }),
    ).rejects.toThrow("before");
    expect(socket().messages).toEqual([]);
  });

  test("listens to its signal no longer than it waits", async () => {
    const { client, server } = connected();
    const { signal } = new AbortController();
    const removed = vi.spyOn(signal, "removeEventListener");
    const asking = outcome(client.request("a", undefined, { signal }));
    server.reply("a", { data: 1 });
    await pass();
    expect(asking).toEqual({ value: 1 });
    expect(removed).toHaveBeenCalledOnce();
  });
});
