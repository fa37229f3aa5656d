import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { readConfig, secretsOf, settingsOf } from "../../src/config/config.ts";
import { makeAppKey } from "../harness/app-key.ts";
import { runProgram } from "../harness/backend.ts";
import { type Env, problemsOf } from "./problems.ts";

const KEY = makeAppKey();
const HOST = { host: "git.example", kind: "gitea" };
const listed = (...entries: unknown[]): Env => ({ FORGES: JSON.stringify(entries) });

describe("FORGES is a secret", () => {
  const SECRET = "s3cr3t";

  test("no mistake quotes any of it", () => {
    const texts = [
      SECRET,
      `[${SECRET}`,
      JSON.stringify(SECRET),
      ...[
        SECRET,
        { [SECRET]: SECRET },
        { host: `${SECRET}@git.example`, kind: "gitea" },
        { host: `https://git.example/?${SECRET}`, kind: "gitea" },
        { host: `https://*${SECRET}`, kind: "gitea" },
        { host: `${SECRET}://git.example`, kind: "gitea" },
        { host: "git.example", kind: SECRET },
        { ...HOST, token: `${SECRET} x` },
        { ...HOST, token: [SECRET] },
        { ...HOST, token_file: `/${SECRET}` },
        { ...HOST, kind: "github", app_id: "1", private_key: SECRET },
        { ...HOST, token: SECRET, app_id: SECRET },
        { ...HOST, api_url: SECRET },
      ].map((entry) => JSON.stringify([entry])),
    ];
    for (const text of texts) {
      const problems = problemsOf({ FORGES: text });
      expect(problems).toHaveLength(1);
      expect(problems.join().toLowerCase()).not.toContain(SECRET);
    }
  });

  test("its tokens and keys are redacted, line by line, and the configuration does not show them", () => {
    const config = readConfig({
      ...listed(
        { ...HOST, token: "t-secret-1" },
        { host: "ghe.example", kind: "github", app_id: "1", private_key: KEY },
      ),
      GITHUB_TOKEN: "ghp-secret-2",
      GITLAB_TOKEN: "glpat-secret-3",
    });
    const lines = KEY.trim().split("\n").slice(1, -1);
    const secrets = secretsOf(config);
    for (const one of ["t-secret-1", "ghp-secret-2", "glpat-secret-3", ...lines])
      expect(secrets).toContain(one);
    expect(secrets).toHaveLength(new Set(secrets).size);
    expect(settingsOf(config)).toMatchObject({ FORGES: "***", GITHUB_TOKEN: "***", GITLAB_TOKEN: "***" });
    for (const text of [JSON.stringify(config), Bun.inspect(config), JSON.stringify(settingsOf(config))])
      for (const secret of secrets) expect(text).not.toContain(secret);
  });

  test("--help documents it and does not show it", async () => {
    const help = await runProgram(["--help"], {
      cwd: tmpdir(),
      env: listed({ ...HOST, token: "t-secret-1" }),
    });
    expect(help.stdout).toContain("FORGES");
    expect(help.stdout).not.toContain("t-secret-1");
  });
});
