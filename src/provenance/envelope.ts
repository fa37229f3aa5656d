import { type KeyObject, verify } from "node:crypto";
import { type Static, Type as t } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { keyIdOf, type SigningKey } from "./key.ts";

/** DSSE, https://github.com/secure-systems-lab/dsse: the payload is signed as bytes, so that nothing has to be canonical. */

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const MAX_SIGNATURES = 10;
const exact = { additionalProperties: false };

export const Envelope = t.Object(
  {
    payloadType: t.String({ maxLength: 200, examples: [PAYLOAD_TYPE] }),
    payload: t.String({
      description: "The in-toto statement, in base64",
      examples: ["eyJfdHlwZSI6Imh0dHBzOi8v…"],
    }),
    signatures: t.Array(
      t.Object(
        {
          keyid: t.String({
            maxLength: 200,
            description: "SHA-256 of the public key",
            examples: ["4a0d9a1b7c0f3d2e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b"],
          }),
          sig: t.String({ maxLength: 200, description: "Ed25519, in base64", examples: ["MEUCIQDk…"] }),
        },
        exact,
      ),
      { minItems: 1, maxItems: MAX_SIGNATURES },
    ),
  },
  { ...exact, description: "A DSSE envelope with an in-toto statement" },
);

/** What is signed: PAE(type, payload) of the DSSE protocol. */
const preAuthEncoding = (payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `), payload]);

/** @returns the envelope's JSON. */
export function sealEnvelope(payload: string, key: SigningKey): string {
  const bytes = Buffer.from(payload);
  const envelope: Static<typeof Envelope> = {
    payloadType: PAYLOAD_TYPE,
    payload: bytes.toString("base64"),
    signatures: [{ keyid: key.id, sig: Buffer.from(key.sign(preAuthEncoding(bytes))).toString("base64") }],
  };
  return JSON.stringify(envelope);
}

/** Why something is not verified: a sentence without its subject, which is the file. */
export class NotVerified extends Error {
  override readonly name = "NotVerified";
}

/** @returns the payload. @throws NotVerified unless this key has signed it. */
export function openEnvelope(text: string, key: KeyObject): string {
  const envelope = parsed(text);
  if (!Value.Check(Envelope, envelope)) throw new NotVerified("is not a DSSE envelope");
  const { payloadType, signatures } = envelope;
  if (payloadType !== PAYLOAD_TYPE)
    throw new NotVerified(`has a payload of type ${JSON.stringify(payloadType)}, not ${PAYLOAD_TYPE}`);
  const id = keyIdOf(key);
  const own = signatures.find(({ keyid }) => keyid === id);
  if (!own) {
    const others = signatures.map(({ keyid }) => JSON.stringify(keyid)).join(", ");
    throw new NotVerified(`is signed with another key (${others}) than the given one (${id})`);
  }
  const payload = decoded(envelope.payload, "payload");
  if (!verify(null, preAuthEncoding(payload), key, decoded(own.sig, "signature")))
    throw new NotVerified("was changed after it was signed: its signature does not match");
  return payload.toString("utf8");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new NotVerified("is not a DSSE envelope: it is not JSON");
  }
}

/** Exactly what base64 makes of some bytes: Buffer ignores what it does not know, and bits that are left over. */
function decoded(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw new NotVerified(`is damaged: its ${what} is not base64`);
  return bytes;
}
