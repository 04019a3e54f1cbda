import { describe, expect, test, vi } from "vitest";
import {
  ConnectFailed,
  ConnectionRefused,
  Disconnected,
  ReconnectAttempt,
  RequestFailed,
  type SocketClient,
  type SocketClientOptions,
} from "../src/index.js";
import { attempts, type FakeSocket, newClient, nextAttempt, outcome, pass, socket } from "./fakes.js";

const encoded = (data: object) => Buffer.from(JSON.stringify(data)).toString("base64url");

let made = 0;
/** A token that is good for so many seconds from now. */
const token = (seconds: number, claims: object = {}): string => {
  const now = Date.now() / 1000;
  return `e30.${encoded({ sub: "ünü", iat: now, exp: now + seconds, ...claims })}.${++made}`;
};

const tokenOf = ({ protocols }: FakeSocket): string | undefined =>
  [protocols ?? []].flat().find((one) => one.startsWith("wigwag.token."));

/** The tokens that were sent in messages. */
const sent = (server: FakeSocket): unknown[] =>
  server.messages.filter(({ type }) => type === "auth.authenticate").map(({ data }) => data);

/** A client whose function gives tokens that are good for so many seconds, with the socket of its connection. */
const connected = async (
  seconds: number,
  options: SocketClientOptions = {},
): Promise<{ client: SocketClient; server: FakeSocket; given: string[]; errors: Error[] }> => {
  const given: string[] = [];
  const client = newClient({
    token: async () => {
      given.push(token(seconds));
      return given.at(-1) as string;
    },
    heartbeatInterval: 0, // the test does not answer them
    ...options,
  });
  const errors: Error[] = [];
  client.onError((error) => errors.push(error));
  client.connect();
  await pass();
  return { client, server: socket().open(), given, errors };
};

/** Let time pass until a token is sent; return after how many seconds it was, and answer. */
const renewed = async (server: FakeSocket, answer: object): Promise<number> => {
  const before = sent(server).length;
  const began = Date.now();
  for (let tenth = 0; sent(server).length === before; tenth++) {
    if (tenth > 20_000) throw new Error("no token was sent");
    await pass(100);
  }
  server.reply("auth.authenticate", answer);
  await pass();
  return (Date.now() - began) / 1000;
};

describe("a token", () => {
  test("is offered as a subprotocol, beside the one that the server agrees to and those that were given", () => {
    newClient({ token: "a.b.c" }).connect();
    expect(socket().protocols).toEqual(["wigwag", "wigwag.token.a.b.c"]);
    newClient({ token: "a.b.c", protocols: "v1" }).connect();
    expect(socket().protocols).toEqual(["v1", "wigwag", "wigwag.token.a.b.c"]);
  });

  test("that is empty is not offered", async () => {
    newClient({ token: () => "" }).connect();
    await pass();
    expect(socket().protocols).toBeUndefined();
  });

  test("of a function is asked for before each attempt, beside the URL", async () => {
    let count = 0;
    newClient({ token: () => `t${++count}` }, async () => `ws://server/${count}`).connect();
    await pass();
    expect([tokenOf(socket()), count]).toEqual(["wigwag.token.t1", 1]);
    socket().open();
    socket().end();
    expect(tokenOf(await nextAttempt())).toBe("wigwag.token.t2");
  });

  test("that can't be had fails the attempt, and the next asks anew", async () => {
    const cause = new Error("offline");
    const client = newClient({ token: vi.fn().mockRejectedValueOnce(cause).mockResolvedValue("t") });
    const connecting = outcome(client.connect());
    await pass();
    expect(client.error).toEqual(new ConnectFailed("the function that gives the URL or token failed"));
    expect(client.error?.cause).toBe(cause);
    (await nextAttempt()).open();
    await pass();
    expect("value" in connecting).toBe(true);
  });

  test("that can't be had in time fails the attempt", async () => {
    const client = newClient({ token: () => new Promise(() => {}) });
    client.connect();
    await pass(5000);
    expect(client.error).toEqual(new ConnectFailed("no connection within 5000 ms"));
    expect(attempts()).toBe(0);
  });
});

