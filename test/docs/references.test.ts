import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseArgs } from "../../src/cli/args.ts";
import { VARIABLES } from "../../src/config/variables/all.ts";
import { TASK_NAMES } from "../../src/tasks/names.ts";
import { ROOT, read } from "./guide.ts";

const DOCUMENTS = [
  "README.md",
  "CLAUDE.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "sdk/README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
/** A room or a file of src/, named without that folder: `runs/claim.ts`, `me/`. */
const ROOMS = readdirSync(join(ROOT, "src"), { withFileTypes: true })
  .filter((one) => one.isDirectory())
  .map(({ name }) => name);
const IN_SRC = new RegExp(`^(?:${ROOMS.join("|")})/[\\w./-]*$`);
/** Variables of shells, tests, the realm and the web UI, which documents may name too. */
const OTHER_VARIABLES = new Set([
  "ERROR_CODES",
  "TOKEN",
  // The secret of a project, in an example.
  "DEPLOY_TOKEN",
  "REPO",
  "UPDATE_OPENAPI",
  // The operator's program has it.
  "AGENT_MAX_TURNS",
  "UPDATE_ENV_EXAMPLE",
  "UPDATE_DOCS",
  "KEYCLOAK_BACKEND_CLIENT_SECRET",
  "KEYCLOAK_TEST_USER_PASSWORD",
  "VITE_OIDC_AUTHORITY",
  "VITE_OIDC_CLIENT_ID",
  "VITE_OIDC_REDIRECT_URI",
  "VITE_OIDC_SILENT_REDIRECT_URI",
  "VITE_OIDC_SCOPE",
  "VITE_BACKEND_URL",
  "VITE_DISABLE_AUTH",
]);

/** Routes that are not in the OpenAPI document. */
const OTHER_ROUTES = ["/openapi.json", "/metrics", "/swagger-ui/", "/rapidoc/", "/u"];

/** A document about other programs: their variables, and the routes that they call. */
const ABOUT_OTHERS = {
  document: "docs/AGENTS.md",
  variables:
    /^(?:CODEX|OPENCODE|GEMINI|GOOGLE|CLAUDE|XDG)_|^(?:OPENAI_API_KEY|MODEL_PROVIDER|INITIAL_AGENT_MODE|NO_BROWSER|IS_SANDBOX|DISABLE_AUTOUPDATER|AGENT_(?:PROGRAMS|MAILBOX|MODEL|INSTRUCTIONS|PROJECT_MCP_CONFIG))$/,
  routes: /^\/(?:v1|v1beta)(?:\/|$)|^\/(?:usr|tmp)$/,
};

/** Inline code, and the lines of shell blocks. */
const codeOf = (text: string) => [
  ...[...text.replace(/^ *```.*?^ *```$/gms, "").matchAll(/`([^`]+)`/g)].map(([, code = ""]) =>
    code.replace(/\s+/g, " "),
  ),
  ...[...text.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].flatMap(([, block = ""]) =>
    block.split("\n").map((line) => line.replace(/\s+#.*$/, "")),
  ),
];

describe.each(DOCUMENTS)("%s names existing", (path) => {
  const others = path === ABOUT_OTHERS.document ? ABOUT_OTHERS : undefined;
  const all = async () => {
    const text = await read(path);
    return { text, code: codeOf(text) };
  };

  test("files and links", async () => {
    const { text, code } = await all();
    const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, link = ""]) => link);
    for (const link of links.filter((one) => !/^[a-z]+:/.test(one)))
      expect([link, existsSync(join(ROOT, normalize(join(dirname(path), link))))]).toEqual([link, true]);
    for (const [, anchor = ""] of text.matchAll(/\]\(#([^)]+)\)/g)) {
      const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replace(/[^\w\s-]/g, "")
          .replace(/\s/g, "-"),
      );
      expect(anchors).toContain(anchor);
    }
    const files = code.flatMap((one) => [
      ...(one.match(/(?<![\w/.])(?:\.ci|src|test|docs|deploy|drizzle)\/[\w./-]*/g) ?? []),
      ...(IN_SRC.exec(one)
        ?.slice(0, 1)
        .map((path) => `src/${path}`) ?? []),
    ]);
    for (const file of files.filter((one) => !one.startsWith("test/some/")))
      expect([file, existsSync(join(ROOT, file)) || existsSync(join(ROOT, `${file}.md`))]).toEqual([
        file,
        true,
      ]);
  });

  test("commands, scripts, tasks and variables", async () => {
    const { code } = await all();
    const { scripts } = JSON.parse(await read("package.json")) as { scripts: Record<string, string> };
    const binaries = readdirSync(join(ROOT, "node_modules/.bin"));
    for (const one of code) {
      for (const [, name = ""] of one.matchAll(/(?:npm|bun) run ([\w:]+)/g))
        expect(Object.keys(scripts)).toContain(name);
      for (const [, name = ""] of one.matchAll(/bunx ([\w-]+)/g)) expect(binaries).toContain(name);
      const [, given] = /(?:^|\s|\/)prompt-backend((?: [^ |;&)"']+)*)/.exec(one) ?? [];
      const args = given?.replace(/\[.*/, "").trim().split(" ").filter(Boolean) ?? [];
      if (given !== undefined && args.every((arg) => /^[\w.=:-]+$/.test(arg)))
        expect([one, parsed(args)]).toEqual([one, "understood"]);
      for (const name of one.match(/\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b/g) ?? [])
        expect([
          name,
          name in VARIABLES || OTHER_VARIABLES.has(name) || others?.variables.test(name) === true,
        ]).toEqual([name, true]);
    }
  });

  test("routes", async () => {
    const { code } = await all();
    const { paths } = JSON.parse(await read("test/server/openapi/openapi.json")) as { paths: object };
    const known = Object.keys(paths).map((one) => new RegExp(`^${one.replace(/\{\w+\}/g, "[^/]+")}$`));
    for (const one of code)
      for (const [, route = ""] of one.matchAll(
        /(?:^(?:GET|POST|PUT|DELETE) |\$URL|^(?=\/))(\/[\w$/{}.-]+)/g,
      ))
        expect([
          route,
          OTHER_ROUTES.includes(route) ||
            known.some((pattern) => pattern.test(route)) ||
            others?.routes.test(route) === true,
        ]).toEqual([route, true]);
  });
});

test("CLAUDE.md names every room", async () => {
  const text = await read("CLAUDE.md");
  for (const room of ROOMS) expect(text).toContain(`${room}/`);
});

function parsed(args: readonly string[]): string {
  try {
    parseArgs(args, TASK_NAMES);
    return "understood";
  } catch (error) {
    return String(error);
  }
}
