import { VERSION } from "./generated/version.js";

interface Runtime {
  document?: unknown;
  Deno?: { version?: { deno?: string } };
  process?: { versions?: { bun?: string; node?: string } };
}

/** Undefined in browsers: a User-Agent of one's own would make every request to another origin need a permission. */
export function userAgent(runtime: object = globalThis): string | undefined {
  const { document, Deno, process } = runtime as Runtime;
  if (document !== undefined) return undefined;
  // Deno and Bun have the versions of Node.js, too.
  const [name, version] = Object.entries({
    deno: Deno?.version?.deno,
    bun: process?.versions?.bun,
    node: process?.versions?.node,
  }).find(([, version]) => version !== undefined) ?? [undefined];
  return name && `prompt-backend-client/${VERSION} ${name}/${version}`;
}
