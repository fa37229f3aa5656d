import type { Config } from "../config/config.ts";
import { findSigningKey } from "../provenance/key.ts";
import { OperatorError } from "../shared/errors.ts";

interface Output {
  write(text: string): unknown;
}

/**
 * `prompt-backend provenance-key`: prints the public key of the provenance, alone on stdout; its id goes to stderr.
 * @throws OperatorError when there is none. It is not created here: it would belong to whoever runs the command.
 */
export function runProvenanceKey({
  config,
  stdout,
  stderr = process.stderr,
}: {
  config: Pick<Config, "dataDir" | "provenanceKey">;
  stdout: Output;
  stderr?: Output;
}): void {
  const key = findSigningKey(config);
  if (!key)
    throw new OperatorError(
      `There is no key in DATA_DIR ${config.dataDir} yet: a worker makes it when it starts; or set PROVENANCE_KEY.`,
    );
  stderr.write(`Public key ${key.id}:\n`);
  stdout.write(key.publicKey);
}
