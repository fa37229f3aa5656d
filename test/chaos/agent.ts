import { GATEWAY_PORT } from "../../src/sandboxes/isolation/isolation.ts";

/**
 * Which agent works in a chaos run: a script that is watched closely, the same as a tool of an agent that is talked to (ACP),
 * or Claude Code. The latter two remember.
 */
export const AGENTS = ["command", "acp", "claude"] as const;
export type ChaosAgent = (typeof AGENTS)[number];

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

/** The prompt of a job. Its second line is in no commit message: who knows it was told the prompt. */
export const textOf = ({ id, lines, delay, mode }: Job): string =>
  `${id} ${lines} ${delay} ${mode}\nRemember word-${id}.`;

/** What a user says to an agent at work: that is a prompt, too, if the agent cannot take it. No job comes of it. */
export const noteText = (id: string): string => `Note ${id}.`;

/** The notes in a text, in order. */
export const notesIn = (text: string): string[] =>
  [...text.matchAll(/^Note (\w+-\d+)\.$/gm)].map(([, id = ""]) => id);

/** The jobs whose prompts are in a text, in order. */
export const jobsIn = (text: string): Job[] =>
  [...text.matchAll(/(\w+-\d+) (\d+) ([\d.]+) (\w+)\nRemember word-\1\./g)].map(
    ([, id = "", lines, delay = "", mode]) => ({ id, lines: Number(lines), delay, mode: mode as Mode }),
  );

/**
 * Reads a job and does it: prints numbered lines, each with the nonce of its start, and appends one line to its own file. It
 * reports each start, with the work of other jobs that it finds, and each end to a trace server: the truth about what ran,
 * independent of the service's records. Its only way there is the gateway, which is closed while no runner watches: it tries
 * until it gets through, each time in a shell of its own, which a connection that breaks may kill. KNOWN is for ids of jobs
 * whose prompts its agent knows, LIFE for the nonce of an agent that is more than this script. A note is only reported.
 * @param options.again it may have been interrupted in this checkout, and does not repeat what it has done.
 */
export const jobScript = ({ tracePort, again }: { tracePort: number; again: boolean }) => `
read -r id lines delay mode
nonce=\${LIFE:-$RANDOM$RANDOM$$}
shopt -s nullglob
files=(work-*.txt)
found=$(IFS=,; echo "\${files[*]}")
once() { (exec 9<>/dev/tcp/127.0.0.1/${GATEWAY_PORT} && printf 'GET http://127.0.0.1:${tracePort}/%s/%s/%s/%s/%s HTTP/1.1\\r\\nHost: 127.0.0.1:${tracePort}\\r\\n\\r\\n' "$1" "$id" "$nonce" "$found" "$KNOWN" >&9 && read -r _ code _ <&9 && [ "$code" = 200 ]) 2>/dev/null; }
trace() { until once "$1"; do sleep 0.2; done; }
echo "life $nonce"
if [ "$id" = Note ]; then id=\${lines%.}; found=$nonce; KNOWN=; trace told; exit 0; fi
[ "$mode" = deaf ] && trap '' TERM
[ "$mode" = daemon ] && setsid bash -c 'trap "" TERM HUP; while :; do sleep 0.2; done' >/dev/null 2>&1 &
trace start
echo "$id $nonce 0"
for ((i = 1; i <= lines; i++)); do echo "$id $nonce $i"; sleep "$delay"; done
${again ? '[ -e "work-$id.txt" ] || ' : ""}echo "$id $nonce" >> "work-$id.txt"
trace end
echo "$id $nonce end"
[ "$mode" = fail ] && exit 3
exit 0`;

/** The settings of the agent that is this script alone. */
export const commandAgent = (tracePort: number) => ({
  AGENT: "command",
  AGENT_COMMAND: JSON.stringify(["bash", "-c", jobScript({ tracePort, again: false })]),
});

export interface Trace {
  kind: "start" | "end";
  id: string;
  nonce: string;
  /** Ids of the jobs whose work is in its checkout. */
  found: ReadonlySet<string>;
  /** Ids of the jobs whose prompts its agent knows; undefined if that does not say. */
  knows: ReadonlySet<string> | undefined;
}

/** What reached an agent, as it says itself: once for each time, however often its report is sent. */
export interface Report {
  /** `knew`: when a turn began, from an earlier one, perhaps of an agent that was killed in it. */
  kind: "told" | "knew" | "answered";
  /** Of the note or of the question; of all notes that it knew. */
  id: string;
  /** The nonce of the agent. */
  life: string;
  decision: string;
}

/** The settings with which agents reach the trace server. */
export const traceEgress = (tracePort: number) => ({
  EGRESS: "list",
  EGRESS_ALLOW: `127.0.0.1:${tracePort}`,
});

/** Collects the agents' reports. */
export function openTraces() {
  const traces: Trace[] = [];
  const reports: Report[] = [];
  const receipts = new Set<string>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const [, kind, id = "", nonce = "", files = "", known = ""] = new URL(request.url).pathname.split("/");
      const found = new Set([...files.matchAll(/work-(\w+-\d+)\.txt/g)].map(([, one = ""]) => one));
      if (kind === "start" || kind === "end") {
        const knows = known === "" ? undefined : new Set(known.split(","));
        traces.push({ kind, id, nonce, found, knows });
      }
      // Here the fourth part is a number of its own for what has reached it.
      if ((kind === "told" || kind === "knew" || kind === "answered") && !receipts.has(`${id} ${files}`)) {
        receipts.add(`${id} ${files}`);
        reports.push({ kind, id, life: nonce, decision: known });
      }
      return new Response("");
    },
  });
  return { traces, reports, port: server.port ?? 0, stop: () => server.stop(true) };
}