describe("before it expires", () => {
  test("a fresh one is sent on the open connection, at about three quarters of its time", async () => {
    const { server, given, errors } = await connected(900);
    const first = await renewed(server, { data: { user: "u", expiresInS: 100, left: [] } });
    expect(first).toBeGreaterThan(900 * 0.64);
    expect(first).toBeLessThan(900 * 0.86);
    expect(sent(server)).toEqual([{ token: given[1] }]);
    // From then on by what the server says, whose clock counts.
    const second = await renewed(server, { data: { user: "u", expiresInS: 900, left: [] } });
    expect(second).toBeGreaterThan(64);
    expect(second).toBeLessThan(86);
    expect(attempts()).toBe(1);
    expect(errors).toEqual([]);
  });

  test("those who connected together don't all send one together", async () => {
    const after: number[] = [];
    for (let n = 0; n < 5; n++) {
      const { server } = await connected(900);
      after.push(await renewed(server, { data: null }));
    }
    expect(new Set(after).size).toBeGreaterThan(2);
  });

  test("its time is no longer than it was made for, whatever this device's clock says", async () => {
    const late = Date.now() / 1000 + 3600; // this device's clock is an hour slow
    const { server } = await connected(0, { token: () => token(0, { iat: late, exp: late + 60 }) });
    expect(await renewed(server, { data: null })).toBeLessThan(60);
  });

  test("one that has expired by this device's clock, but was taken, is renewed soon and not at once", async () => {
    const { server } = await connected(-3600);
    const first = await renewed(server, { data: { expiresInS: 100, left: [] } });
    expect(first).toBeGreaterThan(1);
    expect(first).toBeLessThan(3);
    expect(await renewed(server, { data: null })).toBeGreaterThan(60);
  });

  test.each([
    ["a text", () => token(900)],
    ["no JWT", () => () => "opaque"],
    ["a JWT without exp", () => () => `e30.${encoded({ sub: "u" })}.x`],
    ["one that is good for a year", () => () => token(365 * 86_400)],
  ])("none is sent where the token is %s", async (_, option) => {
    const { server } = await connected(0, { token: option() });
    await pass(3_600_000);
    expect(sent(server)).toEqual([]);
  });

  test("a refusal is told, changes nothing, and one more is tried in what is left", async () => {
    const { client, server, given, errors } = await connected(100);
    const first = await renewed(server, {
      error: "Forbidden",
      details: [{ path: "$.token", message: "token not valid" }],
    });
    const details = [{ path: "$.token", message: "token not valid" }];
    expect(errors).toEqual([new RequestFailed("auth.authenticate", "Forbidden", details)]);
    expect(client.isConnected).toBe(true);
    const second = await renewed(server, { data: { expiresInS: 100, left: [] } });
    expect(first + second).toBeLessThan(100);
    expect(second).toBeGreaterThan(1);
    expect(given.length).toBe(3);
  });

  test("tries end with the token's time: a server that refuses is not asked for ever", async () => {
    const { server } = await connected(900);
    for (let second = 0; second < 1000; second++) {
      await pass(1000);
      const asked = sent(server).length;
      if (asked) server.reply("auth.authenticate", { error: "Forbidden" });
    }
    expect(sent(server).length).toBeGreaterThan(2);
    expect(sent(server).length).toBeLessThan(10);
  });

  test("a function that fails is told, and asked again", async () => {
    const token_ = vi
      .fn()
      .mockImplementationOnce(() => token(100))
      .mockRejectedValueOnce(new Error("offline"))
      .mockImplementation(() => token(100));
    const { server, errors } = await connected(0, { token: token_ });
    await renewed(server, { data: null });
    expect(errors).toEqual([new Error("offline")]);
  });

  test("rooms that it does not allow any more are told as refused, and may be asked for again", async () => {
    const { client, server, errors } = await connected(100);
    const joining = outcome(client.joinRoom("a"));
    server.reply("room.join", { data: null });
    await pass();
    expect("value" in joining).toBe(true);
    await renewed(server, { data: { expiresInS: 100, left: ["a", "unknown"] } });
    const details = [{ path: "$.room", message: "a" }];
    expect(errors).toEqual([new RequestFailed("room.join", "Forbidden", details)]);
    const again = outcome(client.joinRoom("a"));
    server.reply("room.join", { data: null });
    await pass();
    expect("value" in again).toBe(true);
  });

  test("a connection that ended meanwhile is not sent another's token", async () => {
    let give: (token: string) => void = () => {};
    const answers = [
      () => token(100),
      () => new Promise<string>((resolve) => (give = resolve)),
      () => token(100),
    ];
    const { server, errors } = await connected(0, { token: () => answers.shift()?.() ?? "" });
    await pass(90_000);
    server.end();
    const next = (await nextAttempt()).open();
    give(token(100));
    await pass(1000);
    expect([sent(server), sent(next)]).toEqual([[], []]);
    expect(errors.length).toBe(1); // the lost connection
  });

  test("nothing is left of it when the client disconnects", async () => {
    const { client } = await connected(100);
    client.disconnect();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("closed for a token that has expired", () => {
  const events = (client: SocketClient): unknown[] => {
    const seen: unknown[] = [];
    client.onStateChange((state) => seen.push(state));
    client.on(Disconnected, (data) => seen.push(data));
    client.on(ReconnectAttempt, ({ attempt }) => seen.push(attempt));
    return seen;
  };

  test("it connects once more, with a fresh one", async () => {
    const { client, server, given, errors } = await connected(900);
    const seen = events(client);
    server.end(1008, "token expired");
    expect(seen).toEqual(["reconnecting", { code: 1008, reason: "token expired", willReconnect: true }, 1]);
    expect(errors[0]).toBeInstanceOf(ConnectionRefused);
    expect(tokenOf((await nextAttempt()).open())).toBe(`wigwag.token.${given[1]}`);
    expect(client.isConnected).toBe(true);
    // Which counts as a success when it has lasted: then it is tried once more again.
    await pass(5000);
    socket().end(1008, "token expired");
    expect(client.connectionState).toBe("reconnecting");
  });

  test("it gives up when the fresh one has expired too", async () => {
    const { client, server } = await connected(900);
    server.end(1008, "token expired");
    await nextAttempt();
    socket().end(); // a failed attempt in between makes no difference
    await nextAttempt();
    socket().accept();
    socket().end(1008, "token expired");
    expect(client.connectionState).toBe("refused");
    await pass(60_000);
    expect(attempts()).toBe(3);
  });

  test.each([
    ["for another reason", "token not valid", {}],
    ["that is a text", "token expired", { token: token(900) }],
    ["and it is not to reconnect", "token expired", { reconnect: false }],
  ])("it gives up at once with a token refused %s", async (_, reason, options) => {
    const { client, server } = await connected(900, options);
    server.end(1008, reason);
    expect(client.connectionState).toBe("refused");
    await pass(60_000);
    expect(attempts()).toBe(1);
  });
});
