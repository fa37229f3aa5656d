import { afterAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readConfig } from "../../src/config/config.ts";
import { problemsOf } from "./problems.ts";

const folder = mkdtempSync(join(tmpdir(), "pb-secrets-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string, mode = 0o600) => {
  const path = join(folder, name);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
};

describe("secrets from files", () => {
  test("X_FILE names a file, whose content is trimmed; readable by all is what containers mount", () => {
    const config = readConfig({
      GITHUB_TOKEN_FILE: file("github", "ghp_from-file\n"),
      DATABASE_URL_FILE: file("database", "  postgres://u:pass-in-file@h/d\n\n", 0o444),
      HOST: "127.0.0.1",
    });
    expect(config.forgeSettings.githubToken?.reveal()).toBe("ghp_from-file");
    expect(config.databaseUrl?.reveal()).toBe("postgres://u:pass-in-file@h/d");
  });

  test("systemd's credentials are found by their name, in upper or lower case", () => {
    const credentials = join(folder, "credentials");
    mkdirSync(credentials);
    writeFileSync(join(credentials, "webhook_secret"), "a-webhook-secret\n", { mode: 0o400 });
    writeFileSync(join(credentials, "ANTHROPIC_API_KEY"), "sk-ant-1", { mode: 0o400 });
    const config = readConfig({ CREDENTIALS_DIRECTORY: credentials });
    expect(config.webhookSecret?.reveal()).toBe("a-webhook-secret");
    expect(config.anthropicApiKey?.reveal()).toBe("sk-ant-1");
    expect(problemsOf({ CREDENTIALS_DIRECTORY: credentials, WEBHOOK_SECRET: "x".repeat(16) })).toEqual([
      "  WEBHOOK_SECRET: is given by WEBHOOK_SECRET and by the credential webhook_secret; keep one of them (config_secret_file)",
    ]);
    expect(readConfig({ CREDENTIALS_DIRECTORY: "/nonexistent" }).webhookSecret).toBeUndefined();
  });

  test.each<[string, () => Record<string, string>, RegExp]>([
    [
      "both",
      () => ({ GITHUB_TOKEN: "ghp_1", GITHUB_TOKEN_FILE: file("both", "ghp_2") }),
      /by GITHUB_TOKEN and by/,
    ],
    ["missing", () => ({ GITHUB_TOKEN_FILE: join(folder, "missing") }), /cannot be read.*ENOENT/],
    ["a folder", () => ({ GITHUB_TOKEN_FILE: folder }), /not a file/],
    ["a device without end", () => ({ GITHUB_TOKEN_FILE: "/dev/zero" }), /not a file/],
    [
      "a FIFO that nobody writes to",
      () => {
        execFileSync("mkfifo", [join(folder, "fifo")]);
        return { GITHUB_TOKEN_FILE: join(folder, "fifo") };
      },
      /not a file/,
    ],
    ["too large", () => ({ GITHUB_TOKEN_FILE: file("large", "x".repeat(70_000)) }), /more than 65536 bytes/],
    ["empty", () => ({ GITHUB_TOKEN_FILE: file("empty", "\n") }), /is empty/],
    [
      "for all to change",
      () => ({ GITHUB_TOKEN_FILE: file("open", "ghp_secret-x", 0o666) }),
      /every user can change/,
    ],
    ["two lines", () => ({ GITHUB_TOKEN_FILE: file("lines", "ghp_secret-y\nz") }), /white space/],
  ])("a file that is %s is a mistake of its variable, and is not printed", (_what, env, problem) => {
    const problems = problemsOf(env());
    expect(problems).toEqual([expect.stringMatching(problem)]);
    expect(problems[0]).toStartWith("  GITHUB_TOKEN: ");
    expect(problems[0]).not.toMatch(/secret-[xy]|ghp_[12]/);
  });
});

// Whoever could read /proc/<pid>/environ of the service, such as its own agents without isolation, had all its keys.
test.skipIf(process.platform !== "linux")(
  "attack: the environment of the running process, and of its children, has no secret once it was read",
  async () => {
    const program = `
      const { readConfig, forgetSecrets } = await import(${JSON.stringify(resolve(import.meta.dir, "../../src/config/config.ts"))});
      const config = readConfig();
      const forgotten = forgetSecrets();
      const child = Bun.spawnSync(["cat", "/proc/self/environ"], { env: process.env }).stdout.toString();
      const shown = require("node:fs").readFileSync("/proc/self/environ", "latin1");
      const fromFile = config.anthropicApiKey.reveal();
      process.stdout.write(JSON.stringify({ forgotten, child, shown, fromFile, kept: config.forgeSettings.githubToken.reveal(), url: config.databaseUrl.reveal() }));`;
    const secrets = {
      GITHUB_TOKEN: "ghp_in-the-environment",
      DATABASE_URL: "postgres://u:pw-in-the-environment@127.0.0.1/d",
      REDIS_URL: "redis://:pw-in-the-environment@127.0.0.1",
      WEBHOOK_SECRET: "whs-in-the-environment",
      METRICS_TOKEN: "mt-in-the-environment",
    };
    const env = {
      PATH: process.env["PATH"] ?? "",
      BEFORE: "1",
      HOST: "127.0.0.1",
      ...secrets,
      AFTER: "kept=too",
      ANTHROPIC_API_KEY_FILE: file("anthropic", "sk-ant-never-in-the-environment"),
    };
    const child = Bun.spawn([process.execPath, "-e", program], { env, stdout: "pipe", stderr: "pipe" });
    const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(errors).toBe("");
    const seen = JSON.parse(text);
    expect([seen.kept, seen.url]).toEqual([secrets.GITHUB_TOKEN, secrets.DATABASE_URL]);
    expect(seen.fromFile).toBe("sk-ant-never-in-the-environment");
    expect(seen.forgotten.overwritten).toBe(true);
    expect(seen.forgotten.names.toSorted()).toEqual(Object.keys(secrets).toSorted());
    for (const shown of [seen.shown, seen.child]) {
      expect(shown).not.toContain("in-the-environment");
      expect(shown).toContain("BEFORE=1");
      expect(shown).toContain("AFTER=kept=too");
    }
    // The control: the same process shows them before.
    const bare = Bun.spawnSync(
      [process.execPath, "-e", "process.stdout.write(require('fs').readFileSync('/proc/self/environ'))"],
      { env },
    );
    expect(bare.stdout.toString()).toContain("ghp_in-the-environment");
  },
);

test.skipIf(process.platform !== "linux")(
  "the command line forgets them, too",
  async () => {
    const main = resolve(import.meta.dir, "../../src/main.ts");
    const child = Bun.spawn([process.execPath, main, "server", "--with-bg-tasks"], {
      env: {
        PATH: process.env["PATH"] ?? "",
        DATA_DIR: join(folder, "data"),
        PORT: "0",
        METRICS_TOKEN: "mt-in-the-environment",
      },
      stdout: "pipe",
      stderr: "ignore",
    });
    try {
      for await (const chunk of child.stdout) if (Buffer.from(chunk).includes("listens on")) break;
      const shown = readFileSync(`/proc/${child.pid}/environ`, "latin1");
      expect(shown).toContain("DATA_DIR=");
      expect(shown).not.toContain("in-the-environment");
    } finally {
      child.kill("SIGTERM");
      await child.exited;
    }
  },
  60_000,
);
