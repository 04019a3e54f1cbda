// How all of the client becomes one minified file: the same sources give the same bytes.
import { fileURLToPath } from "node:url";
import packageJson from "./package.json" with { type: "json" };

/** Names that are seen by our own modules alone; those of private members are short already. */
const INTERNAL = [
  ...[
    "isSettled",
    "isFailed",
    "isOver",
    "isOpen",
    "isSent",
    "isAway",
    "isHidden",
    "wasJoined",
    "asked",
    "outcome",
  ],
  ...["promise", "content", "handler", "renew", "watch", "unwatch", "settle", "sent", "fail", "check"],
  ...["opened", "received", "ended"],
];

/** For esbuild; where the file goes is added. */
export const bundle = {
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: `/*! ${packageJson.name} ${packageJson.version} | ${packageJson.license} */` },
  logLevel: "warning",
};
