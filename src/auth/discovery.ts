import type { JsonValue } from "oauth4webapi";

export type DiscoveryDocument = { issuer: string } & { [field: string]: JsonValue | undefined };

/**
 * What an issuer publishes about itself (OpenID Connect Discovery). Callers check the fields that they use.
 * @param options.url where this machine reaches the document, if not at the issuer's own address.
 * @throws Error if it cannot be fetched, or is another issuer's.
 */
export async function fetchDiscovery(options: {
  /** URL without a trailing slash. */
  issuer: string;
  url?: string | undefined;
  timeoutMs: number;
}): Promise<DiscoveryDocument> {
  const { issuer, url = `${issuer}/.well-known/openid-configuration`, timeoutMs } = options;
  const document = await getJson<{ [field: string]: JsonValue | undefined }>(url, timeoutMs);
  const { issuer: named } = document;
  if (typeof named !== "string" || named.replace(/\/+$/, "") !== issuer)
    throw new Error(`the discovery document names another issuer: ${JSON.stringify(named)}`);
  return { ...document, issuer: named };
}

/** Callers check the shape. @throws Error */
export async function getJson<T extends object>(url: string, timeoutMs: number): Promise<T> {
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  const body: unknown = await response.json();
  if (typeof body !== "object" || body === null) throw new Error(`${url} did not return a JSON object`);
  return body as T;
}
