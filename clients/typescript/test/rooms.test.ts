import { describe, expect, test, vi } from "vitest";
import {
  ClientError,
  Connected,
  ConnectionClosed,
  RequestFailed,
  RequestTimeout,
  SendBufferFull,
} from "../src/index.js";
import {
  connected,
  correlationId,
  type FakeSocket,
  newClient,
  nextAttempt,
  outcome,
  pass,
  socket,
} from "./fakes.js";

/** The rooms that were asked for on a connection, in order. */
const joins = (server: FakeSocket): unknown[] =>
  server.messages
    .filter(({ type }) => type === "room.join")
    .map(({ data }) => (data as { room: string }).room);
const leaves = (server: FakeSocket): unknown[] =>
  server.messages
    .filter(({ type }) => type === "room.leave")
    .map(({ data }) => (data as { room: string }).room);

const reconnected = async (server: FakeSocket): Promise<FakeSocket> => {
  server.end();
  return (await nextAttempt()).open();
};

describe("joinRoom()", () => {
  test("asks the server, and resolves when it has answered", async () => {
    const { client, server } = connected();
    const joining = outcome(client.joinRoom("a"));
    expect(server.messages).toEqual([
      { type: "room.join", data: { room: "a" }, correlationId: correlationId(1) },
    ]);
    await pass();
    expect(joining).toEqual({});
    server.reply("room.join", { data: null });
    await pass();
    expect("value" in joining).toBe(true);
    expect(client.joinedRooms).toEqual(new Set(["a"]));
  });

  test("asks once, however often it is called", async () => {
    const { client, server } = connected();
    const both = [outcome(client.joinRoom("a")), outcome(client.joinRoom("a"))];
    server.reply("room.join", { data: null });
    await pass();
    expect(both.every((one) => "value" in one)).toBe(true);
    await client.joinRoom("a");
    expect(joins(server)).toEqual(["a"]);
  });

  test("before the connection is there, it is joined then", async () => {
    const client = newClient();
    const joining = outcome(client.joinRoom("a"));
    client.connect();
    expect(client.joinedRooms).toEqual(new Set(["a"]));
    socket().open();
    expect(joins(socket())).toEqual(["a"]);
    socket().reply("room.join", { data: null });
    await pass();
    expect("value" in joining).toBe(true);
  });

  test("rejects where the server says no; the room is forgotten, and onError hears of it", async () => {
    const { client, server } = connected();
    const errors: Error[] = [];
    client.onError((error) => errors.push(error));
    const joining = outcome(client.joinRoom("a"));
    server.reply("room.join", { error: "Forbidden" });
    await pass();
    expect(joining.error).toEqual(new RequestFailed("room.join", "Forbidden"));
    expect(errors).toEqual([joining.error]);
    expect(client.joinedRooms).toEqual(new Set());
    expect(joins(await reconnected(server))).toEqual([]);
  });

  test("asks again after a no", async () => {
    const { client, server } = connected();
    client.onError(() => {});
    client.joinRoom("a");
    server.reply("room.join", { error: "Forbidden" });
    await pass();
    const again = outcome(client.joinRoom("a"));
    server.reply("room.join", { data: null });
    await pass();
    expect(joins(server)).toEqual(["a", "a"]);
    expect("value" in again).toBe(true);
  });

  test("keeps the wish where the broker could not be reached: the server keeps it too", async () => {
    const { client, server } = connected();
    client.onError(() => {});
    const joining = outcome(client.joinRoom("a"));
    server.reply("room.join", { error: "Unavailable" });
    await pass();
    expect(joining.error).toBeInstanceOf(RequestFailed);
    expect(client.joinedRooms).toEqual(new Set(["a"]));
    const again = outcome(client.joinRoom("a"));
    server.reply("room.join", { data: null });
    await pass();
    expect("value" in again).toBe(true);
    client.leaveRoom("a");
    expect(leaves(server)).toEqual(["a"]);
  });

  test("keeps the wish where the connection could not take it", async () => {
    const { client, server } = connected();
    client.onError(() => {});
    server.bufferedAmount = 2_000_000;
    const joining = outcome(client.joinRoom("a"));
    await pass();
    expect(joining.error).toBeInstanceOf(SendBufferFull);
    expect(joins(await reconnected(server))).toEqual(["a"]);
  });

  test("rejects after requestTimeout, says why, and the wish stands", async () => {
    const client = newClient();
    const before = outcome(client.joinRoom("a"));
    await pass(10_000);
    expect(before.error).toEqual(
      new RequestTimeout("room a was not joined within 10000 ms; not connected: call connect()"),
    );
    client.connect();
    const server = socket().open();
    const meanwhile = outcome(client.joinRoom("a"));
    await pass(10_000);
    expect(meanwhile.error).toEqual(new RequestTimeout("room a was not joined within 10000 ms"));
    server.say("3");
    // An answer that comes later still counts.
    server.reply("room.join", { data: null });
    await pass();
    await client.joinRoom("a");
    expect(joins(server)).toEqual(["a"]);
    expect(joins(await reconnected(server))).toEqual(["a"]);
  });

  test("goes on waiting over a connection that is lost", async () => {
    const { client, server } = connected();
    const joining = outcome(client.joinRoom("a"));
    const second = await reconnected(server);
    expect(joining).toEqual({});
    second.reply("room.join", { data: null });
    await pass();
    expect("value" in joining).toBe(true);
  });

  test("in a pause waits for the next connection, though the room was joined on the last", async () => {
    const { client, server } = connected();
    client.joinRoom("a");
    server.reply("room.join", { data: null });
    await pass();
    server.end();
    const joining = outcome(client.joinRoom("a"));
    await pass(1000);
    expect(joining).toEqual({});
    socket().open().reply("room.join", { data: null });
    await pass();
    expect("value" in joining).toBe(true);
  });

  test("after disconnect() waits for the next connection, though the room was joined on the last", async () => {
    const { client, server } = connected();
    client.joinRoom("a");
    server.reply("room.join", { data: null });
    await pass();
    client.disconnect();
    const joining = [outcome(client.joinRoom("a"))];
    client.connect();
    socket().open();
    joining.push(outcome(client.joinRoom("a")));
    await pass();
    expect(joining).toEqual([{}, {}]);
    socket().reply("room.join", { data: null });
    await pass();
    expect(joining.every((one) => "value" in one)).toBe(true);
  });

  test("is not answered by the last connection, where that ended in the moment of its answer", async () => {
    const { client, server } = connected();
    client.on("kick", () => {
      client.disconnect();
      client.connect();
    });
    client.joinRoom("a");
    // Both in one piece, as the package ws may tell of them.
    server.reply("room.join", { data: null });
    server.say({ name: "kick", data: null, timestamp: 0 });
    await pass();
    socket().open();
    const joining = outcome(client.joinRoom("a"));
    await pass();
    expect("value" in joining).toBe(false);
    socket().reply("room.join", { data: null });
    await pass();
    expect("value" in joining).toBe(true);
  });

  test("rejects where there will be no connection; the next connect() joins it all the same", async () => {
    const client = newClient();
    const joining = outcome(client.joinRoom("a"));
    client.connect();
    client.disconnect();
    await pass();
    expect(joining.error).toBeInstanceOf(ConnectionClosed);
    client.connect();
    socket().open();
    expect(joins(socket())).toEqual(["a"]);
    const again = outcome(client.joinRoom("a"));
    socket().reply("room.join", { data: null });
    await pass();
    expect("value" in again).toBe(true);
    expect(joins(socket())).toEqual(["a"]);
  });
});

