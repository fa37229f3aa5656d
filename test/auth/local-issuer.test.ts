import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { openLocalIssuer } from "../../src/auth/local-issuer.ts";
import { createVerifier } from "../../src/auth/verify.ts";
import { runToken } from "../../src/cli/token.ts";
import type { AuthConfig } from "../../src/config/config.ts";
import { AUDIENCE, refusal } from "./issuer.ts";

let root: string;
let dataDir: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "local-issuer-"));
  dataDir = join(root, "data");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const open = (audience = AUDIENCE) => openLocalIssuer({ dataDir, audience });

test("the local verifier accepts what it issues", async () => {
  const token = await open().issue({ user: "Zoë Ω", roles: ["admin", "admin", "reader"] });
  const user = await createVerifier({ config: { mode: "local", audience: AUDIENCE }, dataDir }).verify(token);
  const days = (user.expiresAt - Date.now()) / 86_400_000;
  expect(user).toMatchObject({ id: "Zoë Ω", roles: ["admin", "reader"] });
  expect(days).toBeGreaterThan(29.99);
  expect(days).toBeLessThanOrEqual(30);
  expect(decodeProtectedHeader(token).alg).toBe("HS256");
  expect(decodeJwt(token)).toMatchObject({ iss: "prompt-backend-local", aud: AUDIENCE, sub: "Zoë Ω" });
});

test("the key is private, persistent, and leaves no draft behind", async () => {
  const issuer = open();
  const file = issuer.keyFile;
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const token = await issuer.issue({ user: "a", roles: [] });
  expect((await open().verify(token)).id).toBe("a");
  expect(readdirSync(dataDir)).toEqual(["local-issuer.key"]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  chmodSync(file, 0o644);
  open();
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("processes that open it at the same time get the same key", async () => {
  const program = `
    const { openLocalIssuer } = await import(${JSON.stringify(join(import.meta.dir, "../../src/auth/local-issuer.ts"))});
    process.stdout.write("ready\\n");
    for await (const _ of process.stdin) break;
    const issuer = openLocalIssuer({ dataDir: ${JSON.stringify(dataDir)}, audience: "${AUDIENCE}" });
    process.stdout.write(await issuer.issue({ user: "racer", roles: [] }));
    process.exit(0);`;
  const racers = Array.from({ length: 4 }, () =>
    Bun.spawn([process.execPath, "-e", program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" }),
  );
  const outputs = racers.map((one) => one.stdout.getReader());
  for (const output of outputs) await output.read();
  for (const racer of racers) {
    racer.stdin.write("go\n");
    racer.stdin.flush();
  }
  const issuer = open();
  for (const output of outputs) {
    const token = new TextDecoder().decode((await output.read()).value);
    expect((await issuer.verify(token)).id).toBe("racer");
  }
  await Promise.all(racers.map((one) => one.exited));
  expect(readdirSync(dataDir)).toEqual(["local-issuer.key"]);
}, 20_000);

test("refuses another algorithm, issuer or audience under its own key, and expired tokens", async () => {
  const issuer = open();
  const secret = Buffer.from(readFileSync(issuer.keyFile, "utf8").trim(), "hex");
  const sign = (alg: string, claims: Record<string, unknown> = {}) =>
    new SignJWT({
      iss: "prompt-backend-local",
      aud: AUDIENCE,
      sub: "a",
      exp: Date.now() / 1000 + 60,
      ...claims,
    })
      .setProtectedHeader({ alg })
      .sign(secret);
  expect((await issuer.verify(await sign("HS256"))).id).toBe("a");
  const message = async (token: Promise<string> | string) =>
    (await refusal(issuer.verify(await token))).message;
  expect(await message(sign("HS512"))).toContain("algorithm");
  expect(await message(sign("HS384"))).toContain("algorithm");
  expect(await message(sign("HS256", { iss: "prompt-backend" }))).toContain("another issuer");
  expect(await message(sign("HS256", { aud: "other" }))).toContain("another audience");
  expect(await message(sign("HS256", { exp: Date.now() / 1000 - 60 }))).toContain("expired");
  expect(await message(sign("HS256", { exp: undefined }))).toContain('"exp"');
  const elsewhere = openLocalIssuer({ dataDir: join(root, "other"), audience: AUDIENCE });
  expect(await message(elsewhere.issue({ user: "a", roles: [] }))).toContain("signature");
});

test.each(["", "  ", "a\nb", "a\0b", "\u001b[31m", " a", "x".repeat(201), "\ud800"])(
  "refuses the name %j",
  async (name) => {
    const issuer = open();
    await expect(issuer.issue({ user: name, roles: [] })).rejects.toMatchObject({
      name: "OperatorError",
      exitCode: 2,
    });
    await expect(issuer.issue({ user: "a", roles: [name] })).rejects.toMatchObject({ name: "OperatorError" });
  },
);

test("a damaged key is reported, and not replaced", () => {
  const file = open().keyFile;
  for (const text of ["", "ab12\n", "z".repeat(64)]) {
    writeFileSync(file, text);
    expect(() => open()).toThrow(/damaged/);
    expect(readFileSync(file, "utf8")).toBe(text);
  }
});

test("a data directory that cannot be created is an operator's error", () => {
  writeFileSync(dataDir, "a file");
  expect(() => open()).toThrow(expect.objectContaining({ name: "OperatorError" }));
});

const run = async (auth: AuthConfig) => {
  const out: string[] = [];
  const note: string[] = [];
  await runToken({
    config: { auth, dataDir },
    user: "ann",
    roles: ["admin"],
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => note.push(text) },
  });
  return { out: out.join(""), note: note.join("") };
};

test("the token command prints only the token on stdout", async () => {
  const { out, note } = await run({ mode: "local", audience: AUDIENCE });
  expect(out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  expect(await open().verify(out.trim())).toMatchObject({ id: "ann", roles: ["admin"] });
  expect(note).toContain(open().keyFile);
  expect(note).not.toContain(out.trim());
});

test.each<[AuthConfig, RegExp]>([
  [{ mode: "none" }, /AUTH_MODE=local/],
  [
    {
      mode: "oidc",
      issuer: "https://sso.example.com",
      jwksUri: undefined,
      audience: AUDIENCE,
      tokenTypes: [],
      authorizedParties: undefined,
      client: undefined,
    },
    /sso\.example\.com/,
  ],
])("the token command refuses mode %j and creates no key", async (auth, sentence) => {
  await expect(run(auth)).rejects.toThrow(sentence);
  await expect(run(auth)).rejects.toMatchObject({ name: "OperatorError", exitCode: 1 });
  expect(readdirSync(root)).toEqual([]);
});
