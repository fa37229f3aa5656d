import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSecretKeys } from "../../src/projects/keys.ts";
import { Secret } from "../../src/shared/secret.ts";

const key = () => new Secret(randomBytes(32).toString("base64"));
const place = { projectId: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708", name: "TOKEN" };

test("a sealed value opens at its own place alone, and only as it was", () => {
  const keys = openSecretKeys({ dataDir: "/nowhere", secretsKeys: [key()] });
  const value = keys.seal(place, "päss");
  expect(Buffer.from(value.sealed).toString("latin1")).not.toContain("ss");
  expect(keys.open(place, value)).toBe("päss");
  expect(keys.seal(place, "päss").sealed).not.toEqual(value.sealed);
  for (const other of [
    { ...place, name: "OTHER" },
    { ...place, projectId: "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f709" },
  ])
    expect(() => keys.open(other, value)).toThrow("is another secret's");
  const changed = Uint8Array.from(value.sealed);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  expect(() => keys.open(place, { ...value, sealed: changed })).toThrow("was changed");
  expect(() => keys.open(place, { ...value, sealed: value.sealed.slice(0, 20) })).toThrow("cannot be opened");
});

test("the first key seals, all of them open; without it, the message names SECRETS_KEY", () => {
  const [old, fresh] = [key(), key()];
  const before = openSecretKeys({ dataDir: "/nowhere", secretsKeys: [old] });
  const value = before.seal(place, "value");
  const both = openSecretKeys({ dataDir: "/nowhere", secretsKeys: [fresh, old] });
  expect(both.open(place, value)).toBe("value");
  expect(both.current()).not.toBe(before.current());
  expect(both.seal(place, "value").keyId).toBe(both.current() ?? "");
  const after = openSecretKeys({ dataDir: "/nowhere", secretsKeys: [fresh] });
  expect(after.has(value.keyId)).toBe(false);
  expect(() => after.open(place, value)).toThrow(/does not have.*SECRETS_KEY/);
});

test("without SECRETS_KEY the key is a file that its owner alone reads, made with the first secret", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "pb-keys-"));
  try {
    const options = { dataDir, secretsKeys: undefined };
    const [one, other] = [openSecretKeys(options), openSecretKeys(options)];
    expect(one.current()).toBeUndefined();
    const value = one.seal(place, "value");
    expect((await stat(join(dataDir, "secrets.key"))).mode & 0o777).toBe(0o600);
    expect(other.open(place, value)).toBe("value");
    await Bun.write(join(dataDir, "secrets.key"), "damaged");
    expect(() => openSecretKeys(options).current()).toThrow("is damaged");
  } finally {
    await rm(dataDir, { recursive: true });
  }
});
