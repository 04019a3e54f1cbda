import { describe, expect, test, vi } from "vitest";
import { backoff } from "../src/backoff.js";
import { ReconnectAttempt } from "../src/index.js";
import { attempts, connected, newClient, pass, socket } from "./fakes.js";

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

describe("the pause before an attempt", () => {
  test.each([
    [0, 500, 1000],
    [1, 500, 1500],
    [2, 500, 2500],
    [5, 500, 16_500],
    [6, 500, 20_000],
    [1000, 500, 20_000],
    [1e9, 500, 20_000],
  ])("is for attempt %i from %i to %i ms", (attempt, least, most) => {
    const random = vi.spyOn(Math, "random");
    random.mockReturnValue(0);
    expect(backoff(attempt, 500, 20_000)).toBe(least);
    random.mockReturnValue(1);
    expect(backoff(attempt, 500, 20_000)).toBe(most);
  });

  test("is spread evenly below the cap, not heaped at it", () => {
    vi.spyOn(Math, "random").mockImplementation(seeded(1));
    const delays = Array.from({ length: 10_000 }, () => backoff(12, 500, 20_000));
    const perTenth = Array.from({ length: 10 }, (_, tenth) => {
      const from = 500 + tenth * 1950;
      return delays.filter((delay) => delay >= from && delay < from + 1950).length;
    });
    for (const count of perTenth) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("is never longer than the cap, even where the base is", () => {
    expect(backoff(0, 5000, 1000)).toBe(1000);
  });
});

describe("a thousand clients of a server that went away", () => {
  test("come back spread over the pause, none before the base", async () => {
    vi.spyOn(Math, "random").mockImplementation(seeded(2));
    const clients = Array.from({ length: 1000 }, () => connected());
    for (const { server } of clients) server.end(1012);
    const before = attempts();
    await pass(499);
    expect(attempts()).toBe(before);
    const perTenth: number[] = [];
    for (let tenth = 0; tenth < 10; tenth++) {
      const from = attempts();
      await pass(tenth ? 50 : 51);
      perTenth.push(attempts() - from);
    }
    expect(perTenth.reduce((sum, count) => sum + count)).toBe(1000);
    for (const count of perTenth) expect(Math.abs(count - 100)).toBeLessThan(40);
  });

  test("wait longer and longer while it stays away", async () => {
    vi.spyOn(Math, "random").mockImplementation(seeded(3));
    const delays: number[][] = [[], [], [], [], [], []];
    for (let count = 0; count < 200; count++) {
      const client = newClient();
      client.on(ReconnectAttempt, ({ attempt, delay }) => delays[attempt - 1]?.push(delay));
      client.connect();
      for (let attempt = 0; attempt < 6; attempt++) {
        socket().end();
        await pass(20_000);
      }
      client.disconnect();
    }
    const means = delays.map((values) => values.reduce((sum, value) => sum + value, 0) / values.length);
    for (const [attempt, expected] of [750, 1000, 1500, 2500, 4500, 8500].entries()) {
      expect(means[attempt]).toBeGreaterThan(expected * 0.85);
      expect(means[attempt]).toBeLessThan(expected * 1.15);
    }
  });
});
