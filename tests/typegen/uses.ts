// What a page may write with the messages of everything.py, and what it may not: each line below an "@ts-expect-error" is
// refused, and no other.
import { SocketClient } from "wigwag-client";
import {
  Anything,
  Beep,
  type Color,
  Count,
  type Events,
  type Everything,
  EveryThing,
  type Model,
  ModelChange,
  ModelChanged,
  type ModelInput,
  type Requests,
  Typing,
  TypingRequest,
} from "./everything.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => undefined;

const client = new SocketClient<Events, Requests>("ws://localhost/ws");

// Events, by name and by constant
client.on("every.thing", (data, event) => {
  same<typeof data, Everything>(true);
  same<typeof event.data, Everything>(true);
  same<typeof data.color, Color | 1 | 2>(true);
  same<typeof data.either, "a" | "b" | 1 | null>(true);
  same<(typeof data)["it's odd"], number>(true);
  same<typeof data.two, [number, string | null]>(true);
  same<typeof data.raw, unknown>(true);
  same<typeof data.unset, number | undefined>(true);
  same<typeof data.half.sure, string>(true);
  same<typeof data.by_color.red, number | undefined>(true);
  same<typeof data.tree.childNodes, Everything["tree"][]>(true);
  const shape = data.shape;
  if (shape?.kind === "circle") same<typeof shape.radius, number>(true);
  // @ts-expect-error: it may be null
  data.model.twice;
  // @ts-expect-error: no such color
  data.color === "blue";
});
client.on(EveryThing, (data) => same<typeof data, Everything>(true));
client.on(ModelChanged, (data) => same<typeof data, Model>(true));
client.on("counts", (data) => same<typeof data, Record<string, number>>(true));
client.on(Typing, (data) => same<typeof data.user, string>(true));
// @ts-expect-error: no such event
client.on("every.thin", () => undefined);

// Requests
const input: ModelInput = {
  givenName: "Ann",
  when: "2026-01-01T00:00:00Z",
  price: 1,
  point: { x: 1 },
  pet: { kind: "cat" },
  json: { a: [1, "b", null, { c: true }] },
  anythingElse: 1,
};
const changed = await client.request("model.change", input);
same<typeof changed, Model>(true);
same<typeof changed.price, string>(true);
same<typeof changed.below, Model[]>(true);
same<typeof changed.pet.kind, "cat" | "dog">(true);
same<Awaited<ReturnType<typeof again>>, Model>(true);
const again = () => client.request(ModelChange, input);
same<Requests["tree.prune"]["reply"], Everything["tree"] | null>(true);
same<Requests["count"], { data: undefined; reply: number }>(true);
const counted: number = (await client.request("count")) + (await client.request(Count));
const anything = await client.request(Anything, { any: "thing" });
same<typeof anything, unknown>(true);
client.send("row.add", [1]);
client.send("row.add", [counted, "b", "more"]);
client.send("pair.add", [1, "b"]);
client.send("shape.draw", { kind: "circle" });
client.send("beep", {});
client.emit(Beep, { loud: true });
client.emit(TypingRequest, { sure: "yes" });
client.send("tree.prune", { childNodes: [{ parentNode: null }] });
// @ts-expect-error: what is emitted is whole, and what is sent need not be
const whole: Model = input;
// @ts-expect-error: it wants data
client.send("model.change");
// @ts-expect-error: a square has no radius
client.send("shape.draw", { kind: "square", radius: 1 });
// @ts-expect-error: too long
client.send("pair.add", [1, "b", "c"]);
// @ts-expect-error: left out is not undefined
client.send("beep", { loud: undefined });
// @ts-expect-error: a number
client.emit(Beep, { loud: 1 });
// @ts-expect-error: no such request
client.request("every.thing", {});
// @ts-expect-error: rooms are joined by joinRoom
client.request("room.join", { room: "a" });
void whole;
