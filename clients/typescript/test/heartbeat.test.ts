import { describe, expect, test, vi } from "vitest";
import { AnyEvent, Raw } from "../src/index.js";
import { attempts, connected, pass } from "./fakes.js";

describe("heartbeats", () => {
  test("ask every 25 s, and the answer is nobody's message", async () => {
    const { client, server } = connected();
    const seen = vi.fn();
    client.on(Raw, seen);
    client.on(AnyEvent, seen);
    expect(server.pings).toBe(1); // the first, at the handshake
    for (const count of [2, 3, 4]) {
      await pass(24_999);
      expect(server.pings).toBe(count - 1);
      await pass(1);
      expect(server.pings).toBe(count);
      server.say("3");
    }
    expect(attempts()).toBe(1);
    expect(seen).not.toHaveBeenCalled();
  });

  test("give up a connection that is silent for 5 s, without waiting for its close", async () => {
    const { client, server } = connected();
    await pass(25_000 + 4999);
    expect(client.isConnected).toBe(true);
    await pass(1);
    expect(client.connectionState).toBe("reconnecting");
    expect(client.error).toMatchObject({ message: "the server was silent for 5000 ms", code: 1006 });
    expect(server.isClosedByClient).toBe(true);
    await pass(1000);
    expect(attempts()).toBe(2);
  });

  test("take any message for an answer", async () => {
    const { client, server } = connected();
    for (const message of [{ name: "said", data: 1, timestamp: 0 }, "text", new ArrayBuffer(1)]) {
      await pass(25_000 + 4999);
      server.say(message);
    }
    await pass(20_000);
    expect(client.isConnected).toBe(true);
    expect(server.pings).toBe(4);
  });

  test("are as frequent while messages come", async () => {
    const { server } = connected();
    for (let second = 0; second < 50; second++) {
      await pass(1000);
      server.say({ name: "said", data: 1, timestamp: 0 });
    }
    expect(server.pings).toBe(3);
  });

  test("may be set otherwise", async () => {
    const { client, server } = connected({ heartbeatInterval: 1000, heartbeatTimeout: 100 });
    await pass(1000);
    expect(server.pings).toBe(2);
    await pass(100);
    expect(client.isConnected).toBe(false);
  });

  test("may be left out", async () => {
    const { client, server } = connected({ heartbeatInterval: 0 });
    await pass(3_600_000);
    expect(server.pings).toBe(0);
    expect(client.isConnected).toBe(true);
  });

  test("may wait for ever", async () => {
    const { client, server } = connected({ heartbeatTimeout: 0 });
    await pass(3_600_000);
    expect(server.pings).toBe(2);
    expect(client.isConnected).toBe(true);
  });

  test("don't take a page that slept for a server that is silent", async () => {
    const { client, server } = connected();
    await pass(25_000);
    vi.setSystemTime(Date.now() + 3_600_000); // timers stood still meanwhile
    await pass(5000);
    expect(client.isConnected).toBe(true);
    expect(server.pings).toBe(3); // asked again
    await pass(5000);
    expect(client.isConnected).toBe(false);
  });

  test("notice a silent server in a hidden page too, whose timers come once a minute", async () => {
    const { client, server } = connected();
    for (const count of [2, 3]) {
      await pass(count === 2 ? 25_000 : 5000);
      expect(server.pings).toBe(count);
      vi.setSystemTime(Date.now() + 55_000);
    }
    await pass(5000);
    expect(client.isConnected).toBe(false);
  });

  test("end with the connection", async () => {
    const { client, server } = connected();
    client.disconnect();
    await pass(60_000);
    expect(server.pings).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});
