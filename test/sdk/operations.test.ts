import { describe, expect, test } from "bun:test";
import document from "../server/openapi/openapi.json";
import { builtSdk } from "./built-sdk.ts";

const { PromptBackend } = await builtSdk();
type Client = InstanceType<typeof PromptBackend>;

const ID = "019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708";
const target = { repo: "owner/name", target_branch: "main" };

/** The method of each operation. A new operation needs a name that people expect: retrieve, list, create, update, delete, … */
const METHODS: Record<string, (pb: Client) => PromiseLike<unknown>> = {
  handlers_health_health: (pb) => pb.health.check(),
  handlers_health_live: (pb) => pb.health.live(),
  handlers_health_ready: (pb) => pb.health.ready(),
  handlers_health_detail: (pb) => pb.health.detail(),
  handlers_me: (pb) => pb.me.retrieve(),
  handlers_sessions_create: (pb) => pb.sessions.create(target),
  handlers_sessions_create_with_prompt: (pb) =>
    pb.sessions.createWithPrompt({ ...target, messages: "Fix it" }),
  handlers_sessions_list: (pb) => pb.sessions.list(),
  handlers_sessions_read: (pb) => pb.sessions.retrieve(ID),
  handlers_sessions_update: (pb) => pb.sessions.update(ID, { title: "Fix" }),
  handlers_sessions_seen: (pb) => pb.sessions.markSeen(ID),
  handlers_sessions_delete: (pb) => pb.sessions.delete(ID),
  handlers_sessions_cancel: (pb) => pb.sessions.cancel(ID),
  handlers_sessions_push: (pb) => pb.sessions.push(ID),
  handlers_sessions_sync: (pb) => pb.sessions.sync(ID),
  handlers_sessions_fork: (pb) => pb.sessions.fork(ID),
  handlers_sessions_list_egress: (pb) => pb.sessions.listEgress(ID),
  handlers_sessions_get_provenance: (pb) => pb.sessions.provenance(ID),
  handlers_provenance_key: (pb) => pb.sessions.provenanceKey(),
  handlers_sessions_diff: (pb) => pb.sessions.diff(ID),
  handlers_sessions_list_commits: (pb) => pb.sessions.listCommits(ID),
  handlers_sessions_read_files: (pb) => pb.sessions.listFiles(ID),
  handlers_sessions_create_pull_request: (pb) => pb.sessions.createPullRequest(ID),
  handlers_sessions_get_pull_request: (pb) => pb.sessions.retrievePullRequest(ID),
  handlers_sessions_merge: (pb) => pb.sessions.merge(ID),
  handlers_sessions_list_effects: (pb) => pb.sessions.listEffects(ID),
  handlers_sessions_events: (pb) => pb.events.session(ID).next(),
  handlers_events: (pb) => pb.events.all().next(),
  handlers_events_create_ticket: (pb) => pb.events.createTicket(),
  handlers_agents_list: (pb) => pb.agents.list(),
  handlers_prompts_create: (pb) => pb.prompts.create({ session_id: ID, data: "Fix it" }),
  handlers_prompts_list: (pb) => pb.prompts.list(ID),
  handlers_prompts_read: (pb) => pb.prompts.retrieve(ID),
  handlers_prompts_update: (pb) => pb.prompts.update(ID, { data: "Fix it" }),
  handlers_prompts_delete: (pb) => pb.prompts.delete(ID),
  handlers_prompts_retry: (pb) => pb.prompts.retry(ID),
  handlers_prompts_resume: (pb) => pb.prompts.resume(ID, { budget_usd: 5 }),
  handlers_attachments_read: (pb) => pb.prompts.readAttachment(ID),
  handlers_messages_create: (pb) => pb.messages.create({ prompt_id: ID, data: { type: "user" } }),
  handlers_messages_list: (pb) => pb.messages.list(ID),
  handlers_messages_read: (pb) => pb.messages.retrieve(ID),
  handlers_messages_update: (pb) => pb.messages.update(ID, { data: { type: "user" } }),
  handlers_messages_delete: (pb) => pb.messages.delete(ID),
  handlers_prompts_steer: (pb) => pb.prompts.steer(ID, { text: "go" }),
  handlers_steers_list: (pb) => pb.prompts.steers(ID),
  handlers_permissions_list: (pb) => pb.permissions.list(ID),
  handlers_permissions_answer: (pb) => pb.permissions.answer(ID, { decision: "allow" }),
  handlers_comments_create: (pb) =>
    pb.comments.create(ID, { path: "a.ts", commit: "0".repeat(40), side: "new", line: 1, text: "Why?" }),
  handlers_comments_list: (pb) => pb.comments.list(ID),
  handlers_comments_update: (pb) => pb.comments.update(ID, { text: "Why not?" }),
  handlers_comments_delete: (pb) => pb.comments.delete(ID),
  handlers_comments_send: (pb) => pb.comments.send(ID),
  handlers_projects_create: (pb) => pb.projects.create({ repo: "owner/name", secrets: { TOKEN: "value" } }),
  handlers_projects_list: (pb) => pb.projects.list(),
  handlers_projects_read: (pb) => pb.projects.retrieve(ID),
  handlers_projects_update: (pb) => pb.projects.update(ID, { instructions: "Be nice." }),
  handlers_projects_delete: (pb) => pb.projects.delete(ID),
  handlers_dead_letter_queue_list_dlq_entries: (pb) => pb.deadLetters.list(),
  handlers_dead_letter_queue_get_dlq_entry: (pb) => pb.deadLetters.retrieve(ID),
  handlers_dead_letter_queue_resolve_dlq: (pb) => pb.deadLetters.resolve(ID),
  handlers_dead_letter_queue_abandon_dlq: (pb) => pb.deadLetters.abandon(ID),
  handlers_dead_letter_queue_retry_dlq: (pb) => pb.deadLetters.retry(ID),
  handlers_dead_letter_queue_retry_dlq_entries: (pb) => pb.deadLetters.retryMany({ ids: [ID] }),
  handlers_dead_letter_queue_bulk: (pb) => pb.deadLetters.bulk({ action: "resolve", ids: [ID] }),
  handlers_usage_list: (pb) => pb.usage.list(),
  handlers_usage_session: (pb) => pb.usage.session(ID),
  handlers_usage_budgets: (pb) => pb.usage.budgets(),
  handlers_audit_list: (pb) => pb.audit.list(),
  handlers_system: (pb) => pb.system.status(),
  handlers_repositories_list: (pb) => pb.repositories.list(),
  handlers_repositories_list_branches: (pb) => pb.repositories.branches("owner/name"),
  handlers_auth_session: (pb) => pb.auth.session(),
  handlers_auth_sign_in_local: (pb) => pb.auth.signInLocal({ code: "code" }),
  handlers_auth_sign_out: (pb) => pb.auth.signOut(),
  handlers_webhooks_forge: (pb) => pb.webhooks.forge({}),
  handlers_webhooks_return_item: (pb) => pb.webhooks.returnItem({ item: {} }),
};

