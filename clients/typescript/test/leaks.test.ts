import { expect, test, vi } from "vitest";
import { FakePage, FakeSocket, newClient, pass, socket } from "./fakes.js";

/** Numbers that are the same in every run. */
const seeded = (seed: number) => () => {
  seed = (seed * 16_807) % 0x7fffffff;
  return seed / 0x7fffffff;
};

test("connect() and disconnect() in any order, with anything between, leave nothing", async () => {
  const random = seeded(7);
  const page = new FakePage();
  const client = newClient({ maxReconnectAttempts: 3 });
  client.onError(() => {});
  client.joinRoom("a");
  const last = () => FakeSocket.made.at(-1);
  const steps: (() => unknown)[] = [
    () => void client.connect(),
    () => void client.connect(),
    () => client.disconnect(),
    () => last()?.readyState === 0 && last()?.accept(),
    () => (last()?.readyState ?? 2) < 2 && last()?.open(),
    () => (last()?.readyState ?? 3) < 3 && last()?.end([1000, 1006, 1008, 1012][Math.floor(random() * 4)]),
    () => page.hide(),
    () => page.show(),
    () => page.goOffline(),
    () => page.goOnline(),
    () => void client.joinRoom("b"),
    () => void client.leaveRoom("b"),
    () => void client.request("x", undefined, { timeout: 100 }).catch(() => {}),
    () => pass(random() * 3000),
    () => pass(random() * 30_000),
  ];
  const seen = new Set<string>();
  for (let count = 0; count < 2000; count++) {
    await steps[Math.floor(random() * steps.length)]?.();
    const open = FakeSocket.made.slice(-10).filter((one) => one.onmessage);
    expect(open.length, "at most one socket is listened to").toBeLessThanOrEqual(1);
    expect(page.listeners).toBeLessThanOrEqual(3);
    seen.add(client.connectionState);
    if (client.connectionState === "connected") expect(open).toEqual([socket()]);
  }
  expect(seen.size, "all states were seen").toBe(6);
  page.show();
  page.goOnline();
  client.disconnect();
  await pass(20_000);
  expect(vi.getTimerCount()).toBe(0);
  expect(page.listeners).toBe(0);
  expect(FakeSocket.made.filter((one) => one.onmessage || one.onopen || one.onclose)).toEqual([]);
  expect(FakeSocket.made.filter((one) => one.readyState < 2)).toEqual([]);
  // And it still works.
  client.connect();
  socket().open();
  expect(client.isConnected).toBe(true);
});

test("a client that was never connected has no timer, no listener and no socket", () => {
  const page = new FakePage();
  newClient().on("x", () => {});
  expect(vi.getTimerCount()).toBe(0);
  expect(page.listeners).toBe(0);
  expect(FakeSocket.made).toEqual([]);
});

test("an error event of a socket that was let go of is heard, since the package ws throws it otherwise", () => {
  const client = newClient();
  client.connect();
  client.disconnect();
  const { onerror } = socket();
  expect(onerror).toBeTypeOf("function");
  onerror?.({});
});
