import type { ApiRequest, OpenApiCheck } from "./openapi-check.ts";

export interface StandInRequest extends ApiRequest {
  authorization: string | null;
}

export interface StandInReply {
  status: number;
  /** Undefined: none. */
  body?: unknown;
  headers?: Record<string, string>;
}

/** Makes one reply instead of the stand-in, whatever it is like: it is not checked. Undefined: it leaves this one alone. */
export type Intrusion = (request: StandInRequest) => Response | undefined;

export interface ForgeStandIn {
  url: string;
  apiUrl: string;
  requests: readonly StandInRequest[];
  /** What was not as the API is described, of requests and replies. */
  violations: readonly string[];
  /** The next request that it makes a reply of gets that one. */
  intrude(intrusion: Intrusion): void;
  stop(): Promise<void>;
}

/**
 * A forge on loopback for tests: what `answer` says of a request, with both checked against the API's description.
 * @param options.base path of the API.
 * @param options.check undefined: the description could not be had.
 */
export function startForgeStandIn(options: {
  base: string;
  check: OpenApiCheck | undefined;
  answer: (request: StandInRequest) => StandInReply;
}): ForgeStandIn {
  const { base, check, answer } = options;
  const requests: StandInRequest[] = [];
  const violations: string[] = [];
  const intrusions: Intrusion[] = [];

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(incoming) {
      const url = new URL(incoming.url);
      const text = await incoming.text();
      const request = {
        method: incoming.method,
        path: url.pathname.slice(base.length),
        query: url.searchParams,
        body: text === "" ? undefined : (JSON.parse(text) as unknown),
        authorization: incoming.headers.get("authorization"),
      };
      requests.push(request);
      if (!url.pathname.startsWith(`${base}/`)) violations.push(`${url.pathname} is not beneath ${base}`);
      violations.push(...(check?.violationsOfRequest(request) ?? []));
      for (const [index, intrusion] of intrusions.entries()) {
        const reply = intrusion(request);
        if (!reply) continue;
        intrusions.splice(index, 1);
        return reply;
      }
      const { status, body, headers = {} } = answer(request);
      violations.push(...(check?.violationsOfReply(request, { status, body }) ?? []));
      return body === undefined
        ? new Response(null, { status, headers })
        : Response.json(body, { status, headers });
    },
  });
  const url = `http://127.0.0.1:${server.port}`;
  return {
    url,
    apiUrl: `${url}${base}`,
    requests,
    violations,
    intrude: (intrusion) => void intrusions.push(intrusion),
    stop: () => server.stop(true),
  };
}

/** A commit's name. */
export const commit = (number: number): string => number.toString(16).padStart(40, "0");

/** The part of a list that is asked for. @param limit of the host, entries. */
export function pageOf<T>(all: readonly T[], query: URLSearchParams, limit = 100): readonly T[] {
  const size = Math.min(Number(query.get("limit") ?? query.get("per_page") ?? 20), limit);
  const start = (Number(query.get("page") ?? 1) - 1) * size;
  return all.slice(start, start + size);
}
