import { describe, expect, test, vi } from "vitest";
import {
  ClientError,
  Connected,
  ConnectFailed,
  ConnectionClosed,
  ConnectionRefused,
  Disconnected,
  ReconnectAttempt,
  ReconnectFailed,
} from "../src/index.js";
import { attempts, connected, FakeSocket, newClient, nextAttempt, outcome, pass, socket } from "./fakes.js";

describe("connect()", () => {
  test("makes one connection, and resolves when the server answers, not when it accepts", async () => {
    const client = newClient();
    const states: string[] = [];
    client.onStateChange((state) => states.push(state));
    const connecting = outcome(client.connect());
    expect(client.connectionState).toBe("connecting");
    socket().accept();
    expect(socket().sent).toEqual(["2"]);
    await pass();
    expect(connecting).toEqual({});
    expect(client.isConnected).toBe(false);
    socket().say("3");
    await pass();
    expect(connecting).toEqual({ value: undefined });
    expect("value" in connecting).toBe(true);
    expect(client.isConnected).toBe(true);
    expect(states).toEqual(["connecting", "connected"]);
    expect(attempts()).toBe(1);
  });

  test("takes a first message of any kind for an answer, and does not lose it", () => {
    const client = newClient();
    const seen: unknown[] = [];
    client.on("hello", (data) => seen.push(data, client.connectionState));
    client.connect();
    socket().accept();
    socket().say({ name: "hello", data: 1, timestamp: 0 });
    expect(seen).toEqual([1, "connected"]);
  });

  test("loses it to a handler of Connected that disconnects", () => {
    const client = newClient();
    const seen = vi.fn();
    client.on("hello", seen);
    client.on(Connected, () => client.disconnect());
    client.connect();
    socket().accept();
    socket().say({ name: "hello", data: 1, timestamp: 0 });
    expect(seen).not.toHaveBeenCalled();
  });

  test("does not wait for an answer where there are no heartbeats", () => {
    const client = newClient({ heartbeatInterval: 0 });
    client.connect();
    socket().accept();
    expect(client.isConnected).toBe(true);
    expect(socket().sent).toEqual([]);
  });

  test("called again makes no second connection, and resolves with the first", async () => {
    const client = newClient();
    const both = [outcome(client.connect()), outcome(client.connect())];
    socket().open();
    await pass();
    expect(both.every((one) => "value" in one)).toBe(true);
    await client.connect();
    expect(attempts()).toBe(1);
  });

  test("may be left alone: what it rejects with is nobody's unhandled rejection", async () => {
    const client = newClient({ reconnect: false });
    client.onError(() => {});
    client.connect();
    socket().end();
    await pass();
    expect(client.connectionState).toBe("failed");
  });

  test("offers the subprotocols that it was given", () => {
    newClient({ protocols: ["a", "b"] }).connect();
    expect(socket().protocols).toEqual(["a", "b"]);
  });

  test("gives up an attempt that takes too long, and makes another", async () => {
    const client = newClient();
    const errors: Error[] = [];
    client.onError((error) => errors.push(error));
    client.connect();
    const first = socket();
    await pass(4999);
    expect(errors).toEqual([]);
    await pass(1);
    expect(errors).toEqual([new ConnectFailed("no connection within 5000 ms")]);
    expect(first.isClosedByClient).toBe(true);
    await pass(1000);
    expect(attempts()).toBe(2);
  });

  test("counts a server that accepts and stays silent among those that take too long", async () => {
    const client = newClient({ connectionTimeout: 2000 });
    client.connect();
    socket().accept();
    await pass(2000);
    expect(client.error).toBeInstanceOf(ConnectFailed);
    expect(socket().isClosedByClient).toBe(true);
  });

  test("waits for as long as it takes, where the limit is 0", async () => {
    newClient({ connectionTimeout: 0 }).connect();
    await pass(3_600_000);
    expect(attempts()).toBe(1);
  });

  test("says in one line what to do where there is no WebSocket", () => {
    vi.stubGlobal("WebSocket", undefined);
    const client = newClient();
    expect(() => client.connect()).toThrow(ClientError);
    expect(() => client.connect()).toThrow(/^no WebSocket here: npm install ws, .*\{ WebSocket \}/);
    expect(client.connectionState).toBe("disconnected");
  });

  test("uses the WebSocket that it was given", () => {
    vi.stubGlobal("WebSocket", undefined);
    newClient({ WebSocket: FakeSocket }).connect();
    expect(attempts()).toBe(1);
  });

  test("treats an option that is undefined as one that was not given", async () => {
    const options = { connectionTimeout: undefined } as object;
    newClient(options).connect();
    await pass(5000 + 1000);
    expect(attempts()).toBe(2);
  });
});

