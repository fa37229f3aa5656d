import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/**
 * A value that must not leak. Formats as `***` everywhere (templates, JSON, the console, an error's fields); only
 * `reveal` returns the value. Secrets are compared here and nowhere else.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  /** Compares in constant time: how long it takes tells neither where the texts differ nor how long the secret is. */
  equals(given: string): boolean {
    return timingSafeEqual(sha256(given), sha256(this.#value));
  }

  /** The HMAC-SHA256 of the parts, one after the other, under this secret, in hexadecimal; for `equals`, or `reveal`. */
  sign(...parts: readonly (string | Uint8Array)[]): Secret {
    const hmac = createHmac("sha256", this.#value);
    for (const part of parts) hmac.update(part);
    return new Secret(hmac.digest("hex"));
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "***";
  }
}

/** Hashes are of one length, which `timingSafeEqual` demands. */
const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