describe.each(["Too many messages", "Too many joins"])("a join answered %s", (error) => {
  /** A client whose joins of these rooms were refused so. */
  const refused = async (...names: string[]) => {
    const { client, server } = connected({ heartbeatInterval: 0 });
    const heard = vi.fn();
    client.onError(heard);
    const joining = names.map((name) => outcome(client.joinRoom(name)));
    for (const { correlationId } of server.messages) server.say({ type: "room.join", correlationId, error });
    await pass();
    return { client, server, heard, joining };
  };

  test("is asked again after a pause of 1 to 2 s, and who waits goes on waiting", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    const { client, server, heard, joining } = await refused("a");
    expect(client.joinedRooms).toEqual(new Set(["a"]));
    expect(heard.mock.calls).toEqual([[new RequestFailed("room.join", error)]]);
    client.joinRoom("a");
    await pass(1499);
    expect(joins(server)).toEqual(["a"]);
    await pass(1);
    expect(joins(server)).toEqual(["a", "a"]);
    expect(joining).toEqual([{}]);
    server.reply("room.join", { data: null });
    await pass();
    expect(joining.every((one) => "value" in one)).toBe(true);
    await pass(60_000);
    expect(joins(server)).toEqual(["a", "a"]);
  });

  test("is followed by the others one by one, and by itself where it is refused again", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const { server, joining } = await refused("a", "b", "c");
    const asked = [];
    for (let second = 0; second < 5; second++) {
      await pass(1000);
      asked.push(joins(server).slice(3 + asked.length));
      if (second === 0) server.reply("room.join", { error });
      else if (second < 4) server.reply("room.join", { data: null });
    }
    expect(asked).toEqual([["a"], ["b"], ["c"], ["a"], []]);
    expect(joining.every((one) => "value" in one)).toBe(true);
  });

  test("ends with requestTimeout for who waits; the wish stands", async () => {
    const { client, server, joining } = await refused("a");
    await pass(10_000);
    expect(joining[0]?.error).toBeInstanceOf(RequestTimeout);
    expect(client.joinedRooms).toEqual(new Set(["a"]));
    server.reply("room.join", { data: null });
    await client.joinRoom("a");
  });

  test("of a room that is left is not asked again, and nothing is left to leave", async () => {
    const { client, server } = await refused("a", "b");
    await client.leaveRoom("a");
    await pass(60_000);
    expect(joins(server)).toEqual(["a", "b", "b"]);
    expect(leaves(server)).toEqual([]);
  });

  test.each([
    ["disconnect()", (client: { disconnect(): void }) => client.disconnect()],
    ["destroy()", (client: { destroy(): void }) => client.destroy()],
  ])("leaves no timer after %s", async (_, end) => {
    const { client } = await refused("a", "b");
    expect(vi.getTimerCount()).toBe(3); // with those of the two that wait
    end(client);
    await pass();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is asked once on the next connection", async () => {
    const { server } = await refused("a", "b");
    const second = await reconnected(server);
    expect(joins(second)).toEqual(["a", "b"]);
    await pass(60_000);
    expect(joins(second)).toEqual(["a", "b"]);
  });
});

