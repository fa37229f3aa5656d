import { readlinkSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Logger } from "../observability/logger.ts";
import { type Cgroups, openCgroups } from "../sandboxes/process/cgroup.ts";
import { openSandboxes } from "../sandboxes/providers.ts";
import type { CheckoutRequest, Sandbox } from "../sandboxes/sandbox.ts";
import type { Attack, Attempt, Host, Need, Target } from "./attack.ts";
import { all } from "./attack.ts";
import { openCanaries } from "./canaries.ts";
import { type CheckGateway, openCheckGateway } from "./check-gateway.ts";
import { judged } from "./judged.ts";
import { type Ended, runInside } from "./run-inside.ts";
import { makeOrigins, startTenant } from "./scenery.ts";
import { checkConfig, foldersOf } from "./settings.ts";

const nothing = async () => undefined;

export type Has = Readonly<Record<Need, boolean>>;

/** Where attacks take place: sandboxes, another tenant, and what must not be reached. */
export interface Stage {
  isolated: boolean;
  detail: string;
  /** Runs are refused here: nothing can be tried. */
  refused: boolean;
  has: Has;
  /** In one sandbox and one program. @returns what was reported; nothing by those that the program did not survive. */
  tryTogether(ids: readonly string[]): Promise<ReadonlyMap<string, Attempt>>;
  /** In a sandbox of its own. */
  tryAlone(attack: Attack): Promise<Attempt>;
  /** Ends everything, also what still runs, and removes it. May be called again. */
  close(): Promise<void>;
}

/** What is there before an attack begins. */
type Scene = Pick<Host, "target" | "provider" | "sandbox" | "request" | "origin"> & {
  gateway: CheckGateway | undefined;
};

/** @param options.signal nothing is started any more. */
export async function openStage(
  folder: string,
  { config, logger, signal }: { config: Config; logger: Logger; signal: AbortSignal },
): Promise<Stage> {
  const { dataDir, origins } = foldersOf(folder);
  await mkdir(dataDir, { mode: 0o700 });
  const makeOrigin = await makeOrigins({ folder: origins, path: config.path });
  let groups: Cgroups | undefined;
  const cgroups = async (host: string) => {
    groups = await openCgroups({ host });
    return groups;
  };
  const provider = await openSandboxes({ config: checkConfig(config, folder), logger, cgroups });
  const { isolated, closedNetwork } = provider.isolation;
  const refusal = await provider.isolation.refusal();
  const endings: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of endings.splice(0).reverse()) await end();
    await provider.sweep(async () => new Set());
  };
  const facts = {
    isolated,
    detail: refusal ?? `${provider.isolation.detail}; ${provider.disk.detail}`,
    refused: refusal !== undefined,
    has: {
      memory: groups?.capabilities.memory ?? false,
      processes: groups?.capabilities.processes ?? false,
      gateway: closedNetwork,
    },
    close,
  };
  const none = async () => Promise.reject(new Error(facts.detail));
  if (facts.refused) return { ...facts, tryTogether: none, tryAlone: none };
  try {
    return { ...facts, ...(await setUp()) };
  } catch (error) {
    await close();
    throw error;
  }

  async function setUp(): Promise<Pick<Stage, "tryTogether" | "tryAlone">> {
    const canaries = await openCanaries({ folder, dataDir });
    endings.push(() => canaries.remove());
    const request = async (): Promise<CheckoutRequest> => {
      const id = crypto.randomUUID();
      return {
        sessionId: id,
        repo: await makeOrigin(),
        targetBranch: "main",
        branch: `${config.branchPrefix}check-${id.slice(0, 8)}`,
        startCommit: null,
        began: null,
        // Nothing of a check outlives it.
        pushes: {
          ...{ commit: null, record: nothing, settle: nothing, disown: nothing },
          first: { record: nothing, settle: nothing },
        },
        unpushed: { commit: null, host: null, read: async () => false, keep: async () => true },
      };
    };
    const openOne = async (one: CheckoutRequest): Promise<Sandbox> => {
      signal.throwIfAborted();
      return provider.open(provider.plan(), one, signal, async () => undefined);
    };
    const tenant = await startTenant(await openOne(await request()));
    endings.push(() => tenant.stop());
    const other = closedNetwork ? await openCheckGateway(tenant.folder) : undefined;
    if (other) endings.push(() => other.close());

    /** Runs attacks in a sandbox of their own. */
    async function inSandbox<T>(run: (scene: Scene) => Promise<T>): Promise<T> {
      const own = await request();
      const sandbox = await openOne(own);
      const ownFolder = join(sandbox.notes, "..");
      const gateway = closedNetwork ? await openCheckGateway(ownFolder) : undefined;
      const target: Target = {
        ...canaries,
        ...{ dataDir, paths: sandbox.paths, sessionId: own.sessionId },
        servicePid: process.pid,
        serviceNamespace: readlinkSync("/proc/self/ns/pid"),
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

    const inside = (scene: Scene, ids: readonly string[], more?: Partial<Parameters<typeof runInside>[0]>) =>
      runInside({ ...scene, ids, isolated, program: canaries.program, path: config.path, ...more });

    async function tryAlone(attack: Attack, scene: Scene): Promise<Attempt> {
      canaries.takeVisitors();
      let meanwhile: Attempt | undefined;
      const seen = (ended?: Ended): Host => ({
        ...scene,
        exit: ended?.exit,
        visitors: canaries.takeVisitors(),
        journalBytes: ended?.journalBytes ?? 0,
        longestLine: ended?.longestLine ?? 0,
        gatewayAnswers: async () => (await other?.answers()) ?? false,
      });
      const onReady = async () => {
        meanwhile = await attack.meanwhile?.(seen());
      };
      const { limitMs } = attack;
      const ended = await inside(scene, [attack.id], { limitMs, ...(attack.meanwhile && { onReady }) });
      const reported = meanwhile ?? judged(attack, ended);
      if (!attack.outside) return reported;
      const outside = await attack.outside(seen(ended));
      // What was done inside is not a result where the host's side decides, unless nothing was done.
      return all(reported.blocked === false || reported.failed ? [reported, outside] : [outside]);
    }

    return {
      tryTogether: (ids) => inSandbox(async (scene) => (await inside(scene, ids)).reports),
      tryAlone: (attack) => inSandbox((scene) => tryAlone(attack, scene)),
    };
  }
}
