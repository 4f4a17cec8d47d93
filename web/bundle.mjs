// Bundles regl-scatterplot with its dependencies into one module, and gathers the licence of each package that is in it.
import { build } from "esbuild";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
await build({
  stdin: { contents: 'export { default } from "regl-scatterplot";', resolveDir: "." },
  outfile: join(folder, "regl-scatterplot.js"),
  bundle: true,
  format: "esm",
  legalComments: "none",
  minify: true,
  target: "es2020",
});

// The lock file and not the bundle says what is inside, since the component comes with most of its parts built in.
const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
const homes = Object.keys(packages).filter((path) => path && !packages[path].dev && !packages[path].optional);
const texts = homes.sort().map((home) => {
  const name = home.slice(home.lastIndexOf("node_modules/") + "node_modules/".length);
  const { version, license } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  const file = readdirSync(home).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = readFileSync(join(home, file), "utf8").replace(/\r\n/g, "\n").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
});
const rule = `\n${"-".repeat(80)}\n\n`;
writeFileSync(join(folder, "LICENSES.txt"), `Packages in regl-scatterplot.js, from npm\n${rule}${texts.join(rule)}`);
