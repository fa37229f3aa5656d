import type { Logger } from "../observability/logger.ts";
import { messageOf } from "../shared/errors.ts";
import { type Decision, refusalText } from "./policy.ts";

/** Different targets that are recorded for one run; what comes after them is counted together. */
const MAX_TARGETS = 500;
/** Refusals that the user reads in the session. */
const MAX_TOLD = 20;
const FLUSH_MS = 1_000;
const MORE_REFUSED = "More hosts were refused; GET /sessions/{id}/egress lists them.";

/** What a run asked for: one row for each host, port and decision. */
export interface EgressRow {
  host: string;
  port: number;
  decision: "allowed" | "refused";
  rule: string;
  count: number;
  firstAt: Date;
  lastAt: Date;
}

/** Collects the decisions of one run. */
export interface EgressRecords {
  add(decision: Decision): void;
  /** Resolves when all that was added before is stored, or cannot be. */
  flush(): Promise<void>;
}

/**
 * Stores decisions at most once a second. Counts are absolute, so that a write may be repeated.
 * @param options.load what earlier runners of this run have stored; called before the first write.
 * @param options.store stores rows, and tells the user about refusals, in one transaction.
 */
export function createEgressRecords(options: {
  load: () => Promise<readonly EgressRow[]>;
  store: (rows: readonly EgressRow[], refusals: readonly string[]) => Promise<void>;
  logger: Logger;
}): EgressRecords {
  const { load, store, logger } = options;
  const rows = new Map<string, EgressRow>();
  let loaded = false;
  let waiting = new Map<string, EgressRow>();
  let told = 0;
  let flushing: Promise<void> = Promise.resolve();
  let flushedAt = Number.NEGATIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Adds what has been counted since the last write to the rows. @returns those that changed, and what is new. */
  function take() {
    const changed = new Set<EgressRow>();
    const refusals: string[] = [];
    for (const one of waiting.values()) {
      const { row, isNew } = merge(rows, one, MAX_TARGETS);
      if (isNew && row.decision === "refused") refusals.push(...tell(row));
      changed.add(row);
    }
    waiting = new Map();
    return { changed: [...changed], refusals };
  }

  function tell(row: EgressRow): string[] {
    told += 1;
    if (told <= MAX_TOLD) return [refusalText(row)];
    return told === MAX_TOLD + 1 ? [MORE_REFUSED] : [];
  }

  async function write(): Promise<void> {
    if (waiting.size === 0) return;
    if (!loaded) {
      for (const row of await load()) {
        rows.set(keyOf(row), row);
        if (row.decision === "refused") told += 1;
      }
      loaded = true;
    }
    const { changed, refusals } = take();
    await store(changed, refusals);
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.then(write).catch((error: unknown) => {
      // Such as a lease that was lost: the next runner records what it sees.
      logger.info("decisions about the network were not recorded", { error: messageOf(error) });
    });
    flushedAt = performance.now();
    return flushing;
  }

  return {
    add({ host, port, allowed, rule }) {
      const at = new Date();
      const decision = allowed ? "allowed" : "refused";
      // Bounded here, too: writes may wait for the database.
      merge(waiting, { host, port, decision, rule, count: 1, firstAt: at, lastAt: at }, MAX_TARGETS);
      timer ??= setTimeout(flush, Math.max(0, flushedAt + FLUSH_MS - performance.now()));
    },
    flush,
  };
}

const keyOf = ({ host, port, decision }: Pick<EgressRow, "host" | "port" | "decision">) =>
  `${decision} ${port} ${host}`;

/** Counts a row in. What is new in a map with `max` targets becomes part of the row `other`. */
function merge(rows: Map<string, EgressRow>, one: EgressRow, max: number) {
  const full = rows.size >= max && !rows.has(keyOf(one));
  // Neither protocol decides on port 0, so that no target of a program's is in this row.
  const wanted = full ? { ...one, host: "other", port: 0, rule: `more than ${MAX_TARGETS} targets` } : one;
  const known = rows.get(keyOf(wanted));
  if (!known) {
    const row = { ...wanted };
    rows.set(keyOf(row), row);
    return { row, isNew: !full };
  }
  known.count += wanted.count;
  known.lastAt = wanted.lastAt;
  known.rule = wanted.rule;
  return { row: known, isNew: false };
}
