import { messageOf } from "../shared/errors.ts";
import { allocatorSandboxes } from "./allocator/allocator.ts";
import { localSandboxes } from "./local.ts";
import { openMachine } from "./open-machine.ts";
import { openPreparedStore } from "./prepared-store.ts";
import type { SandboxProvider } from "./sandbox.ts";

/**
 * The sandboxes of this process. New ones are of the kind that SANDBOX_PROVIDER names; those that sessions still hold
 * from before it was changed are reopened and released all the same.
 */
export async function openSandboxes(options: Parameters<typeof openMachine>[0]): Promise<SandboxProvider> {
  const { config, logger } = options;
  const machine = await openMachine(options);
  const { dataDir, preparedBytes: maxBytes } = config;
  const prepared = openPreparedStore({ dataDir, maxBytes });
  const local = localSandboxes(machine, prepared);
  const allocator = allocatorSandboxes({
    machine,
    url: config.ipAllocatorUrl,
    dataDir,
    logger,
  });
  const chosen = config.sandboxProvider === "allocator" ? allocator : local;
  const { host, isolation, disk, purge, freeBytes, usedBytes } = machine;
  return {
    host,
    isolation:
      config.sandboxProvider === "allocator"
        ? {
            isolated: true,
            get detail() {
              return `borrowed sandboxes; their agents run beside the service: ${isolation.detail}`;
            },
            get closedNetwork() {
              return isolation.closedNetwork;
            },
            get missing() {
              return isolation.missing;
            },
            refusal: () => isolation.refusal(),
          }
        : isolation,
    async sweep(heldOf) {
      const isNearlyFull = async () => (await freeBytes()) < config.runLimits.minFreeBytes;
      await prepared.sweep(isNearlyFull).catch((error: unknown) => {
        logger.warn("snapshots of prepared checkouts could not be removed", { error: messageOf(error) });
      });
      return (await machine.sweep(heldOf)) + (await allocator.sweep(heldOf));
    },
    purge,
    purgePrepared: prepared.purge,
    disk,
    freeBytes,
    usedBytes,
    sync: (request, sync, signal) => machine.repositoryFor(request).sync(request, sync, signal),
    repositoryFor: machine.repositoryFor,
    branchesOf: machine.branchesOf,
    push: (request, signal) => machine.repositoryFor(request).push(request, signal),
    plan: () => chosen.plan(),
    open: (sandbox, ...rest) =>
      sandbox.provider === "local" ? local.open(sandbox, ...rest) : allocator.open(sandbox, ...rest),
    reopen: (sandbox, request) =>
      sandbox.provider === "local" ? local.reopen(sandbox, request) : allocator.reopen(sandbox, request),
    release: (sandbox) =>
      sandbox.provider === "local" ? local.release(sandbox) : allocator.release(sandbox),
  };
}