describe("the URL", () => {
  test.each([
    ["ws://a/ws", "ws://a/ws"],
    ["wss://a/ws?token=1", "wss://a/ws?token=1"],
    ["http://a/ws", "ws://a/ws"],
    ["https://a/ws", "wss://a/ws"],
  ])("%s leads to %s", (url, expected) => {
    newClient({}, url).connect();
    expect(socket().url).toBe(expected);
  });

  test("may be a path in a page", () => {
    vi.stubGlobal("location", { href: "https://example.com/app/index.html?x#y" });
    newClient({}, "/ws").connect();
    expect(socket().url).toBe("wss://example.com/ws");
  });

  test.each(["/ws", "", "nonsense", "ftp://a/ws", "localhost:8000/ws"])(
    "%j is refused at once, by name",
    (url) => {
      const client = newClient({}, url);
      expect(() => client.connect()).toThrow(
        `${JSON.stringify(url)} is no WebSocket URL: write wss://host/path, or /path in a page`,
      );
      expect(attempts()).toBe(0);
    },
  );

  test("may come from a function, which is asked before each attempt", async () => {
    let token = 0;
    const client = newClient({}, () => `ws://server/ws?token=${++token}`);
    client.connect();
    await pass();
    expect(socket().url).toBe("ws://server/ws?token=1");
    socket().end();
    await pass(1000);
    expect(socket().url).toBe("ws://server/ws?token=2");
  });

  test("may come from a function that takes time, within the limit of the attempt", async () => {
    const slow = vi.fn(
      () => new Promise<string>((resolve) => setTimeout(() => resolve("ws://server/ws"), 6000)),
    );
    const client = newClient({}, slow);
    client.connect();
    await pass(5000);
    expect(client.error).toEqual(new ConnectFailed("no connection within 5000 ms"));
    await pass(999);
    // What came too late is of no use.
    expect(attempts()).toBe(0);
    expect(slow).toHaveBeenCalledTimes(2);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("no token");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no token"))],
  ])("is asked for again where the function %s", async (_, url) => {
    const asked = vi.fn(url);
    const client = newClient({}, asked);
    client.connect();
    await pass();
    expect(client.error).toBeInstanceOf(ConnectFailed);
    expect(client.error?.cause).toEqual(new Error("no token"));
    await pass(1000);
    expect(asked).toHaveBeenCalledTimes(2);
  });

  test("is asked for again where the function gives none", async () => {
    const urls = ["nonsense", "ws://server/ws"];
    const client = newClient({}, () => urls.shift() as string);
    client.connect();
    await pass();
    expect(client.error?.message).toMatch(/no connection: "nonsense" is no WebSocket URL/);
    await pass(1000);
    expect(socket().url).toBe("ws://server/ws");
  });

  test("a WebSocket that can't even be made is a failed attempt", async () => {
    class Forbidden {
      constructor() {
        throw new DOMException("insecure", "SecurityError");
      }
    }
    const client = newClient({ WebSocket: Forbidden as never });
    const seen: unknown[] = [];
    client.on(ReconnectAttempt, ({ attempt }) => seen.push(attempt));
    client.connect();
    expect(client.error?.message).toBe("no connection: insecure");
    expect(seen).toEqual([1]);
    await pass(1000);
    expect(seen).toEqual([1, 2]);
  });
});

