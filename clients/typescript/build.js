// Makes dist/: modules with their types (tsc), and all of it as one minified file (esbuild). The same sources give the
// same bytes.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { bundle } from "./bundle.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

rmSync(here("dist"), { recursive: true, force: true });
execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "-p", here("tsconfig.build.json")], {
  stdio: "inherit",
});
await build({ ...bundle, outfile: "dist/wigwag-client.min.js" });
