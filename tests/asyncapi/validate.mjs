// Prints what the official parser finds wrong with each of the files named: one line of JSON per finding.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(await readFile(file, "utf8"));
  for (const { severity, code, message, path } of diagnostics) {
    console.log(JSON.stringify({ file, severity, code, message, path: path.join("/") }));
  }
  if (document === undefined && diagnostics.length === 0) throw new Error(`${file}: not parsed`);
}
