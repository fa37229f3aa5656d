import { declineOffer, redispatch } from "../lifecycle/dispatch.ts";
import { createMemoryKeeper } from "../memory/memory.ts";
import { openRunProjects } from "../projects/run-project.ts";
import { createAttest } from "../provenance/attest.ts";
import { openSigningKey } from "../provenance/key.ts";
import { pullRequestsAfterRuns } from "../pull-requests/after-runs.ts";
import { CHANNELS, QUEUES } from "../queue/names.ts";
import { notifyOutbox } from "../queue/outbox.ts";
import { claimNext } from "../runs/claim.ts";
import { LEASE_TTL_MS, openLeaseManager } from "../runs/leases.ts";
import { createOffers } from "../runs/offers.ts";
import { runClaimed } from "../runs/runner.ts";
import { createSlots } from "../runs/slots.ts";
import { messageOf } from "../shared/errors.ts";
import type { Task } from "./task.ts";

/**
 * Runs prompts, `WORKER_CONCURRENCY` at a time. A job is only a wake-up: the database decides which prompt is next.
 * Stopping leaves running agents to the next process on this machine. With `--handover=stop` it waits for them up to the
 * shutdown timeout, then hands over the rest.
 */
export const promptRunner: Task = async ({
  config,
  process,
  handover,
  version,
  database,
  queue,
  sandboxes,
  forges,
  agents,
  model,
  spend,
  metrics,
  logger,
}) => {
  const { orm, asyncCommit } = database;
  const shutdown = new AbortController();
  const attest = createAttest({ key: openSigningKey(config), version, url: config.publicUrl });
  const leases = openLeaseManager({ orm, owner: process, logger });
  const { runLimits: limits, egress } = config;
  const memory = createMemoryKeeper({ orm, maxBytes: config.agentMemoryBytes });
  const { unpushedWorkBytes: maxUnpushedBytes } = config;
  const common = {
    projectOf: openRunProjects({ orm, config, metrics }),
    pullRequestOf: pullRequestsAfterRuns(config, forges),
    leases,
    maxUnpushedBytes,
    sandboxes,
    agents,
    memory,
    model,
    spend,
    egress,
    limits,
    attest,
    version,
    handover,
    metrics,
    logger,
  };
  const deps = { orm, asyncCommit, ...common };
  const claimant = {
    owner: leases.owner,
    host: sandboxes.host,
    ttlMs: LEASE_TTL_MS,
    maxRunning: config.maxRunning,
    maxRunningPerUser: config.maxRunningPerUser,
    defaultAgent: agents.defaultName,
  };
  // An empty payload follows a lost connection: cancellations may have been missed.
  const unlisten = await database.listen(CHANNELS.cancel, (promptId) =>
    promptId === "" ? leases.refresh() : leases.cancel(promptId),
  );
  const unlistenMail = await database.listen(CHANNELS.mail, (promptId) => leases.mail(promptId));
  const { affinityMs } = config;
  const { host } = claimant;
  // Embedded, there is one process, and a job takes longer than all else until the agent starts.
  const alone = database.kind === "embedded";
  // A failure costs the others the rest of `affinityMs`.
  const logged = (work: Promise<unknown>) =>
    void work.catch((error) => logger.warn("the offer of a prompt failed", { error: messageOf(error) }));
  const offers = createOffers({
    decline: (sessionId) => {
      metrics.affinity("declined");
      logged(declineOffer(orm, { host, sessionId }));
    },
    wakeOthers: () => logged(notifyOutbox(orm)),
  });
  // Goes on while prompts wait, so that a lost job does not delay any.
  const slots = createSlots({
    total: config.workerConcurrency,
    // After a loss of power the prompt waits again, and nothing of the run is left.
    claim(lastSlot) {
      const own = { lastSlot, affinityMs, alone, agents: agents.available() };
      return claimNext(asyncCommit, { ...claimant, ...own });
    },
    run(run) {
      if (run.warmHost !== null && run.process === null)
        metrics.affinity(run.warmHost === host ? "warm" : "moved");
      return runClaimed(deps, run, shutdown.signal);
    },
    sessionOf: ({ sessionId }) => sessionId,
    passOn: (promptId) => redispatch(orm, promptId),
    offers,
  });
  const unlistenOutbox = await database.listen(CHANNELS.outbox, () => {
    slots.wake();
    if (alone)
      void slots
        .start()
        .catch((error) => logger.warn("a prompt waits for its job", { error: messageOf(error) }));
  });
  const unlistenOffers = await database.listen(CHANNELS.warmHost, (payload) => {
    const [warmHost, sessionId] = payload.split(" ");
    if (warmHost === host && sessionId) logged(slots.offer(sessionId));
  });
  const worker = queue.work({
    queue: QUEUES.promptRun,
    concurrency: config.workerConcurrency,
    handle: ({ prompt_id }) => slots.work(prompt_id),
  });
  return {
    async stop() {
      const offered = slots.stop();
      const timeoutMs = handover === "leave" ? 0 : config.shutdownTimeoutMs;
      const timer = setTimeout(() => shutdown.abort(new Error("shutting down")), timeoutMs);
      await worker.stop();
      await offered;
      clearTimeout(timer);
      await unlistenOffers();
      await unlistenOutbox();
      await unlistenMail();
      await unlisten();
      await leases.close();
    },
  };
};