describe("a connection that is lost", () => {
  test("is replaced after a pause", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    const client = newClient();
    const seen: unknown[] = [];
    client.onStateChange((state) => seen.push(state));
    client.on(Connected, (data) => seen.push(data));
    client.on(Disconnected, (data) => seen.push(data));
    client.on(ReconnectAttempt, (data) => seen.push(data));
    client.connect();
    socket().open();
    socket().end(1006);
    await pass(749);
    expect(attempts()).toBe(1);
    await pass(1);
    expect(attempts()).toBe(2);
    socket().open();
    expect(seen).toEqual([
      "connecting",
      "connected",
      { reconnected: false },
      "reconnecting",
      { code: 1006, reason: "", willReconnect: true },
      { attempt: 1, delay: 750 },
      "connected",
      { reconnected: true },
    ]);
  });

  test.each([1001, 1006, 1009, 1011, 1012, 1013, 3000, 4999])("is replaced after code %i", async (code) => {
    const { client, server } = connected();
    server.end(code, "why");
    expect(client.connectionState).toBe("reconnecting");
    expect(client.error).toMatchObject({ name: "ConnectionClosed", code });
    await pass(499);
    expect(attempts()).toBe(1);
    await pass(501);
    expect(attempts()).toBe(2);
  });

  test("is not replaced after 1008, and the reason is told", async () => {
    const { client, server } = connected();
    const errors: Error[] = [];
    client.onError((error) => errors.push(error));
    const seen: unknown[] = [];
    client.on(Disconnected, (data) => seen.push(data));
    server.end(1008, "too many messages");
    expect(client.connectionState).toBe("refused");
    const said = "too many messages";
    expect(errors).toEqual([new ConnectionRefused(`the server refuses this client: ${said}`, 1008, said)]);
    expect(seen).toEqual([{ code: 1008, reason: "too many messages", willReconnect: false }]);
    await pass(3_600_000);
    expect(attempts()).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a client that is refused at the door was never connected", async () => {
    const client = newClient();
    const states: string[] = [];
    client.onStateChange((state) => states.push(state));
    client.onError(() => {});
    const connecting = outcome(client.connect());
    socket().accept();
    socket().end(1008, "refused");
    await pass();
    expect(states).toEqual(["connecting", "refused"]);
    expect(connecting.error).toBeInstanceOf(ConnectionRefused);
  });

  test("may be asked for anew after 1008, with a better token", async () => {
    const { client, server } = connected();
    client.onError(() => {});
    server.end(1008);
    client.connect();
    expect(client.connectionState).toBe("connecting");
    socket().open();
    expect(client.isConnected).toBe(true);
  });

  test("is not replaced after 1000: the application is done", async () => {
    const { client, server } = connected();
    const heard = vi.fn();
    client.on(ReconnectFailed, heard);
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    server.end(1000, "bye");
    expect(client.connectionState).toBe("failed");
    expect(client.error).toMatchObject({ name: "ConnectionClosed", code: 1000, reason: "bye" });
    expect(heard).not.toHaveBeenCalled();
    expect(logged).not.toHaveBeenCalled();
    await pass(3_600_000);
    expect(attempts()).toBe(1);
  });

  test("is not replaced where that is not wanted", async () => {
    const { client, server } = connected({ reconnect: false });
    client.onError(() => {});
    const failed = vi.fn();
    client.on(ReconnectFailed, failed);
    server.end();
    expect(client.connectionState).toBe("failed");
    await pass(3_600_000);
    expect(attempts()).toBe(1);
    expect(failed).not.toHaveBeenCalled();
  });
});

