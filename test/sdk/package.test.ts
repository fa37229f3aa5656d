import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type InstalledSdk, installedSdk, SDK } from "./installed-sdk.ts";

const ROOT = resolve(import.meta.dir, "../..");
const NAME = "prompt-backend-client";
const DOCUMENTS = [
  "README.md",
  "CONTRIBUTING.md",
  "sdk/README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
/** Figures in README.md may be off by so much. */
const TOLERANCE = 0.1;

describe("the package of the SDK", () => {
  let sdk: InstalledSdk;
  beforeAll(async () => {
    sdk = await installedSdk();
  }, 240_000);
  afterAll(() => sdk?.remove());

  const tsc = async (options: Record<string, unknown>, files: Record<string, string>) => {
    const folder = join(sdk.project, `types-${Bun.randomUUIDv7()}`);
    for (const [name, text] of Object.entries(files)) await Bun.write(join(folder, name), text);
    const compilerOptions = {
      ...{ noEmit: true, strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true },
      ...{
        target: "ES2022",
        module: "NodeNext",
        lib: ["ES2022"],
        types: [],
        skipLibCheck: false,
        ...options,
      },
      typeRoots: [join(SDK, "node_modules/@types")],
    };
    await Bun.write(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: Object.keys(files) }),
    );
    // The compiler of sdk/, an older one, takes several times as long.
    const program = join(ROOT, "node_modules/.bin/tsc");
    const { stdout } = await Bun.$`${program} --pretty false`.cwd(folder).nothrow().quiet();
    return stdout.toString();
  };

  test("has no dependencies, and what it is built with is pinned", async () => {
    const manifest = await Bun.file(join(sdk.project, "node_modules", NAME, "package.json")).json();
    const kinds = Object.keys(manifest).filter((key) => /dependencies/i.test(key));
    expect(kinds).toEqual(["devDependencies"]);
    for (const version of Object.values(manifest.devDependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    const { packages } = await Bun.file(join(sdk.project, "package-lock.json")).json();
    expect(Object.keys(packages)).toEqual(["", `node_modules/${NAME}`]);
  });

  test("has code, types, the OpenAPI document, README and license, and nothing else", () => {
    const others = sdk.files.filter((path) => !/^dist\/(esm|cjs)\/[\w./-]+\.(js|d\.ts)$/.test(path));
    expect(others.sort()).toEqual([
      "LICENSE",
      "README.md",
      "dist/cjs/package.json",
      "openapi.json",
      "package.json",
    ]);
    const code = (format: string) =>
      sdk.files
        .filter((path) => path.startsWith(`dist/${format}/`) && /\.(js|ts)$/.test(path))
        .map((path) => path.slice(9));
    expect(code("cjs").sort()).toEqual(code("esm").sort());
  });

  test("imports nothing but itself, so that browsers can load it", async () => {
    const transpiler = new Bun.Transpiler({ loader: "js" });
    for (const path of sdk.files.filter((one) => /\.js$/.test(one))) {
      const text = await Bun.file(join(SDK, path)).text();
      const imports = transpiler.scanImports(text).map((one) => one.path);
      expect([path, imports.filter((one) => !/^\.\.?\/.*\.js$/.test(one))]).toEqual([path, []]);
    }
  });

  test("publint and Are The Types Wrong find nothing, and README has its size", async () => {
    expect(sdk.report).toContain("publint and Are The Types Wrong find nothing\n");
    const figures = (text: string) => [...text.matchAll(/([\d.]+) kB/g)].map(([, figure]) => Number(figure));
    const measured = figures(/^size: .*$/m.exec(sdk.report)?.[0] ?? "");
    const [, section = ""] = /^## Size\n(.*)/ms.exec(await Bun.file(join(SDK, "README.md")).text()) ?? [];
    const written = figures(section);
    expect(measured).toHaveLength(4);
    const off = written.map((figure, index) => Math.abs(figure / (measured[index] ?? 0) - 1) > TOLERANCE);
    expect([written, measured, off]).toEqual([written, measured, measured.map(() => false)]);
  });

  test("an application gets only what it imports", async () => {
    const bundled = async (code: string) => {
      const entry = join(sdk.project, `${Bun.randomUUIDv7()}.mjs`);
      await Bun.write(entry, code);
      const { outputs } = await Bun.build({ entrypoints: [entry], minify: true });
      return (await outputs[0]?.text()) ?? "";
    };
    expect((await bundled(`import "${NAME}";`)).trim()).toBe("");
    const whole = await bundled(`import { PromptBackend } from "${NAME}"; globalThis.it = PromptBackend;`);
    expect(whole).toContain("/sessions/with-prompt");
    const errors = await bundled(`import { NotFoundError } from "${NAME}"; globalThis.it = NotFoundError;`);
    expect(errors).not.toContain("/sessions");
    expect(errors.length).toBeLessThan(whole.length / 4);
  });

  const USE = `const pb = new PromptBackend({ baseUrl: "http://127.0.0.1:8000", token: "" });
    export const title: Promise<string | null | undefined> = pb.sessions.retrieve("").then((session) => session.title);`;
  const ESM = `import { PromptBackend } from "${NAME}";\n${USE}`;
  test.each([
    ["Node.js, ESM", { types: ["node"] }, { "use.mts": ESM }],
    [
      "Node.js, CommonJS",
      { types: ["node"] },
      { "use.cts": `import sdk = require("${NAME}");\nconst { PromptBackend } = sdk;\n${USE}` },
    ],
    [
      "a browser",
      { lib: ["ES2022", "DOM"], module: "ESNext", moduleResolution: "bundler" },
      { "use.ts": ESM },
    ],
  ])(
    "%s: its types need no skipLibCheck",
    async (_name, options, files) => {
      expect(await tsc(options, files)).toBe("");
    },
    60_000,
  );

  test("every example in a document compiles, each as a module of its own", async () => {
    const blocks: Record<string, string> = {};
    for (const document of DOCUMENTS) {
      const text = await Bun.file(join(ROOT, document)).text();
      for (const [block, language, code = ""] of text.matchAll(/^ *```(\w+)\n(.*?)^ *```$/gms))
        if (["ts", "typescript"].includes(language ?? "") || code.includes(NAME)) {
          const line = text.slice(0, text.indexOf(block)).split("\n").length;
          blocks[`${document.replaceAll("/", "-")}-line-${line}.mts`] = code;
        }
    }
    expect(Object.keys(blocks).filter((name) => name.startsWith("sdk-README.md")).length).toBeGreaterThan(5);
    expect(await tsc({ types: ["node"] }, blocks)).toBe("");
  }, 60_000);
});
