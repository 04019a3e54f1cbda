import { afterEach, beforeEach } from "vitest";
import { begin, end } from "./fakes.js";

beforeEach(begin);
afterEach(end);
