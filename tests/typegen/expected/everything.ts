// Made by `wigwag typegen everything:app`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Beep {
  loud?: boolean;
}

export interface Cat {
  kind: "cat";
  lives: number;
}

export interface CatInput {
  kind: "cat";
  lives?: number;
}

export interface Circle {
  kind: "circle";
  radius: number;
}

export interface CircleInput {
  kind: "circle";
  radius?: number;
}

/** What it looks like. */
export type Color = "red" | "green";

export interface Dog {
  kind: "dog";
}

export type Empty = Record<string, never>;

/** All of it, and "more": it's `here`. */
export interface Everything {
  number: number;
  ratio: number | null;
  /** Not empty */
  text: string;
  when: string;
  day: string;
  took: string;
  id: string;
  price: string;
  blob: string;
  numbers: number[];
  two: [number, string | null];
  many: number[];
  none: [];
  nested: Record<string, (number | null)[]>;
  by_color: Partial<Record<Color, number>>;
  by_word: Partial<Record<"x" | "y", number>>;
  by_number: Record<string, unknown>;
  anything: unknown;
  raw: unknown;
  color: Color | Level;
  points: PagePoint;
  words: PageStr;
  tree: Tree;
  shape: Circle | Square | null;
  pair: Pair;
  row: Row;
  half: Half;
  sparse: Sparse;
  empty: Empty;
  model: Model | null;
  unset?: number;
  either: 1 | "a" | "b" | null;
  "it's odd": number;
}

export interface Half {
  maybe?: number;
  sure: string;
}

/** A client says, at the application's level, that it is there.  (``2``/``3`` is the protocol's.) */
export interface Heartbeat {
  timestamp?: number | null;
}

export type Json = { [key: string]: Json } | Json[] | boolean | number | string | null;

export interface KeptPoint {
  kept: Point;
}

export interface KeptPointInput {
  kept: PointInput;
}

export type Level = 1 | 2;

/** Of pydantic. *\/ All the same. */
export interface Model {
  /** As it is spoken */
  givenName: string;
  when: string;
  price: string;
  color: Color;
  point: Point;
  pet: Cat | Dog;
  counts: Partial<Record<Color, number>>;
  below: Model[];
  kept: KeptPoint | null;
  numbers: Numbers;
  json: Json;
  /** @deprecated */
  old: number;
  twice: number;
  [key: string]: unknown;
}

/** Of pydantic. *\/ All the same. */
export interface ModelInput {
  /** As it is spoken */
  givenName: string;
  when: string;
  price: number | string;
  color?: Color;
  point: PointInput;
  pet: CatInput | Dog;
  counts?: Partial<Record<Color, number>>;
  below?: ModelInput[];
  kept?: KeptPointInput | null;
  numbers?: Numbers;
  json?: Json;
  /** @deprecated */
  old?: number;
  [key: string]: unknown;
}

export type Numbers = number[];

export interface PagePoint {
  items: Point[];
  next: string | null;
}

export interface PageStr {
  items: string[];
  next: string | null;
}

export type Pair = [number, string];

export type PairInput = [number, string?];

export interface Point {
  x: number;
  y: number;
}

export interface PointInput {
  x: number;
  y?: number;
  [key: string]: unknown;
}

export type Row = [number, string];

export type RowInput = [number, string?, ...unknown[]];

export interface Sparse {
  a?: number;
}

export interface Square {
  kind: "square";
  side: number;
}

export interface Tree {
  childNodes: Tree[];
  parentNode: Tree | null;
}

export interface TreeInput {
  childNodes?: TreeInput[];
  parentNode?: TreeInput | null;
}

export interface Typing {
  user: string;
}

/** What the server emits: name to data. */
export interface Events {
  "counts": Record<string, number>;
  "every.thing": Everything;
  "model.changed": Model;
  "typing": Typing;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  "anything": { data: unknown; reply: unknown };
  "beep": { data: Beep; reply: null };
  "count": { data: undefined; reply: number };
  "heartbeat": { data: Heartbeat; reply: Record<string, boolean> };
  /**
   * Changes it.
   *
   * And answers with what became of it.
   */
  "model.change": { data: ModelInput; reply: Model };
  "pair.add": { data: PairInput; reply: Row };
  "row.add": { data: RowInput; reply: Pair };
  "shape.draw": { data: CircleInput | Square; reply: Circle | Point | Point[] };
  "tree.prune": { data: TreeInput; reply: Tree | null };
  /** A name that goes both ways, with different data. */
  "typing": { data: Half; reply: null };
}

// What the server emits.
export const Counts = /* @__PURE__ */ ClientMessage.define<Record<string, number>>("counts");
export const EveryThing = /* @__PURE__ */ ClientMessage.define<Everything>("every.thing");
export const ModelChanged = /* @__PURE__ */ ClientMessage.define<Model>("model.changed");
export const Typing = /* @__PURE__ */ ClientMessage.define<Typing>("typing");

// What the server takes.
export const Anything = /* @__PURE__ */ ClientMessage.define<unknown, unknown>("anything");
export const Beep = /* @__PURE__ */ ClientMessage.define<Beep, null>("beep");
export const Count = /* @__PURE__ */ ClientMessage.define<undefined, number>("count");
/**
 * Changes it.
 *
 * And answers with what became of it.
 */
export const ModelChange = /* @__PURE__ */ ClientMessage.define<ModelInput, Model>("model.change");
export const PairAdd = /* @__PURE__ */ ClientMessage.define<PairInput, Row>("pair.add");
export const RowAdd = /* @__PURE__ */ ClientMessage.define<RowInput, Pair>("row.add");
export const ShapeDraw = /* @__PURE__ */ ClientMessage.define<CircleInput | Square, Circle | Point | Point[]>("shape.draw");
export const TreePrune = /* @__PURE__ */ ClientMessage.define<TreeInput, Tree | null>("tree.prune");
/** A name that goes both ways, with different data. */
export const TypingRequest = /* @__PURE__ */ ClientMessage.define<Half, null>("typing");
