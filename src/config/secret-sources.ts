import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { ConfigMistake } from "./mistakes.ts";
import type { Env, Mistakes } from "./rows.ts";

/** A longer file is not one secret, bytes. */
const MAX_BYTES = 65_536;
/** The folder of systemd's LoadCredential= and SetCredentialEncrypted=. */
const CREDENTIALS = "CREDENTIALS_DIRECTORY";

/**
 * The environment with the secrets that are given by files: X by the file that X_FILE names, or by the systemd credential
 * X or x. A file that cannot be used, and a secret that is given twice, is noted in `mistakes`.
 */
export function withSecretFiles(names: readonly string[], env: Env, mistakes: Mistakes): Env {
  const found: Record<string, string> = {};
  for (const name of names) {
    try {
      const value = secretOf(name, env);
      if (value !== undefined) found[name] = value;
    } catch (error) {
      if (!(error instanceof ConfigMistake)) throw error;
      mistakes.set(name, error);
    }
  }
  return { ...env, ...found };
}

/** @throws ConfigMistake */
function secretOf(name: string, env: Env): string | undefined {
  const file = env[`${name}_FILE`]?.trim();
  const folder = env[CREDENTIALS]?.trim();
  const sources = [
    ...(env[name]?.trim() ? [{ source: name, value: env[name] }] : []),
    ...(file
      ? [{ source: `${name}_FILE`, value: readSecret(file, `${JSON.stringify(file)} (${name}_FILE)`) }]
      : []),
    ...(folder
      ? [...new Set([name, name.toLowerCase()])].flatMap((one) => {
          const path = join(folder, one);
          const value = readSecret(path, `${JSON.stringify(path)} (the credential ${one})`, {
            optional: true,
          });
          return value === undefined ? [] : [{ source: `the credential ${one}`, value }];
        })
      : []),
  ];
  if (sources.length > 1)
    throw fileMistake(
      `is given by ${sources.map(({ source }) => source).join(" and by ")}; keep one of them`,
    );
  return sources[0]?.value;
}

/** @param shown how messages call the file. @throws ConfigMistake */
export function readSecret(path: string, shown: string): string;
export function readSecret(path: string, shown: string, options: { optional: true }): string | undefined;
export function readSecret(
  path: string,
  shown: string,
  { optional = false }: { optional?: boolean } = {},
): string | undefined {
  let fd: number;
  try {
    // Not to wait for the writer of a FIFO.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (optional && code === "ENOENT") return undefined;
    throw fileMistake(`cannot be read from ${shown}: ${code}`);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw fileMistake(`cannot be read from ${shown}, which is not a file`);
    // Readable by all is what Docker and Kubernetes mount into a container.
    if (stat.mode & 0o002) throw fileMistake(`is not used: every user can change ${shown}; chmod o-w it`);
    if (stat.size > MAX_BYTES) throw fileMistake(`is not used: ${shown} has more than ${MAX_BYTES} bytes`);
    const bytes = Buffer.alloc(MAX_BYTES);
    const value = bytes.toString("utf8", 0, readSync(fd, bytes)).trim();
    if (value === "") throw fileMistake(`is not used: ${shown} is empty`);
    return value;
  } finally {
    closeSync(fd);
  }
}

const fileMistake = (problem: string) => new ConfigMistake("config_secret_file", problem);
