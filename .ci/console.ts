import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { CONSOLE_FOLDER } from "../src/server/console-files.ts";
import { sdk, withSdkSources } from "./sdk-sources.ts";

/**
 * `bun .ci/console.ts`: bundles the web console, src/console, into .cache/console, unless that is current. `npm start` serves it
 * from there; the build of the executable embeds it. Names of scripts and styles have a hash of what is in them.
 */
const root = join(import.meta.dir, "..");
const source = join(root, "src/console");
/** Written last: the hash of the sources. */
const STAMP = join(CONSOLE_FOLDER, ".built-from");

const WORKERS = ["highlight/highlight.worker.ts"];
const OPTIONS = {
  minify: true,
  target: "browser",
  publicPath: "/console/",
  define: { "process.env.NODE_ENV": '"production"' },
  naming: { entry: "[name]-[hash].[ext]", chunk: "[name]-[hash].[ext]", asset: "[name]-[hash].[ext]" },
} as const;

export async function buildConsole(): Promise<void> {
  await withSdkSources(async () => {
    const wanted = await hashOfSources();
    if ((await readFile(STAMP, "utf8").catch(() => "")) === wanted) return;
    await rm(CONSOLE_FOLDER, { recursive: true, force: true });
    await mkdir(CONSOLE_FOLDER, { recursive: true });
    await bundle("index.html", { splitting: true });
    await preloadMain();
    // Bun's bundler does not follow `new Worker(…)`. The page knows these by their names, so that they have no hash.
    await cp(join(source, "static"), CONSOLE_FOLDER, { recursive: true });
    for (const worker of WORKERS) await bundle(worker, { naming: "[name].[ext]" });
    await Bun.write(STAMP, wanted);
  });
}

async function bundle(entry: string, options: Partial<Bun.BuildConfig>): Promise<void> {
  const { outputs } = await Bun.build({ ...OPTIONS, entrypoints: [join(source, entry)], ...options });
  for (const output of outputs) {
    const name = output.path.replace(/^.*[\\/]/, "").replace(/^.*\.html$/, "index.html");
    await Bun.write(join(CONSOLE_FOLDER, name), output);
  }
}

/** The page's script is imported by the first one: the browser fetches both at once. */
async function preloadMain(): Promise<void> {
  const [main, ...others] = await Array.fromAsync(new Bun.Glob("main-*.js").scan(CONSOLE_FOLDER));
  if (main === undefined || others.length > 0) throw new Error("There is not one bundle of main.tsx");
  const page = join(CONSOLE_FOLDER, "index.html");
  const link = `<link rel="modulepreload" href="${OPTIONS.publicPath}${main}">`;
  await Bun.write(page, (await readFile(page, "utf8")).replace("</head>", `${link}</head>`));
}

/** Of everything that the bundle is made of. */
async function hashOfSources(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for (const folder of [source, join(sdk, "src")]) {
    const files = await Array.fromAsync(new Bun.Glob("**").scan({ cwd: folder, dot: true }));
    for (const file of files.sort()) hash.update(`\0${file}\0`).update(await readFile(join(folder, file)));
  }
  for (const file of ["bun.lock", ".ci/console.ts"]) hash.update(await readFile(join(root, file)));
  return hash.digest("hex");
}

if (import.meta.main) await buildConsole();