describe("attempts", () => {
  test("end after maxReconnectAttempts in a row", async () => {
    const client = newClient({ maxReconnectAttempts: 2 });
    client.onError(() => {});
    const seen: unknown[] = [];
    client.on(ReconnectAttempt, ({ attempt }) => seen.push(attempt));
    client.on(ReconnectFailed, (data) => seen.push(data));
    const connecting = outcome(client.connect());
    for (const _ of [0, 1, 2]) {
      socket().end();
      await vi.advanceTimersToNextTimerAsync();
    }
    expect(attempts()).toBe(3);
    expect(seen).toEqual([1, 2, { attempts: 2 }]);
    expect(client.connectionState).toBe("failed");
    expect(connecting.error).toEqual(new ConnectFailed("no connection"));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("are as many again after another connect()", async () => {
    const client = newClient({ maxReconnectAttempts: 1 });
    client.onError(() => {});
    for (const round of [1, 2]) {
      client.connect();
      socket().end();
      (await nextAttempt()).end();
      expect(attempts()).toBe(2 * round);
      expect(client.connectionState).toBe("failed");
    }
  });

  const pauses = async (lasting: number): Promise<number[]> => {
    vi.spyOn(Math, "random").mockReturnValue(1);
    const client = newClient();
    const delays: number[] = [];
    client.on(ReconnectAttempt, ({ delay }) => delays.push(delay));
    client.connect();
    for (const _ of [0, 1, 2, 3]) {
      socket().open();
      await pass(lasting);
      socket().end(1011);
      await vi.advanceTimersToNextTimerAsync();
    }
    return delays;
  };

  test("are further and further apart while connections don't last", async () => {
    expect(await pauses(4999)).toEqual([1000, 1500, 2500, 4500]);
  });

  test("begin from the shortest pause again after one that lasted", async () => {
    expect(await pauses(5000)).toEqual([1000, 1000, 1000, 1000]);
  });

  test("are made at once when connect() is called meanwhile", async () => {
    const { client, server } = connected();
    server.end();
    const again = outcome(client.connect());
    expect(attempts()).toBe(2);
    socket().open();
    await pass(20_000);
    expect("value" in again).toBe(true);
    expect(attempts()).toBe(2);
  });

  test("that fail are told to onError, with the cause where it is known", () => {
    const client = newClient();
    const errors: Error[] = [];
    client.onError((error) => errors.push(error));
    client.connect();
    socket().onerror?.({ message: "Unexpected server response: 503" });
    expect(errors).toEqual([new ConnectFailed("no connection: Unexpected server response: 503")]);
    expect(client.connectionState).toBe("connecting");
  });

  test("that fail need no close event, which Node 20's WebSocket leaves out", async () => {
    newClient().connect();
    socket().onerror?.({});
    await pass(1000);
    expect(attempts()).toBe(2);
  });

  test("an error on a connection that was accepted is not its end: the close that follows says why", () => {
    const { client, server } = connected();
    server.onerror?.({ message: "protocol" });
    expect(client.isConnected).toBe(true);
    server.onclose?.({ code: 1011, reason: "" });
    expect(client.error).toMatchObject({ name: "ConnectionClosed", code: 1011 });
  });

  test.each([401, 403])("that are refused with HTTP %i are the last, where the WebSocket tells", (status) => {
    const client = newClient();
    client.onError(() => {});
    client.connect();
    socket().onerror?.({ error: new Error(`Unexpected server response: ${status}`) });
    expect(client.connectionState).toBe("refused");
    expect(client.error).toMatchObject({ name: "ConnectionRefused", code: status });
  });

  test("that fail are not written to the console: they are usual", () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { server } = connected();
    server.end();
    socket().end();
    expect(logged).not.toHaveBeenCalled();
  });

  test("that are the last are, where nobody listens", () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    connected().server.end(1008, "who are you");
    expect(logged).toHaveBeenCalledWith(expect.any(ConnectionRefused));
  });
});

