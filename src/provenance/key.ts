import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { openPrivateFile, readPrivateFile } from "../shared/private-file.ts";
import type { Secret } from "../shared/secret.ts";

const KEY_FILE = "provenance.key";

/** The Ed25519 key that signs what this deployment states about its runs. */
export interface SigningKey {
  /** See keyIdOf. */
  readonly id: string;
  /** PEM. */
  readonly publicKey: string;
  sign(data: Uint8Array): Uint8Array;
}

interface KeySources {
  dataDir: string;
  /** Takes precedence over the key of DATA_DIR. */
  provenanceKey?: Secret | undefined;
}

/**
 * The configured key, or that of DATA_DIR, which is generated on first use. All processes on the directory get the same one,
 * also when they open it at the same time.
 * @throws OperatorError when it can be neither read nor created.
 */
export function openSigningKey(sources: KeySources): SigningKey {
  const make = () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    return String(privateKey.export({ type: "pkcs8", format: "pem" }));
  };
  return keyOf(sources, (file) => {
    mkdirSync(sources.dataDir, { recursive: true, mode: 0o700 });
    return openPrivateFile(file, make);
  });
}

/** The same, but creates nothing. Undefined: there is none yet. @throws OperatorError when it cannot be read. */
export const findSigningKey = (sources: KeySources): SigningKey | undefined =>
  keyOf(sources, readPrivateFile);

/** Hexadecimal SHA-256 of a public key (DER, SubjectPublicKeyInfo). */
export const keyIdOf = (key: KeyObject): string =>
  createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex");

function keyOf<Text extends string | undefined>(
  { dataDir, provenanceKey }: KeySources,
  read: (file: string) => Text,
): SigningKey | Exclude<Text, string> {
  if (provenanceKey) return signingKey(createPrivateKey(provenanceKey.reveal()));
  const file = join(dataDir, KEY_FILE);
  let text: Text;
  try {
    text = read(file);
  } catch (error) {
    throw new OperatorError(
      `The key of provenance ${file} cannot be used: ${messageOf(error)}. Check that this user owns DATA_DIR and can write to it, or set PROVENANCE_KEY.`,
      1,
      { cause: error },
    );
  }
  if (text === undefined) return undefined as Exclude<Text, string>;
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType !== "ed25519") throw new Error("it is not an Ed25519 key");
    return signingKey(key);
  } catch (error) {
    throw new OperatorError(
      `The key of provenance ${file} is damaged. Restore it, or delete it: a new one is generated, and what was signed so far is verified with the old public key.`,
      1,
      { cause: error },
    );
  }
}

function signingKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey);
  return {
    id: keyIdOf(publicKey),
    publicKey: String(publicKey.export({ type: "spki", format: "pem" })),
    sign: (data) => sign(null, data, privateKey),
  };
}
