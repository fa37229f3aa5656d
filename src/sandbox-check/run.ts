import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { type Cgroups, openCgroups } from "../sandboxes/process/cgroup.ts";
import { openSandboxes } from "../sandboxes/providers.ts";
import type { CheckoutRequest, Sandbox } from "../sandboxes/sandbox.ts";
import { messageOf } from "../shared/errors.ts";
import type { Attack, Attempt, Host, Need, Target } from "./attack.ts";
import { all, untried } from "./attack.ts";
import { openCanaries } from "./canaries.ts";
import { type CheckGateway, openCheckGateway } from "./check-gateway.ts";
import { CHECK_LIMITS } from "./limit-attacks.ts";
import { type Ended, runInside } from "./run-inside.ts";
import { makeOrigins, startTenant } from "./scenery.ts";
import { ATTACKS } from "./table.ts";

export interface Result {
  id: string;
  title: string;
  result: "blocked" | "NOT BLOCKED" | "not applicable";
  observed: string;
  stoppedBy: string;
}

export interface CheckReport {
  /** False: this machine cannot isolate programs, and runs are refused unless ALLOW_UNISOLATED_AGENTS=1. */
  isolated: boolean;
  detail: string;
  results: readonly Result[];
}

/** What is there before an attack begins. */
type Scene = Pick<Host, "target" | "provider" | "sandbox" | "request" | "origin"> & {
  gateway: CheckGateway | undefined;
};

/**
 * Attacks a sandbox from inside, with the code and the configuration that runs use on this machine, but in a DATA_DIR of
 * its own, below the real one, and with small limits.
 * @param options.only ids; default: all of the table.
 */
