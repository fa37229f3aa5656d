import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { messageOf, OperatorError } from "../shared/errors.ts";
import { openPrivateFile, readPrivateFile } from "../shared/private-file.ts";

const KEY_FILE = "secrets.key";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** Where a sealed value belongs: it opens nowhere else. */
export interface SecretPlace {
  projectId: string;
  name: string;
}

export interface Sealed {
  /** Nonce, tag and ciphertext. */
  sealed: Uint8Array;
  keyId: string;
}

/** The keys that secrets are sealed with: AES-256-GCM, each value bound to its project and its name. */
export interface SecretKeys {
  /** Of the key that seals. Undefined: there is none yet. */
  current(): string | undefined;
  /** Whether values that this key has sealed can be opened here. */
  has(keyId: string): boolean;
  /** @throws OperatorError when there is no key and none can be made. */
  seal(place: SecretPlace, value: string): Sealed;
  /** @throws KeyMissing; SealBroken: it was changed, or is another place's. */
  open(place: SecretPlace, value: Sealed): string;
}

/** `message` is for the user, and names no value. */
export class KeyMissing extends Error {
  override readonly name = "KeyMissing";
}
export class SealBroken extends Error {
  override readonly name = "SealBroken";
}

interface Key {
  id: string;
  bytes: Buffer;
}

/**
 * The keys of SECRETS_KEY, or that of DATA_DIR, which is made with the first secret. The file is read again while a key is
 * missing: another process on the directory may have made it.
 */
export function openSecretKeys({
  dataDir,
  secretsKeys,
}: Pick<Config, "dataDir" | "secretsKeys">): SecretKeys {
  const file = join(dataDir, KEY_FILE);
  let keys: Key[] = (secretsKeys ?? []).map((key) => keyOf(key.reveal()));
  const load = (read: (file: string) => string | undefined) => {
    if (secretsKeys || keys.length > 0) return;
    let text: string | undefined;
    try {
      text = read(file);
    } catch (error) {
      throw new OperatorError(
        `The key of secrets ${file} cannot be used: ${messageOf(error)}. Check that this user owns DATA_DIR and can write to it, or set SECRETS_KEY.`,
        1,
        { cause: error },
      );
    }
    if (text === undefined) return;
    const key = keyOf(text.trim());
    if (key.bytes.length !== KEY_BYTES)
      throw new OperatorError(
        `The key of secrets ${file} is damaged. Restore it, or delete it and store the secrets of all projects again.`,
      );
    keys = [key];
  };
  const make = (path: string) => {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    return openPrivateFile(path, () => `${randomBytes(KEY_BYTES).toString("base64")}\n`);
  };
  const find = (id: string) => {
    load(readPrivateFile);
    return keys.find((key) => key.id === id);
  };

  return {
    current() {
      load(readPrivateFile);
      return keys[0]?.id;
    },
    has: (keyId) => find(keyId) !== undefined,
    seal(place, value) {
      load(make);
      const [key] = keys;
      if (!key) throw new OperatorError("There is no key for secrets: set SECRETS_KEY.");
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key.bytes, nonce).setAAD(boundTo(place));
      const text = Buffer.concat([cipher.update(value, "utf8"), cipher.final()]);
      return { sealed: Buffer.concat([nonce, cipher.getAuthTag(), text]), keyId: key.id };
    },
    open(place, { sealed, keyId }) {
      const key = find(keyId);
      if (!key)
        throw new KeyMissing(
          `The secret ${place.name} of the project is sealed with a key that this machine does not have (${keyId}). Whoever runs the service has to give all machines one SECRETS_KEY.`,
        );
      const bytes = Buffer.from(sealed);
      try {
        const decipher = createDecipheriv(CIPHER, key.bytes, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        })
          .setAAD(boundTo(place))
          .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
        const text = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString("utf8");
      } catch (error) {
        throw new SealBroken(
          `The secret ${place.name} of the project cannot be opened: what is stored was changed, or is another secret's. Store it again.`,
          { cause: error },
        );
      }
    },
  };
}

/** Ids have one length: no other project and name make the same text. */
const boundTo = ({ projectId, name }: SecretPlace) => Buffer.from(`${projectId.toLowerCase()}/${name}`);

function keyOf(base64: string): Key {
  const bytes = Buffer.from(base64, "base64");
  const id = createHash("sha256").update("prompt-backend secrets\0").update(bytes).digest("hex").slice(0, 16);
  return { id, bytes };
}