describe("a room that is asked for too early again and again", () => {
  test("is asked for after pauses that grow, with a random part, up to 20 s; after a success they are short again", async () => {
    const { client, server } = connected({ heartbeatInterval: 0 });
    client.joinRoom("a");
    const pauses: number[] = [];
    for (let n = 0; n < 9; n++) {
      const before = joins(server).length;
      const began = Date.now();
      server.reply("room.join", { error: "Too many joins" });
      while (joins(server).length === before) await pass(100);
      pauses.push(Date.now() - began);
    }
    expect(
      pauses.every((pause, n) => pause >= 1000 && pause <= Math.min(1000 + 1000 * 2 ** n, 20_000) + 100),
    ).toBe(true);
    expect(Math.max(...pauses.slice(5))).toBeGreaterThan(3000); // of four draws from 1 to 20 s
    server.reply("room.join", { data: null });
    client.joinRoom("b");
    server.reply("room.join", { error: "Too many joins" });
    await pass(2100);
    expect(joins(server).at(-1)).toBe("b");
    expect(joins(server).length).toBe(12);
  });
});

describe("on each connection", () => {
  test("rooms are joined again, once, before what waited is sent", async () => {
    const { client, server } = connected();
    client.joinRoom("a");
    client.joinRoom("b");
    server.end();
    client.send("x", 1);
    client.joinRoom("a");
    client.joinRoom("c");
    await pass(1000);
    socket().open();
    expect(socket().messages.map(({ type, data }) => [type, data])).toEqual([
      ["room.join", { room: "a" }],
      ["room.join", { room: "b" }],
      ["room.join", { room: "c" }],
      ["x", 1],
    ]);
    await pass(24_000);
    expect(joins(socket())).toEqual(["a", "b", "c"]);
  });

  test("joining in a handler of Connected, as on the first, asks no second time, and comes alive there", async () => {
    const client = newClient();
    const live: string[] = [];
    client.on(Connected, async () => {
      await client.joinRoom("a");
      live.push("a");
    });
    client.connect();
    socket().open();
    socket().reply("room.join", { data: null });
    await pass();
    expect(live).toEqual(["a"]);
    const second = await reconnected(socket());
    await pass();
    expect(joins(second)).toEqual(["a"]);
    expect(live).toEqual(["a"]);
    second.reply("room.join", { data: null });
    await pass();
    expect(live).toEqual(["a", "a"]);
  });

  test.each([
    ["disconnects", (client: { disconnect(): void }) => client.disconnect()],
    [
      "disconnects and connects again",
      (client: { disconnect(): void; connect(): void }) => {
        client.disconnect();
        client.connect();
      },
    ],
  ])("where a handler of Connected %s, those after it don't hear of it", (_, act) => {
    const client = newClient();
    const heard = vi.fn();
    const off = client.on(Connected, () => act(client));
    client.on(Connected, heard);
    client.connect();
    socket().open();
    expect(heard).not.toHaveBeenCalled();
    off();
    client.connect();
    socket().open();
    expect(heard).toHaveBeenCalledTimes(1);
  });

  test("what a handler of Connected sends goes first, so that it may say who this is", () => {
    const client = newClient();
    client.joinRoom("a");
    client.send("x");
    client.on(Connected, () => client.send("auth.authenticate", { token: "t" }));
    client.connect();
    socket().open();
    expect(socket().messages.map(({ type }) => type)).toEqual(["auth.authenticate", "room.join", "x"]);
  });

  test("a room that was joined before and is refused now is told to onError, and tried on the next", async () => {
    const { client, server } = connected();
    const errors: Error[] = [];
    client.onError((error) => error instanceof RequestFailed && errors.push(error));
    client.joinRoom("a");
    server.reply("room.join", { data: null });
    await pass();
    const second = await reconnected(server);
    second.reply("room.join", { error: "Forbidden" });
    await pass();
    expect(errors).toEqual([new RequestFailed("room.join", "Forbidden")]);
    expect(joins(await reconnected(second))).toEqual(["a"]);
  });

  test("a room that was left meanwhile is not joined", async () => {
    const { client, server } = connected();
    client.joinRoom("a");
    client.joinRoom("b");
    server.end();
    await client.leaveRoom("a");
    await pass(1000);
    expect(joins(socket().open())).toEqual(["b"]);
  });
});

