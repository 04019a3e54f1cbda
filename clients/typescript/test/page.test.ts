import { describe, expect, test, vi } from "vitest";
import { ConnectFailed } from "../src/index.js";
import { attempts, connected, FakePage, newClient, pass, socket } from "./fakes.js";

const ways = [
  ["hidden", (page: FakePage) => page.hide(), (page: FakePage) => page.show()],
  ["offline", (page: FakePage) => page.goOffline(), (page: FakePage) => page.goOnline()],
] as const;

describe.each(ways)("while the page is %s", (_, leave, comeBack) => {
  test("no attempt is made, and one at once when it is back", async () => {
    const page = new FakePage();
    const { client, server } = connected();
    leave(page);
    server.end();
    expect(client.connectionState).toBe("reconnecting");
    await pass(3_600_000);
    expect(attempts()).toBe(1);
    comeBack(page);
    expect(attempts()).toBe(2);
    socket().open();
    await pass(60);
    expect(client.isConnected).toBe(true);
  });

  test("a pause that had begun goes on until it is back", async () => {
    const page = new FakePage();
    const { server } = connected();
    server.end();
    leave(page);
    await pass(3_600_000);
    expect(attempts()).toBe(1);
    comeBack(page);
    expect(attempts()).toBe(2);
    await pass(4999);
    expect(attempts()).toBe(2);
  });

  test("a first attempt waits too", async () => {
    const page = new FakePage();
    leave(page);
    const client = newClient();
    client.connect();
    await pass(60_000);
    expect(attempts()).toBe(0);
    expect(client.connectionState).toBe("connecting");
    comeBack(page);
    expect(attempts()).toBe(1);
  });

  test("an attempt that fails is followed by none", async () => {
    const page = new FakePage();
    newClient().connect();
    leave(page);
    socket().end();
    await pass(60_000);
    expect(attempts()).toBe(1);
  });

  test("a connection stays", async () => {
    const page = new FakePage();
    const { client, server } = connected();
    leave(page);
    server.say("3");
    await pass(20_000);
    expect(client.isConnected).toBe(true);
    comeBack(page);
    expect(attempts()).toBe(1);
  });

  test("nothing happens after disconnect()", async () => {
    const page = new FakePage();
    const { client } = connected();
    leave(page);
    client.disconnect();
    comeBack(page);
    await pass(60_000);
    expect(attempts()).toBe(1);
    expect(page.listeners).toBe(0);
  });

  test("attempts are made all the same where that was asked for", async () => {
    const page = new FakePage();
    leave(page);
    newClient({ pauseWhenHidden: false, pauseWhenOffline: false }).connect();
    expect(attempts()).toBe(1);
  });

  test("then too there is a pause before an attempt, though it begins meanwhile", async () => {
    const page = new FakePage();
    const { server } = connected({ pauseWhenHidden: false, pauseWhenOffline: false });
    server.end();
    leave(page);
    await pass(499);
    expect(attempts()).toBe(1);
    await pass(501);
    expect(attempts()).toBe(2);
  });
});

test("both must be over", async () => {
  const page = new FakePage();
  const { server } = connected();
  server.end();
  page.hide();
  page.goOffline();
  page.show();
  expect(attempts()).toBe(1);
  page.goOnline();
  expect(attempts()).toBe(2);
});

describe("when the page is shown, or the network has changed", () => {
  test.each([
    ["shown", (page: FakePage) => page.show()],
    ["online", (page: FakePage) => page.goOnline()],
    ["offline", (page: FakePage) => page.goOffline()],
  ])("%s: the server is asked at once whether it is there", async (_, change) => {
    const page = new FakePage();
    const { client, server } = connected();
    change(page);
    expect(server.pings).toBe(2);
    await pass(5000);
    expect(client.isConnected).toBe(false);
  });

  test("it is not when the page is hidden: timers may stand still before the answer comes", () => {
    const page = new FakePage();
    const { server } = connected();
    page.hide();
    expect(server.pings).toBe(1);
  });
});

test("an attempt under way is not disturbed", async () => {
  const page = new FakePage();
  const client = newClient();
  client.connect();
  socket().accept();
  await pass(4000);
  page.hide();
  page.show();
  expect(socket().pings).toBe(1);
  await pass(1000);
  expect(client.error).toEqual(new ConnectFailed("no connection within 5000 ms"));
});

test.each([
  ["handshake", () => {}],
  ["first answer", () => socket().accept()],
])("an attempt that waits for its %s is made anew when the device is online again", async (_, begin) => {
  const page = new FakePage();
  const client = newClient();
  client.connect();
  begin();
  const first = socket();
  await pass(3000);
  page.goOffline();
  expect(first.isClosedByClient).toBe(false);
  page.goOnline();
  expect(first.isClosedByClient).toBe(true);
  expect(attempts()).toBe(2);
  await pass(3000); // the new one has time of its own
  socket().open();
  expect(client.isConnected).toBe(true);
  await pass(20_000);
  expect(attempts()).toBe(2);
});

test("it is not while the page is hidden, when no other would be made", () => {
  const page = new FakePage();
  const client = newClient();
  client.connect();
  page.hide();
  page.goOnline();
  socket().open();
  expect(client.isConnected).toBe(true);
  expect(attempts()).toBe(1);
});

test("the page is listened to between connect() and the end, once", () => {
  const page = new FakePage();
  const client = newClient({ reconnect: false });
  client.onError(() => {});
  expect(page.listeners).toBe(0);
  client.connect();
  client.connect();
  expect(page.listeners).toBe(3);
  socket().end();
  expect(page.listeners).toBe(0);
  client.connect();
  socket().open().end(1008);
  expect(page.listeners).toBe(0);
});

test("a worker has no document, and still hears of its network", () => {
  const page = new FakePage();
  vi.stubGlobal("document", undefined);
  const { server } = connected();
  page.goOffline();
  server.end();
  expect(attempts()).toBe(1);
  page.goOnline();
  expect(attempts()).toBe(2);
});
