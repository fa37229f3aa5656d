import type { ClaimedRun } from "../lifecycle/start-run.ts";
import { createLeakSearch } from "../projects/leaks.ts";
import type { CheckoutRequest } from "../sandboxes/sandbox.ts";
import type { PrepareDeps } from "./agent-run.ts";
import { openUnpushedStore } from "./unpushed-store.ts";
import type { RunWriter } from "./writer.ts";

/** What a sandbox needs to know of a run's session. Each push is recorded under the run's fence. */
export function checkoutRequest(
  deps: Pick<PrepareDeps, "orm" | "sandboxes" | "maxUnpushedBytes" | "metrics" | "project">,
  run: ClaimedRun,
  writer: RunWriter,
  signal: AbortSignal,
): CheckoutRequest {
  const { sessionId, repo, targetBranch, branch, startCommit, began, pushedCommit } = run;
  const { orm, sandboxes, maxUnpushedBytes: maxBytes, metrics } = deps;
  const redactor = deps.project?.redactor;
  let commit = pushedCommit;
  const settle = async (settled: string, failure: string | undefined, first: boolean) => {
    if (await writer.settlePush(settled, failure, { first }))
      metrics.effectEnded("push", failure === undefined ? "done" : "failed");
  };
  return {
    sessionId,
    repo,
    targetBranch,
    branch,
    startCommit,
    began,
    inspect: redactor && (() => counted(createLeakSearch(redactor), metrics)),
    useSecret: writer.recordSecretUse,
    unpushed: openUnpushedStore({ orm, run, host: sandboxes.host, signal, maxBytes }),
    pushes: {
      get commit() {
        return commit;
      },
      async record(next, target, replaces) {
        await writer.recordPush(next, target, replaces === undefined ? {} : { replaces });
        commit = replaces ?? next;
      },
      async settle(settled, failure) {
        await settle(settled, failure, false);
        if (failure === undefined) commit = settled;
      },
      async disown(failure) {
        if (commit === null) return;
        await writer.disownPush(commit, failure);
        commit = null;
        metrics.effectEnded("push", "failed");
      },
      first: {
        record: (next, target) => writer.recordPush(next, target, { first: true }),
        settle: (settled, failure) => settle(settled, failure, true),
      },
    },
  };
}

const counted = (search: ReturnType<typeof createLeakSearch>, metrics: PrepareDeps["metrics"]) => ({
  take: search.take,
  refusal() {
    const found = search.refusal();
    if (found !== undefined) metrics.workRefused();
    return found;
  },
});
