// node tools/pages.js [--check]: makes the scripts that pages are served, and that stand in the repository so that they
// are there without Node; or says which are not what the sources give.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { bundle } from "../clients/typescript/bundle.js";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { build } = createRequire(here("clients/typescript/package.json"))("esbuild");

async function built(options) {
  const { outputFiles } = await build({ ...options, write: false });
  return outputFiles[0].text;
}

const client = await built(bundle);
const dashboard = await built({
  ...bundle,
  absWorkingDir: here("examples/dashboard"),
  entryPoints: ["web/dashboard.ts"],
  banner: { js: "/*! made of ../web/dashboard.ts by: make pages */" },
});
const FILES = {
  "core/src/wigwag/service/static/wigwag-client.js": client,
  "examples/chat/static/wigwag-client.js": client,
  "examples/dashboard/static/dashboard.js": dashboard,
};

const isCheck = process.argv.includes("--check");
for (const [path, text] of Object.entries(FILES)) {
  const file = here(path);
  let now = "";
  try {
    now = readFileSync(file, "utf8");
  } catch {}
  if (now === text) continue;
  if (isCheck) {
    console.error(`${path} is not what its sources give: make pages`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, text);
    console.log(`${path} is made anew`);
  }
}
