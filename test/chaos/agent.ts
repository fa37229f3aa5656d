import { GATEWAY_PORT } from "../../src/sandboxes/isolation/isolation.ts";

/** How the agent of a chaos run behaves; encoded in the prompt's text. */
export const MODES = ["normal", "normal", "normal", "normal", "deaf", "daemon", "fail"] as const;
export type Mode = (typeof MODES)[number];

export interface Job {
  /** Identifies the prompt in everything that its agent prints or writes. */
  id: string;
  lines: number;
  /** Seconds between two lines. */
  delay: string;
  mode: Mode;
}

export const textOf = ({ id, lines, delay, mode }: Job): string => `${id} ${lines} ${delay} ${mode}`;

/**
 * The agent prints numbered lines, each with the nonce of its start, and appends one line to its own file. It reports each
 * start and end to a trace server: the truth about what ran, independent of the service's records. Its only way there is
 * the gateway, which is closed while no runner watches: it tries until it gets through, each time in a shell of its own,
 * which a connection that breaks may kill.
 */
export function agentCommand(tracePort: number): string[] {
  const script = `
read -r id lines delay mode
nonce=$RANDOM$RANDOM$$
once() { (exec 9<>/dev/tcp/127.0.0.1/${GATEWAY_PORT} && printf 'GET http://127.0.0.1:${tracePort}/%s/%s/%s HTTP/1.1\\r\\nHost: 127.0.0.1:${tracePort}\\r\\n\\r\\n' "$1" "$id" "$nonce" >&9 && read -r _ code _ <&9 && [ "$code" = 200 ]) 2>/dev/null; }
trace() { until once "$1"; do sleep 0.2; done; }
[ "$mode" = deaf ] && trap '' TERM
[ "$mode" = daemon ] && setsid bash -c 'trap "" TERM HUP; while :; do sleep 0.2; done' >/dev/null 2>&1 &
trace start
echo "$id $nonce 0"
for ((i = 1; i <= lines; i++)); do echo "$id $nonce $i"; sleep "$delay"; done
echo "$id $nonce" >> "work-$id.txt"
trace end
echo "$id $nonce end"
[ "$mode" = fail ] && exit 3
exit 0`;
  return ["bash", "-c", script];
}

export interface Trace {
  kind: "start" | "end";
  id: string;
  nonce: string;
}

/** The settings with which agents reach the trace server. */
export const traceEgress = (tracePort: number) => ({
  EGRESS: "list",
  EGRESS_ALLOW: `127.0.0.1:${tracePort}`,
});

/** Collects the agents' reports. */
export function openTraces() {
  const traces: Trace[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const [, kind, id = "", nonce = ""] = new URL(request.url).pathname.split("/");
      if (kind === "start" || kind === "end") traces.push({ kind, id, nonce });
      return new Response("");
    },
  });
  return { traces, port: server.port ?? 0, stop: () => server.stop(true) };
}
