import { expect } from "bun:test";
import type { ForgeHost } from "../../src/config/forge-hosts.ts";
import { ForgeError, type NewPullRequest } from "../../src/forges/forge.ts";
import { Secret } from "../../src/shared/secret.ts";

export const TOKEN = "a-token-that-nobody-may-see";
export const HEAD = "feature/ä b";

export const hostOf = (
  kind: ForgeHost["kind"],
  { url, apiUrl }: { url: string; apiUrl: string },
  token = TOKEN,
): ForgeHost => ({
  kind,
  url,
  apiUrl,
  credential: { kind: "token", token: new Secret(token) },
  setting: "FORGES",
});

export const draftOf = (changes: Partial<NewPullRequest> = {}): NewPullRequest => ({
  title: "A title",
  body: "What was done.",
  head: HEAD,
  base: "main",
  draft: false,
  ...changes,
});

/** What a call fails with; its message has been searched for the token. */
export async function faultOf(call: Promise<unknown>): Promise<ForgeError> {
  const error = await call.then(
    () => undefined,
    (one: unknown) => one,
  );
  if (!(error instanceof ForgeError)) throw new Error(`not a ForgeError: ${String(error)}`);
  expect(Bun.inspect(error)).not.toContain(TOKEN);
  return error;
}
