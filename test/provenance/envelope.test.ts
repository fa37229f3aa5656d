import { expect, test } from "bun:test";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { dsse, crypto as sigstore } from "@sigstore/core";
import { NotVerified, openEnvelope, sealEnvelope } from "../../src/provenance/envelope.ts";
import { openSigningKey, type SigningKey } from "../../src/provenance/key.ts";
import { Secret } from "../../src/shared/secret.ts";

const newKey = (): SigningKey => {
  const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  return openSigningKey({ dataDir: "/nonexistent", provenanceKey: new Secret(String(pem)) });
};
const key = newKey();
const publicKey = createPublicKey(key.publicKey);
const PAYLOAD = '{"_type":"a statement, ünïcode"}';
const SEALED = sealEnvelope(PAYLOAD, key);
const open = (text: string) => openEnvelope(text, publicKey);
/** The reason why it is not verified. */
const refusal = (text: string): string => {
  try {
    return `verified: ${open(text)}`;
  } catch (error) {
    if (error instanceof NotVerified) return error.message;
    throw error;
  }
};
const changed = (change: (envelope: ReturnType<typeof parsed>) => void): string => {
  const envelope = parsed();
  change(envelope);
  return JSON.stringify(envelope);
};
const parsed = () =>
  JSON.parse(SEALED) as {
    payloadType: string;
    payload: string;
    signatures: { keyid: string; sig: string }[];
  };

test("what was sealed is opened", () => {
  expect(open(SEALED)).toBe(PAYLOAD);
});

test("a library of others verifies it by the standard alone", () => {
  const { payloadType, payload, signatures } = parsed();
  expect(payloadType).toBe("application/vnd.in-toto+json");
  const verified = (bytes: Buffer) =>
    sigstore.verify(
      dsse.preAuthEncoding(payloadType, bytes),
      sigstore.createPublicKey(key.publicKey),
      Buffer.from(signatures[0]?.sig ?? "", "base64"),
    );
  const bytes = Buffer.from(payload, "base64");
  expect(verified(bytes)).toBe(true);
  expect(verified(Buffer.from(`${bytes} `))).toBe(false);
});

test("each changed bit of the envelope is noticed", () => {
  const bytes = Buffer.from(SEALED);
  for (let at = 0; at < bytes.length; at += 1)
    for (let bit = 0; bit < 8; bit += 1) {
      const other = Buffer.from(bytes);
      other[at] = (other[at] ?? 0) ^ (1 << bit);
      expect(`${at}/${bit}: ${refusal(other.toString("latin1"))}`).not.toContain("verified:");
    }
});

test.each(["payload", "signature"])("each changed byte of the %s itself is noticed", (part) => {
  const original = Buffer.from(
    part === "payload" ? parsed().payload : (parsed().signatures[0]?.sig ?? ""),
    "base64",
  );
  expect(original.length).toBeGreaterThan(30);
  for (let at = 0; at < original.length; at += 1) {
    const other = Buffer.from(original);
    other[at] = (other[at] ?? 0) ^ 0xff;
    const text = changed((envelope) => {
      const base64 = other.toString("base64");
      if (part === "payload") envelope.payload = base64;
      else for (const one of envelope.signatures) one.sig = base64;
    });
    expect(refusal(text)).toBe("was changed after it was signed: its signature does not match");
  }
});

test.each([
  [
    "another key",
    sealEnvelope(PAYLOAD, newKey()),
    /^is signed with another key \("[0-9a-f]{64}"\) than the given one/,
  ],
  [
    "another key under the id of this one",
    sealEnvelope(PAYLOAD, { ...newKey(), id: key.id }),
    /signature does not match$/,
  ],
  [
    "another type",
    changed((one) => {
      one.payloadType = "text/plain";
    }),
    /^has a payload of type "text\/plain", not/,
  ],
  [
    "no signature",
    changed((one) => {
      one.signatures = [];
    }),
    /^is not a DSSE envelope$/,
  ],
  [
    "a signature that is cut",
    changed((one) => {
      for (const s of one.signatures) s.sig = s.sig.slice(0, 40);
    }),
    /signature/,
  ],
  ["a field more", JSON.stringify({ ...parsed(), more: 1 }), /^is not a DSSE envelope$/],
  [
    "other bits behind the last byte",
    changed((one) => {
      for (const s of one.signatures) s.sig = nextLast(s.sig);
    }),
    /^is damaged: its signature is not base64$/,
  ],
  [
    "base64 of URLs",
    changed((one) => {
      one.payload = one.payload.replace("=", "-");
    }),
    /^is damaged: its payload is not base64$/,
  ],
  ["JSON", "[]", /^is not a DSSE envelope$/],
  ["text", "hello", /^is not a DSSE envelope: it is not JSON$/],
  ["nothing", "", /^is not a DSSE envelope: it is not JSON$/],
])("%s is refused, with the reason", (_, text, reason) => {
  expect(refusal(text)).toMatch(reason);
});

/** The same bytes for Buffer, which ignores the bits behind them. */
function nextLast(base64: string): string {
  const [, start = "", last = "", padding = ""] = /^(.*)(.)(==)$/.exec(base64) ?? [];
  const other = `${start}${String.fromCharCode(last.charCodeAt(0) + 1)}${padding}`;
  expect(Buffer.from(other, "base64").equals(Buffer.from(base64, "base64"))).toBe(true);
  return other;
}
