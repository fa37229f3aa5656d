import type { ClaimedRun } from "../lifecycle/start-run.ts";
import type { CheckoutRequest } from "../sandboxes/sandbox.ts";
import type { RunWriter } from "./writer.ts";

/** What a sandbox needs to know of a run's session. Each push is recorded under the run's fence. */
export function checkoutRequest(run: ClaimedRun, writer: RunWriter): CheckoutRequest {
  const { sessionId, repo, targetBranch, branch, pushedCommit } = run;
  let commit = pushedCommit;
  return {
    sessionId,
    repo,
    targetBranch,
    branch,
    useSecret: writer.recordSecretUse,
    pushes: {
      get commit() {
        return commit;
      },
      async record(next) {
        if (next === commit) return;
        await writer.recordPush(next);
        commit = next;
      },
    },
  };
}
