import { readdir } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import type { Cluster } from "./cluster.ts";

/** After the last fault: within this time something must change, until everything is idle. */
const QUIET_MS = 60_000;

/** Waits until no session has work or a sandbox. @returns how long it took, or what is still busy. */
export async function untilQuiet(cluster: Cluster, tokens: readonly string[]): Promise<string> {
  const server = cluster.nodes.find((node) => node.serves);
  const started = performance.now();
  let changed = started;
  let loud = "";
  while (performance.now() - changed < QUIET_MS) {
    const lists = await Promise.all(
      tokens.map(async (token) => {
        const reply = await fetch(`${server?.url}/sessions`, {
          headers: { authorization: `Bearer ${token}` },
        });
        return ((await reply.json()) as { sessions: Record<string, unknown>[] }).sessions;
      }),
    ).catch(() => undefined);
    const busy = lists
      ?.flat()
      .filter(
        (one) => ["Pending", "Processing"].includes(String(one["inboxStatus"])) || one["sbxConfig"] !== null,
      );
    const folders = await Promise.all(
      cluster.dataDirs.map((dataDir) => readdir(join(dataDir, "sandboxes")).catch(() => [])),
    );
    if (busy?.length === 0 && folders.flat().length === 0)
      return `idle after ${((performance.now() - started) / 1000).toFixed(1)} s`;
    const sessions = busy?.map((one) => `session ${one["id"]} ${one["inboxStatus"]}`);
    const now = [...(sessions ?? ["no answer"]), ...folders.flat().map((id) => `sandbox ${id}`)].join(", ");
    if (now !== loud) changed = performance.now();
    loud = now;
    await Bun.sleep(250);
  }
  return `stuck for ${QUIET_MS / 1000} s: ${loud}\n${await processesOf(cluster)}\n${await waitsOf(cluster)}`;
}

/** What runs there, to find out what is being waited for. */
async function processesOf({ folder }: Cluster): Promise<string> {
  const all = await Bun.$`ps -eo pid,ppid,stat,etimes,wchan:20,args`.nothrow().quiet().text();
  return all
    .split("\n")
    .filter((line) => line.includes(folder))
    .map((line) => line.slice(0, 300))
    .join("\n");
}

/** Which transactions have been open for long, and which statements wait for whose locks. */
async function waitsOf({ databaseUrl }: Cluster): Promise<string> {
  if (databaseUrl === undefined) return "";
  const client = postgres(databaseUrl, { max: 1 });
  try {
    const rows = await client`
      select pid, client_port, state, wait_event, pg_blocking_pids(pid) as blocked_by, now() - xact_start as open, left(query, 200) as query
      from pg_stat_activity where xact_start < now() - interval '2 seconds'`;
    return rows.map((row) => JSON.stringify(row)).join("\n");
  } finally {
    await client.end();
  }
}
