import type { Isolation } from "./isolation.ts";
import { type MissingPart, type Probed, probeIsolation } from "./probe.ts";
import { etcFolder, writeEtc } from "./sandbox-etc.ts";

/** How often the machine is tried again while something is missing: what was installed meanwhile needs no restart. */
const RECHECK_MS = 30_000;
/** How often copies of this machine's files are compared with them: hundreds of files, which hardly ever change. */
const REFRESH_MS = 10 * 60_000;

/** How this machine isolates agents, for the log, /health/detail and /health/ready. */
export interface IsolationStatus {
  /** Whether agents are isolated at all. */
  readonly isolated: boolean;
  /** Whether agents reach a network only through the gateway's socket. */
  readonly closedNetwork: boolean;
  /** A sentence. */
  readonly detail: string;
  /** Empty: nothing. */
  readonly missing: readonly MissingPart[];
  /**
   * Why agents must not run here: something is missing, and ALLOW_UNISOLATED_AGENTS is not set. Tries again first, if
   * the last time is long enough ago. Undefined: they may run.
   */
  refusal(): Promise<string | undefined>;
}

export interface MachineIsolation {
  /** Undefined: programs run without isolation, as far as they may run. */
  readonly current: Isolation | undefined;
  readonly status: IsolationStatus;
  /** Before a program that others have a say in. @throws NotIsolated with `refusal`'s sentence. */
  require(): Promise<void>;
  /** The same by what was found the last time. @throws NotIsolated */
  requireNow(): void;
  /** Brings copies of this machine's files up to date, if the last time is long enough ago. Call it now and then. */
  refresh(): Promise<void>;
}

/**
 * Programs must not run here now: something that isolates them is missing. They may later, and nothing has been started.
 * `message` is the end of a sentence for the user and the operator.
 */
export class NotIsolated extends Error {
  override readonly name = "NotIsolated";
}

/** @param options.allowUnisolated agents run with what there is. Nothing is tried again then, so that paths do not change. */
export async function openIsolation(options: {
  path: string;
  dataDir: string;
  uids: { first: number };
  allowUnisolated: boolean;
  recheckMs?: number;
  refreshMs?: number;
}): Promise<MachineIsolation> {
  const { allowUnisolated, recheckMs = RECHECK_MS, refreshMs = REFRESH_MS } = options;
  let probed: Probed = await probeIsolation(options);
  let probedAt = performance.now();
  let refreshedAt = probedAt;
  let checking: Promise<void> | undefined;

  const recheck = async () => {
    if (performance.now() - probedAt < recheckMs) return;
    checking ??= probeIsolation(options)
      .then((found) => {
        probed = found;
      })
      .finally(() => {
        probedAt = performance.now();
        checking = undefined;
      });
    await checking;
  };

  const refusalNow = () =>
    allowUnisolated || probed.missing.length === 0
      ? undefined
      : `this machine cannot isolate agents: ${sentence(probed.missing)} (or set ALLOW_UNISOLATED_AGENTS=1: agents can then read and change whatever this user can)`;
  const refusal = async () => {
    if (refusalNow() !== undefined) await recheck();
    return refusalNow();
  };
  const refuse = (why: string | undefined) => {
    if (why !== undefined) throw new NotIsolated(why);
  };

  return {
    get current() {
      return probed.isolation;
    },
    require: async () => refuse(await refusal()),
    requireNow: () => refuse(refusalNow()),
    async refresh() {
      if (performance.now() - refreshedAt < refreshMs) return;
      refreshedAt = performance.now();
      await writeEtc(etcFolder(options.dataDir));
    },
    status: {
      get isolated() {
        return probed.isolation !== undefined;
      },
      get closedNetwork() {
        return probed.isolation?.closedNetwork ?? false;
      },
      get detail() {
        if (!probed.isolation) return `${probed.detail}; agents could read and change whatever this user can`;
        return probed.missing.length > 0
          ? `${probed.detail}; missing: ${sentence(probed.missing)}`
          : probed.detail;
      },
      get missing() {
        return probed.missing;
      },
      refusal,
    },
  };
}

const sentence = (missing: readonly MissingPart[]) =>
  missing.map(({ why, remedy }) => `${why}; ${remedy}`).join("; ");
