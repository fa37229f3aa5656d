import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installPackages } from "../harness/machine.ts";

export interface Request {
  url: string;
  /** Sent as POST. */
  body?: string;
  /** Of each request; of several, in turns: for requests of several users. */
  headers: readonly Readonly<Record<string, string>>[];
}

export interface Load {
  requests: number;
  /** Requests per second. */
  rate: number;
  /** Latencies, milliseconds. */
  p50: number;
  p99: number;
}

export const CONNECTIONS = 32;
/** wrk's time units, in milliseconds. */
const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };

/** Installs wrk, which makes the requests, where it is missing. */
export async function requireGenerator(): Promise<void> {
  if (Bun.which("wrk")) return;
  const reason = await installPackages(["wrk"]);
  if (reason) throw new Error(`wrk is missing: ${reason}`);
}

/**
 * Requests over 32 connections, each as soon as the one before is answered, by another process.
 * @throws when a reply is an error.
 */
export async function load(request: Request, options: { seconds: number; folder: string }): Promise<Load> {
  const { seconds, folder } = options;
  const script = join(await mkdtemp(join(folder, "wrk-")), "request.lua");
  await writeFile(script, scriptOf(request));
  const size = ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`];
  // On a machine that is busy, a slow reply is a measurement, not a failure.
  const argv = ["wrk", "--latency", "--timeout", "60s", ...size, "-s", script, request.url];
  const child = Bun.spawn(argv, { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  const failed = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(text)?.[0];
  if (failed) throw new Error(`${request.url}: ${failed}`);
  return readLoad(text);
}

/** What wrk has printed. */
export function readLoad(text: string): Load {
  const found = (pattern: RegExp) => {
    const [, value, unit = "ms"] = pattern.exec(text) ?? [];
    return Number(value ?? Number.NaN) * (UNITS[unit] ?? Number.NaN);
  };
  const read = {
    requests: found(/(\d+) requests in/),
    rate: found(/Requests\/sec: +([\d.]+)/),
    p50: found(/50% +([\d.]+)(us|ms|s)/),
    p99: found(/99% +([\d.]+)(us|ms|s)/),
  };
  if (Object.values(read).some(Number.isNaN)) throw new Error(`not understood: ${text}`);
  return read;
}

/** The requests are made before the first is sent. */
function scriptOf({ headers, body }: Request): string {
  const variants = headers.map(
    (one) =>
      `{ ${Object.entries(one)
        .map(([name, value]) => `[${quoted(name)}] = ${quoted(value)}`)
        .join(", ")} }`,
  );
  return `local variants = { ${variants.join(", ")} }
local requests, sent = {}, 0
init = function()
  for n, headers in ipairs(variants) do
    requests[n] = wrk.format(${body === undefined ? '"GET"' : '"POST"'}, nil, headers, ${body === undefined ? "nil" : quoted(body)})
  end
end
request = function()
  sent = sent + 1
  return requests[sent % #requests + 1]
end
`;
}

/** JSON's escapes are valid in Lua strings, as far as our headers and bodies need them. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