describe("leaveRoom()", () => {
  test("asks the server, and resolves when it has answered", async () => {
    const { client, server } = connected();
    client.joinRoom("a");
    server.reply("room.join", { data: null });
    await pass();
    const leaving = outcome(client.leaveRoom("a"));
    expect(leaves(server)).toEqual(["a"]);
    await pass();
    expect(leaving).toEqual({});
    server.reply("room.leave", { data: null });
    await pass();
    expect("value" in leaving).toBe(true);
  });

  test("resolves at once where the room was not wanted, or nothing is connected", async () => {
    const { client, server } = connected();
    await client.leaveRoom("a");
    expect(leaves(server)).toEqual([]);
    await newClient().leaveRoom("a");
    const failed = newClient({ reconnect: false });
    failed.onError(() => {});
    failed.joinRoom("a");
    failed.connect();
    socket().end();
    expect(failed.connectionState).toBe("failed");
    await failed.leaveRoom("a");
  });

  test("in a handler of Connected, before the room was asked for, sends nothing", () => {
    const client = newClient();
    client.joinRoom("a");
    client.on(Connected, () => client.leaveRoom("a"));
    client.connect();
    expect(socket().open().messages).toEqual([]);
  });

  test("ends the waiting for the join", async () => {
    const { client, server } = connected();
    const joining = outcome(client.joinRoom("a"));
    client.leaveRoom("a");
    await pass();
    expect(joining.error).toEqual(new ClientError("room a was left"));
    server.reply("room.join", { data: null });
    await pass();
    expect(client.joinedRooms).toEqual(new Set());
  });

  test("resolves where the connection is lost before the answer", async () => {
    const { client, server } = connected();
    client.joinRoom("a");
    const leaving = outcome(client.leaveRoom("a"));
    server.end();
    await pass();
    expect("value" in leaving).toBe(true);
  });

  test("tells an error to its caller and to onError", async () => {
    const { client, server } = connected();
    const heard = vi.fn();
    client.onError(heard);
    client.joinRoom("a");
    const leaving = outcome(client.leaveRoom("a"));
    server.reply("room.leave", { error: "Internal error" });
    await pass();
    expect(leaving.error).toEqual(new RequestFailed("room.leave", "Internal error"));
    expect(heard).toHaveBeenCalledWith(leaving.error);
  });

  test("and joining again are sent in order, and the late answer of the first join decides nothing", async () => {
    const { client, server } = connected();
    client.onError(() => {});
    client.joinRoom("a");
    client.leaveRoom("a");
    const again = outcome(client.joinRoom("a"));
    expect(server.messages.map((message) => [message.type, message.correlationId])).toEqual([
      ["room.join", correlationId(1)],
      ["room.leave", correlationId(2)],
      ["room.join", correlationId(3)],
    ]);
    server.say({ type: "room.join", correlationId: correlationId(1), error: "Forbidden" });
    await pass();
    expect(client.joinedRooms).toEqual(new Set(["a"]));
    server.say({ type: "room.join", correlationId: correlationId(3), data: null });
    await pass();
    expect("value" in again).toBe(true);
  });
});

test("a refusal is told to onError once, also where a handler hands on the promise", async () => {
  const client = newClient();
  const errors: Error[] = [];
  client.onError((error) => errors.push(error));
  client.on(Connected, () => client.joinRoom("a"));
  client.connect();
  socket().open().reply("room.join", { error: "Forbidden" });
  await pass();
  expect(errors).toEqual([new RequestFailed("room.join", "Forbidden")]);
});

test("clearRooms() leaves all of them", async () => {
  const { client, server } = connected();
  client.joinRoom("a");
  client.joinRoom("b");
  const clearing = outcome(client.clearRooms());
  expect(leaves(server)).toEqual(["a", "b"]);
  for (const number of [3, 4]) {
    server.say({ type: "room.leave", correlationId: correlationId(number), data: null });
  }
  await pass();
  expect("value" in clearing).toBe(true);
  expect(client.joinedRooms).toEqual(new Set());
  expect(joins(await reconnected(server))).toEqual([]);
});
