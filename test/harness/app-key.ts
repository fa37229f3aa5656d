import { generateKeyPairSync } from "node:crypto";

/** The private key of a GitHub App, in the form in which GitHub hands it out. */
export const makeAppKey = (): string =>
  generateKeyPairSync("rsa", { modulusLength: 2048 })
    .privateKey.export({ type: "pkcs1", format: "pem" })
    .toString();
