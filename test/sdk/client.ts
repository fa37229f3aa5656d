import { builtSdk } from "./built-sdk.ts";
import { json, type Step, scriptedServer, text } from "./scripted-server.ts";

/** The package as it is built, and what its tests ask of a scripted server. */
export const sdk = await builtSdk();

export const ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
export const ok = json({ status: "ok" });
export const HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
export const badGateway = text("502 Bad Gateway", "text/html", HTML);
export const SOON = { backoff: { first: 1, longest: 2 } };
/** Only a client that obeys the server comes back within the time limit of a test. */
export const NEVER = { backoff: { first: 1e9, longest: 1e9 } };

export type Options = Partial<import("../../sdk/dist/esm/index.js").PromptBackendOptions>;

/** A client of a server that does these steps. */
export async function against(options: Options, ...steps: [Step, ...Step[]]) {
  const server = await scriptedServer(...steps);
  return {
    server,
    pb: new sdk.PromptBackend({ baseUrl: server.url, token: "secret-token", ...SOON, ...options }),
  };
}

/** What a promise rejected with. */
// biome-ignore lint/suspicious/noExplicitAny: tests look at errors of every class.
export const failure = (promise: PromiseLike<unknown>): Promise<any> =>
  Promise.resolve(promise).then(
    (value) => Promise.reject(new Error(`resolved with ${Bun.inspect(value)}`)),
    (error: unknown) => error,
  );