describe("disconnect()", () => {
  test("closes the connection, and makes no other", async () => {
    const { client, server } = connected();
    const seen: unknown[] = [];
    client.on(Disconnected, (data) => seen.push(data));
    client.onError((error) => seen.push(error));
    client.disconnect();
    expect(server.isClosedByClient).toBe(true);
    expect(client.connectionState).toBe("disconnected");
    expect(seen).toEqual([{ code: 1000, reason: "", willReconnect: false }]);
    await pass(3_600_000);
    expect(attempts()).toBe(1);
  });

  test.each(["before the handshake", "before the answer", "in a pause", "while the URL is fetched"])(
    "%s ends the attempt, and rejects connect()",
    async (when) => {
      const client = newClient({}, when.includes("URL") ? async () => "ws://server/ws" : "ws://server/ws");
      const connecting = outcome(client.connect());
      if (when.includes("answer")) socket().accept();
      if (when.includes("pause")) socket().end();
      const before = attempts();
      client.disconnect();
      await pass(3_600_000);
      expect(connecting.error).toMatchObject({ name: "ConnectionClosed", code: 1000 });
      expect(attempts()).toBe(before);
      expect(client.connectionState).toBe("disconnected");
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  test("twice, or before connect(), does nothing", () => {
    const { client } = connected();
    const states: string[] = [];
    client.onStateChange((state) => states.push(state));
    client.disconnect();
    client.disconnect();
    expect(states).toEqual(["disconnected"]);
    newClient().disconnect();
    expect(attempts()).toBe(1);
  });

  test("may be followed by connect(), with the handlers kept", () => {
    const { client } = connected();
    const seen: unknown[] = [];
    client.on(Connected, (data) => seen.push(data));
    client.on("said", (data) => seen.push(data));
    client.disconnect();
    client.connect();
    socket().open().say({ name: "said", data: 1, timestamp: 0 });
    expect(seen).toEqual([{ reconnected: false }, 1]);
  });

  test("leaves nothing of the old connection that could disturb the new one", async () => {
    const { client, server } = connected();
    client.disconnect();
    client.connect();
    const second = socket().open();
    server.say({ name: "said", data: 1, timestamp: 0 });
    server.end(1008);
    await pass(1000);
    expect(client.isConnected).toBe(true);
    expect(socket()).toBe(second);
  });
});

test("what a handler of this client's own disconnect() comes to is no news", async () => {
  const { client } = connected();
  const heard = vi.fn();
  client.onError(heard);
  client.on("x", () => client.request("a"));
  socket().say({ name: "x", data: 1, timestamp: 0 });
  client.disconnect();
  await pass();
  expect(heard).not.toHaveBeenCalled();
});

describe("handlers may do anything", () => {
  test("disconnect when connected", async () => {
    const client = newClient();
    client.joinRoom("a").catch(() => {});
    client.on(Connected, () => client.disconnect());
    client.send("x");
    client.connect();
    socket().open();
    await pass(60_000);
    expect(client.connectionState).toBe("disconnected");
    expect(socket().messages).toEqual([]);
    expect(attempts()).toBe(1);
  });

  test("disconnect at the change of state, of which Connected then hears nothing", () => {
    const client = newClient();
    const heard = vi.fn();
    client.on(Connected, heard);
    client.onStateChange((state) => {
      if (state === "connected") client.disconnect();
    });
    client.connect();
    socket().open();
    expect(heard).not.toHaveBeenCalled();
    expect(client.connectionState).toBe("disconnected");
  });

  test("disconnect at the change of state, and others hear of the states in order", () => {
    const client = newClient();
    const heard: string[] = [];
    client.onStateChange((state) => {
      if (state === "connected") client.disconnect();
    });
    client.onStateChange((state) => heard.push(state));
    client.connect();
    socket().open();
    expect(client.connectionState).toBe("disconnected");
    expect(heard).toEqual(["connecting", "disconnected"]);
  });

  test("disconnect at the change of state that connect() makes", async () => {
    const client = newClient();
    client.onStateChange((state) => state === "connecting" && client.disconnect());
    const connecting = outcome(client.connect());
    await pass(60_000);
    expect(attempts()).toBe(0);
    expect(connecting.error).toBeInstanceOf(ConnectionClosed);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("disconnect when a connection is lost", async () => {
    const { client, server } = connected();
    const attempt = vi.fn();
    client.on(ReconnectAttempt, attempt);
    client.on(Disconnected, () => client.disconnect());
    server.end();
    await pass(60_000);
    expect(attempts()).toBe(1);
    expect(attempt).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("connect at once when a connection is lost", async () => {
    const { client, server } = connected();
    const off = client.on(Disconnected, () => client.connect());
    server.end();
    off();
    expect(attempts()).toBe(2);
    socket().open();
    await pass(20_000);
    expect(attempts()).toBe(2);
    expect(client.isConnected).toBe(true);
  });

  test("connect with another token when refused", async () => {
    const { client, server } = connected();
    client.onStateChange((state) => {
      if (state === "refused") client.connect();
    });
    client.onError(() => {});
    server.end(1008);
    expect(attempts()).toBe(2);
    expect(client.connectionState).toBe("connecting");
  });

  test("destroy the client while others are still to be called", () => {
    const { client, server } = connected();
    const second = vi.fn();
    client.on("said", () => client.destroy());
    client.on("said", second);
    server.say({ name: "said", data: 1, timestamp: 0 });
    expect(second).not.toHaveBeenCalled();
    expect(server.isClosedByClient).toBe(true);
  });
});

describe("destroy()", () => {
  test("is the end: every call says so", async () => {
    const { client } = connected();
    client.destroy();
    const said = "the client is destroyed: make another";
    expect(() => client.connect()).toThrow(said);
    expect(() => client.send("x")).toThrow(said);
    expect(() => client.sendRaw("x")).toThrow(said);
    expect(() => client.joinRoom("x")).toThrow(said);
    await expect(client.request("x")).rejects.toThrow(said);
    await expect(client.leaveRoom("x")).resolves.toBeUndefined();
    client.disconnect();
    client.destroy();
    expect(client.connectionState).toBe("disconnected");
  });
});