/**
 * The POSTs without an Idempotency-Key, which are retried as well: each of them finds out itself that it was done before, or does no harm twice.
 * A new one needs a key, or a reason to be here.
 */
const REPEATABLE = [
  // A code is valid once: if the reply was lost, so is the sign-in, and a repetition is refused.
  "handlers_auth_sign_in_local",
  "handlers_auth_sign_out",
  "handlers_dead_letter_queue_abandon_dlq",
  "handlers_dead_letter_queue_bulk",
  "handlers_dead_letter_queue_resolve_dlq",
  "handlers_dead_letter_queue_retry_dlq",
  "handlers_dead_letter_queue_retry_dlq_entries",
  // A ticket whose reply was lost expires unused.
  "handlers_events_create_ticket",
  // A question is answered once: a repetition is refused, and changes nothing.
  "handlers_permissions_answer",
  // What waits no more is not resumed again: a repetition is refused, and changes nothing.
  "handlers_prompts_resume",
  "handlers_prompts_retry",
  "handlers_sessions_cancel",
  "handlers_webhooks_forge",
  "handlers_webhooks_return_item",
];

interface Operation {
  operationId: string;
  security?: Record<string, unknown>[];
  parameters?: { name: string; in: string }[];
}
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods as Record<string, Operation>).map(([method, operation]) => ({
    ...operation,
    path,
    method: method.toUpperCase(),
  })),
);

describe("each operation of the OpenAPI document", () => {
  test("has one method, and nothing else has one", () => {
    expect(Object.keys(METHODS).sort()).toEqual(operations.map(({ operationId }) => operationId).sort());
  });

  test.each(operations.map((one) => [one.operationId, one] as const))(
    "%s: its address, and a token only if it wants a user's",
    async (id, { path, method, security = [] }) => {
      const sent: { url: string; init: RequestInit }[] = [];
      const own = (async (url: string, init: RequestInit) => {
        sent.push({ url, init });
        return Response.json({ err: "", msg: "", code: "seen", request_id: "" }, { status: 422 });
      }) as unknown as typeof fetch;
      const pb = new PromptBackend({ baseUrl: "http://service", token: "ada", fetch: own });
      await expect(Promise.resolve(METHODS[id]?.(pb))).rejects.toMatchObject({ code: "seen" });
      expect(sent).toHaveLength(1);
      const [{ url, init } = { url: "", init: {} }] = sent;
      expect(`${init.method} ${new URL(url).pathname}`).toBe(`${method} ${path.replace(/\{\w+\}/, ID)}`);
      const headers = new Headers(init.headers);
      const wantsUser = security.some((one) => "Bearer" in one);
      expect(headers.get("authorization")).toBe(wantsUser ? "Bearer ada" : null);
      expect([...headers.values()]).not.toContain("token");
      expect(headers.has("idempotency-key")).toBe(method === "POST");
    },
  );

  test("is a generated method as well", async () => {
    const api = new PromptBackend({ baseUrl: "http://service" }).api;
    for (const { operationId } of operations) {
      const name = operationId.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
      expect([name, typeof api[name as keyof typeof api]]).toEqual([name, "function"]);
    }
  });

  test("that is a POST may be repeated: it takes an Idempotency-Key, or needs none", () => {
    const keyless = operations.filter(
      ({ method, parameters = [] }) =>
        method === "POST" && !parameters.some(({ name }) => name.toLowerCase() === "idempotency-key"),
    );
    expect(keyless.map(({ operationId }) => operationId).sort()).toEqual(REPEATABLE);
  });
});
