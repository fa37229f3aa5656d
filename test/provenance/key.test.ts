import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProvenanceKey } from "../../src/cli/provenance-key.ts";
import { readConfig } from "../../src/config/config.ts";
import { findSigningKey, openSigningKey } from "../../src/provenance/key.ts";
import { Secret } from "../../src/shared/secret.ts";

let root: string;
let dataDir: string;
let file: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "provenance-key-"));
  dataDir = join(root, "data");
  file = join(dataDir, "provenance.key");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("the key of DATA_DIR is made once, private, and leaves no draft behind", () => {
  expect(findSigningKey({ dataDir })).toBeUndefined();
  const key = openSigningKey({ dataDir });
  expect(readdirSync(dataDir)).toEqual(["provenance.key"]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  chmodSync(file, 0o644);
  expect(openSigningKey({ dataDir }).id).toBe(key.id);
  expect(findSigningKey({ dataDir })?.publicKey).toBe(key.publicKey);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const publicKey = createPublicKey(key.publicKey);
  expect(publicKey.asymmetricKeyType).toBe("ed25519");
  expect(verify(null, Buffer.from("x"), publicKey, key.sign(Buffer.from("x")))).toBe(true);
  const der = publicKey.export({ type: "spki", format: "der" });
  expect(key.id).toBe(createHash("sha256").update(der).digest("hex"));
});

test("processes that open it at the same time get the same key", async () => {
  const program = `
    const { openSigningKey } = await import(${JSON.stringify(join(import.meta.dir, "../../src/provenance/key.ts"))});
    process.stdout.write("ready\\n");
    for await (const _ of process.stdin) break;
    process.stdout.write(openSigningKey({ dataDir: ${JSON.stringify(dataDir)} }).id);
    process.exit(0);`;
  const racers = Array.from({ length: 4 }, () =>
    Bun.spawn([process.execPath, "-e", program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" }),
  );
  const outputs = racers.map((one) => one.stdout.getReader());
  for (const output of outputs) await output.read();
  for (const { stdin } of racers) {
    stdin.write("go\n");
    stdin.flush();
  }
  const ids = await Promise.all(
    outputs.map(async (one) => new TextDecoder().decode((await one.read()).value)),
  );
  await Promise.all(racers.map((one) => one.exited));
  expect(new Set(ids)).toEqual(new Set([openSigningKey({ dataDir }).id]));
  expect(readdirSync(dataDir)).toEqual(["provenance.key"]);
}, 20_000);

test("a damaged key is reported, and not replaced", () => {
  openSigningKey({ dataDir });
  const half = readFileSync(file, "utf8").slice(0, 60);
  writeFileSync(file, half);
  for (const open of [openSigningKey, findSigningKey])
    expect(() => open({ dataDir })).toThrow(/provenance\.key is damaged\. Restore it, or delete it/);
  expect(readFileSync(file, "utf8")).toBe(half);
  writeFileSync(file, pemOf("x25519"));
  expect(() => openSigningKey({ dataDir })).toThrow(/is damaged/);
  rmSync(file);
  writeFileSync(join(root, "file"), "");
  expect(() => openSigningKey({ dataDir: join(root, "file") })).toThrow(/cannot be used: .*PROVENANCE_KEY/);
});

const pemOf = (type: "ed25519" | "x25519") =>
  String(generateKeyPairSync(type as "ed25519").privateKey.export({ type: "pkcs8", format: "pem" }));

describe("PROVENANCE_KEY", () => {
  test("takes precedence, and nothing is written", () => {
    const provenanceKey = new Secret(pemOf("ed25519"));
    expect(openSigningKey({ dataDir, provenanceKey }).id).toBe(
      findSigningKey({ dataDir, provenanceKey })?.id ?? "",
    );
    expect(() => readdirSync(dataDir)).toThrow();
  });

  test("may be one line, as some platforms want variables, or a file", () => {
    const pem = pemOf("ed25519");
    const { id } = openSigningKey({ dataDir, provenanceKey: new Secret(pem) });
    const secrets = join(root, "secret");
    writeFileSync(secrets, pem);
    for (const env of [
      { PROVENANCE_KEY: pem },
      { PROVENANCE_KEY: pem.replaceAll("\n", "\\n") },
      { PROVENANCE_KEY_FILE: secrets },
    ])
      expect(openSigningKey(readConfig({ DATA_DIR: dataDir, ...env })).id).toBe(id);
  });

  test.each([
    ["text", "hello"],
    ["a key of another kind", pemOf("x25519")],
    [
      "a public key",
      openSigningKey({ dataDir: "/nonexistent", provenanceKey: new Secret(pemOf("ed25519")) }).publicKey,
    ],
  ])("%s is refused, without its text", (_, value) => {
    const read = () => readConfig({ DATA_DIR: dataDir, PROVENANCE_KEY: value });
    expect(read).toThrow(/PROVENANCE_KEY: must be an Ed25519 private key in PEM .*\(config_invalid_key\)/);
    expect(read).not.toThrow(value.slice(0, 40));
  });
});

test("the command prints the public key alone, and creates none", () => {
  const out: string[] = [];
  const print = () =>
    runProvenanceKey({
      config: { dataDir, provenanceKey: undefined },
      stdout: { write: (text) => out.push(text) },
      stderr: { write: () => undefined },
    });
  expect(print).toThrow(/a worker makes it when it starts; or set PROVENANCE_KEY/);
  expect(() => readdirSync(dataDir)).toThrow();
  const { publicKey } = openSigningKey({ dataDir });
  print();
  expect(out).toEqual([publicKey]);
});