export async function checkSandbox(options: {
  config: Config;
  logger: Logger;
  only?: readonly string[];
}): Promise<CheckReport> {
  const { config, logger, only } = options;
  const attacks = ATTACKS.filter(({ id }) => only?.includes(id) ?? true);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(config.dataDir, "check-"));
  try {
    return await attackIn(folder, { config, logger, attacks });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function attackIn(
  folder: string,
  { config, logger, attacks }: { config: Config; logger: Logger; attacks: readonly Attack[] },
): Promise<CheckReport> {
  const dataDir = join(folder, "data");
  await mkdir(dataDir, { mode: 0o700 });
  await chmod(folder, 0o755);
  const origins = join(folder, "origins");
  const makeOrigin = await makeOrigins({ folder: origins, path: config.path });
  let groups: Cgroups | undefined;
  const cgroups = async (host: string) => {
    groups = await openCgroups({ host });
    return groups;
  };
  const provider = await openSandboxes({ config: checkConfig(config, dataDir, origins), logger, cgroups });
  const { isolated, closedNetwork } = provider.isolation;
  const refusal = await provider.isolation.refusal();
  const detail = refusal ?? `${provider.isolation.detail}; ${provider.disk.detail}`;
  if (refusal !== undefined)
    return {
      isolated: false,
      detail,
      results: attacks.map((one) => resultOf(one, untried("runs are refused"))),
    };
  const has: Record<Need, boolean> = {
    memory: groups?.capabilities.memory ?? false,
    processes: groups?.capabilities.processes ?? false,
    gateway: closedNetwork,
  };
  const canaries = await openCanaries({ folder, dataDir });
  const request = async (): Promise<CheckoutRequest> => {
    const id = crypto.randomUUID();
    return {
      sessionId: id,
      repo: await makeOrigin(),
      targetBranch: "main",
      branch: `${config.branchPrefix}check-${id.slice(0, 8)}`,
      // Nothing of a check outlives it.
      pushes: { commit: null, record: async () => undefined },
    };
  };
  const openOne = async (one: CheckoutRequest): Promise<Sandbox> =>
    provider.open(provider.plan(), one, new AbortController().signal, async () => undefined);
  const tenant = await startTenant(await openOne(await request()));
  const other = closedNetwork ? await openCheckGateway(tenant.folder) : undefined;

  /** Runs attacks in a sandbox of their own. @param look is called while the program runs, and when it has ended. */
  async function inSandbox<T>(run: (host: Scene) => Promise<T>): Promise<T> {
    const own = await request();
    const sandbox = await openOne(own);
    const ownFolder = join(sandbox.notes, "..");
    const gateway = closedNetwork ? await openCheckGateway(ownFolder) : undefined;
    const target: Target = {
      ...canaries,
      ...{ dataDir, servicePid: process.pid, paths: sandbox.paths, sessionId: own.sessionId },
      ownFolder,
      otherFolder: tenant.folder,
      marker: join(folder, `marker-${crypto.randomUUID()}`),
      tokens: gateway && other && { own: gateway.token, other: other.token },
    };
    try {
      return await run({ target, provider, sandbox, gateway, request: own, origin: own.repo });
    } finally {
      await gateway?.close();
      await provider.release(sandbox.config);
    }
  }

  async function tryOne(attack: Attack): Promise<Attempt> {
    return inSandbox(async (host) => {
      canaries.takeVisitors();
      let meanwhile: Attempt | undefined;
      const seen = (ended?: Ended): Host => ({
        ...host,
        exit: ended?.exit,
        visitors: canaries.takeVisitors(),
        journalBytes: ended?.journalBytes ?? 0,
        longestLine: ended?.longestLine ?? 0,
        gatewayAnswers: async () => (await other?.answers()) ?? false,
      });
      const ended = await runInside({
        ...host,
        ids: [attack.id],
        program: canaries.program,
        path: config.path,
        limitMs: attack.limitMs,
        onReady:
          attack.meanwhile &&
          (async () => {
            meanwhile = await attack.meanwhile?.(seen());
          }),
      });
      const inside = meanwhile ? [] : [judged(attack, ended)];
      const outside = attack.outside ? [await attack.outside(seen(ended))] : [];
      // What was done inside is not a result where the host's side decides.
      return all(
        outside.length > 0
          ? [...inside.filter((one) => one.blocked === false), ...outside]
          : [...inside, ...(meanwhile ? [meanwhile] : [])],
      );
    });
  }

  try {
    const together = attacks.filter((one) => one.inside && !one.alone && !one.outside && !one.meanwhile);
    const reports = await inSandbox((host) =>
      runInside({ ...host, ids: together.map(({ id }) => id), program: canaries.program, path: config.path }),
    );
    const results: Result[] = [];
    for (const attack of attacks) {
      const report = reports.reports.get(attack.id);
      const attempt =
        report ??
        (await tryOne(attack).catch((error: unknown) => untried(`the check failed: ${messageOf(error)}`)));
      const lacking = attempt.blocked === false && attack.needs !== undefined && !has[attack.needs];
      results.push(
        resultOf(
          attack,
          lacking ? untried(`${LACKING[attack.needs ?? "gateway"]} (${attempt.observed})`) : attempt,
        ),
      );
    }
    return { isolated, detail, results };
  } finally {
    await tenant.stop();
    await other?.close();
    await provider.sweep(async () => new Set());
    await canaries.remove();
  }
}

const LACKING: Record<Need, string> = {
  memory: "this machine has no control group for memory",
  processes: "this machine has no control group for processes",
  gateway: "this machine has no network namespaces, or no socat",
};

/** What the program itself reported, or what its end says. */
function judged(attack: Attack, { reports, started, exit, timedOut }: Ended): Attempt {
  const report = reports.get(attack.id);
  if (report) return report;
  if (!started) return untried(`the program did not start: ${exit.stderr.trim().split("\n").at(-1) ?? ""}`);
  if (timedOut && attack.limitMs === undefined) return untried("no answer within the time limit");
  return { blocked: true, observed: `the program was killed (exit code ${exit.code})` };
}

/** The service's configuration, with a DATA_DIR of the check's own and limits that are cheap to exceed. */
function checkConfig(config: Config, dataDir: string, origins: string): Config {
  const { memoryBytes, maxProcesses, diskBytes, outputBytes } = CHECK_LIMITS;
  return {
    ...config,
    dataDir,
    sandboxProvider: "local",
    localRepositories: [origins],
    auth: { ...config.auth, mode: "local" } as Config["auth"],
    runLimits: { ...config.runLimits, maxOutputBytes: outputBytes },
    runResources: { ...config.runResources, memoryBytes, maxProcesses, diskBytes },
  };
}

function resultOf({ id, title, stoppedBy }: Attack, { blocked, observed }: Attempt): Result {
  const result = blocked === null ? "not applicable" : blocked ? "blocked" : "NOT BLOCKED";
  return { id, title, result, observed, stoppedBy };
}
