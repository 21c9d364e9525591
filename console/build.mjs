// Bundle the page into audience/server/static/, with the licences of what it contains and the digest of its sources.

import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SOURCES = dirname(fileURLToPath(import.meta.url));
const STATIC = join(SOURCES, "..", "audience", "server", "static");
const BUILD_FILES = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"];

/** Return the digest of all that the bundle is made of; tests/test_console_bundle.py computes the same. */
async function digestSources() {
  const entries = await readdir(join(SOURCES, "src"), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const names = [...BUILD_FILES, ...files.map((file) => relative(SOURCES, file).split(sep).join("/"))];
  const digest = createHash("sha256");
  for (const name of names.sort()) {
    digest.update(`${name}\0`).update(await readFile(join(SOURCES, name))).update("\0");
  }
  return digest.digest("hex");
}

/** Return the licences of the packages that *inputs*, the files of the bundle, belong to. */
async function collectLicences(inputs) {
  const folders = new Set();
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) folders.add(match[1]);
  }
  const texts = [];
  for (const folder of [...folders].sort()) {
    const { name, version } = JSON.parse(await readFile(join(SOURCES, folder, "package.json"), "utf8"));
    const files = await readdir(join(SOURCES, folder));
    const licence = files.find((file) => /^licen[cs]e/i.test(file));
    if (!licence) throw new Error(`${name} has no licence file`);
    texts.push(`${name} ${version}\n\n${(await readFile(join(SOURCES, folder, licence), "utf8")).trim()}\n`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

await mkdir(STATIC, { recursive: true });
const result = await build({
  absWorkingDir: SOURCES,
  entryPoints: { console: "src/main.tsx" },
  outdir: STATIC,
  bundle: true,
  minify: true,
  metafile: true,
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  define: { "process.env.NODE_ENV": '"production"' },
});
await copyFile(join(SOURCES, "src", "index.html"), join(STATIC, "index.html"));
await writeFile(join(STATIC, "licences.txt"), await collectLicences(Object.keys(result.metafile.inputs)));
await writeFile(join(STATIC, "build.json"), `${JSON.stringify({ sources: await digestSources() }, null, 2)}\n`);
