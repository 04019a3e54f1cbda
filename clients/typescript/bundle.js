// How all of the client becomes one minified file: the same sources give the same bytes.
import { fileURLToPath } from "node:url";
import packageJson from "./package.json" with { type: "json" };

/** For esbuild; where the file goes is added. */
export const bundle = {
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: `/*! ${packageJson.name} ${packageJson.version} | ${packageJson.license} */` },
  logLevel: "warning",
};
