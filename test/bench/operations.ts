import type { SQL } from "bun";
import { BIGGEST_USER } from "./large-data.ts";

/** A request of an operation. */
export interface Asked {
  operation: string;
  method: string;
  path: string;
  body?: unknown;
  /** Whose token; default: the biggest user's. */
  as?: "admin" | "other";
  headers?: Record<string, string>;
  /** A stream: read until this text is in it. */
  until?: RegExp;
}

/** Who has as many sessions as most. */
export const OTHER_USER = "user-1000";
export const WEBHOOK_SECRET = "0123456789abcdef";

/**
 * Requests of all operations, with ids of rows that let them succeed, as far as no host of git is needed. Each call takes
 * other rows.
 */
export async function allOperations(
  sql: SQL,
  round: number,
  { repository, commit }: { repository: string; commit: string },
): Promise<Asked[]> {
  const ids = async (text: string): Promise<string[]> =>
    (await sql.unsafe(`select id::text from ${text}`)).map((row: { id: string }) => row.id);
  // Of a small database there are fewer: it begins again.
  const pick = (text: string, user = BIGGEST_USER) => {
    const from = text.replaceAll("OWNER", `'${user}'`);
    const offset = `${round * 20} % greatest(1, (select count(*) from ${from}) - 19)`;
    return ids(`${from} order by created_at offset ${offset} limit 20`);
  };
  const own = `session where user_id = OWNER and deleted_at is null and created_at between now() - interval '90 days' and now() - interval '1 day'`;
  const idle = `${own} and inbox_status = 'Completed' and session_status = 'Active'`;
  const done = await pick(`${idle} and pushed_commit is null`);
  const pushed = await pick(`${idle} and pushed_commit is not null and repo = '${repository}'`);
  const ofForge = await pick(`${idle} and pushed_commit is not null and repo <> '${repository}'`);
  const queued = await pick(`${own} and inbox_status = 'Pending' and waiting is null`);
  const running = await pick(`${own} and inbox_status = 'Processing'`);
  const of = (sessions: string[], status: string) =>
    ids(`prompt where session_id = any('{${sessions.join(",")}}') and status = '${status}'`);
  const finished = await of(done, "Completed");
  const waiting = await of(queued, "Queued");
  const delayed = await pick(
    "prompt where user_id = OWNER and status = 'Queued' and waiting_for is not null",
  );
  const [long = ""] = await ids("session where title = 'A long one'");
  const [longPrompt = ""] = await ids(`prompt where session_id = '${long}' and seq = 1`);
  const messages = await ids(`message where prompt_id = any('{${finished.join(",")}}')`);
  const comments = await ids(
    `comment where session_id = any('{${pushed.join(",")}}') and sent_prompt_id is null`,
  );
  const letters = await pick("dead_letter_queue where user_id = OWNER and status = 'Pending'");
  const [others = ""] = await pick(own, OTHER_USER);
  const at = (list: string[], n: number) =>
    list[n % Math.max(1, list.length)] ?? "00000000-0000-7000-8000-000000000000";
  const target = { repo: repository, target_branch: "main" };
  const halfAgo = new Date(Date.now() - 90 * 86_400_000).toISOString();
  const list: Asked[] = [];
  const ask = (operation: string, method: string, path: string, more: Partial<Asked> = {}) =>
    list.push({ operation: `handlers_${operation}`, method, path, ...more });

  for (const path of ["health", "live", "ready", "detail"])
    ask(`health_${path}`, "GET", path === "health" ? "/health" : `/health/${path}`, { as: "admin" });
  ask("me", "GET", "/me");

  // A list is asked for with each filter alone, on its first page, on a later one, and of a user who has little.
  const later = `${Date.parse(halfAgo)}.${at(done, 3)}`;
  for (const as of [undefined, "other"] as const)
    for (const query of [
      "limit=50",
      `limit=50&cursor=${later}`,
      "limit=50&order=oldest",
      `limit=50&repo=${encodeURIComponent("https://git.invalid/owner/name-7")}`,
      "limit=50&q=nowhere",
      "limit=50&q=case",
      "limit=50&status=Pending",
      "limit=50&status=InProgress",
      "limit=50&status=NeedsReview",
      "limit=50&status=Archived&order=oldest",
    ])
      ask("sessions_list", "GET", `/sessions?${query}`, as && { as });
  ask("sessions_list", "GET", "/sessions", { as: "other" });

  for (const [id, as] of [
    [at(done, 0), undefined],
    [long, undefined],
    [others, "other"],
  ] as const) {
    const more = as ? { as } : {};
    ask("sessions_read", "GET", `/sessions/${id}`, more);
    ask("prompts_list", "GET", `/sessions/${id}/prompts?limit=50`, more);
    ask("prompts_list", "GET", `/sessions/${id}/prompts?limit=50&cursor=500`, more);
    ask("comments_list", "GET", `/sessions/${id}/comments?limit=50`, more);
    ask("sessions_list_egress", "GET", `/sessions/${id}/egress?limit=50`, more);
    ask("sessions_list_effects", "GET", `/sessions/${id}/effects?limit=50`, more);
    ask("sessions_get_provenance", "GET", `/sessions/${id}/provenance`, more);
    ask("sessions_get_pull_request", "GET", `/sessions/${id}/pull-request`, more);
    ask("sessions_events", "GET", `/sessions/${id}/events`, { ...more, until: /event: / });
  }
  ask("sessions_events", "GET", `/sessions/${long}/events?after=500`, { until: /event: message/ });
  ask("comments_list", "GET", `/sessions/${long}/comments?limit=50&cursor=${at(comments, 0)}`);
  ask("sessions_list_effects", "GET", `/sessions/${long}/effects?limit=50&cursor=${at(comments, 0)}`);
  ask("prompts_read", "GET", `/prompts/${at(finished, 0)}`);
  ask("messages_list", "GET", `/prompts/${at(finished, 0)}/messages?limit=50`);
  ask("messages_list", "GET", `/prompts/${longPrompt}/messages?limit=50`);
  ask("messages_list", "GET", `/prompts/${longPrompt}/messages?limit=50&cursor=20000`);
  ask("messages_read", "GET", `/messages/${at(messages, 0)}`);
  ask("sessions_get_provenance", "GET", `/sessions/${at(pushed, 0)}/provenance`);
  ask("provenance_key", "GET", "/provenance/key");
  for (const id of [at(pushed, 0), at(done, 1)]) {
    ask("sessions_diff", "GET", `/sessions/${id}/diff`);
    ask("sessions_list_commits", "GET", `/sessions/${id}/commits`);
    ask("sessions_read_files", "GET", `/sessions/${id}/files`);
  }
  ask("repositories_list", "GET", "/repositories");
  ask("repositories_list_branches", "GET", `/repositories/branches?repo=${encodeURIComponent(repository)}`);
  ask("events", "GET", "/events", { until: /event: ready/ });
  ask("events", "GET", "/events", { as: "other", until: /event: ready/ });
  ask("events_create_ticket", "POST", "/events/ticket");
  ask("system", "GET", "/system/status", { as: "admin" });
  for (const query of [
    "limit=100",
    "limit=100&cursor=900000",
    `limit=100&actor=${OTHER_USER}`,
    "limit=100&actor=nobody",
    "limit=100&action=session.create",
    "limit=100&action=audit.purge",
    `limit=100&from=${halfAgo}`,
    `limit=100&to=${halfAgo}`,
    `limit=100&from=${halfAgo}&to=${new Date(Date.parse(halfAgo) + 3_600_000).toISOString()}`,
    `limit=100&actor=${OTHER_USER}&action=session.create`,
    `limit=100&actor=${BIGGEST_USER}&to=${halfAgo}`,
  ])
    ask("audit_list", "GET", `/audit?${query}`, { as: "admin" });
  ask(
    "audit_list",
    "GET",
    `/audit?from=${new Date(Date.parse(halfAgo)).toISOString()}&to=${new Date(Date.parse(halfAgo) + 86_400_000).toISOString()}`,
    { as: "admin", headers: { accept: "application/x-ndjson" } },
  );
  const day = halfAgo.slice(0, 10);
  for (const as of [undefined, "other"] as const)
    for (const group of ["day", "model", "session&limit=50"])
      ask("usage_list", "GET", `/usage?group_by=${group}`, as && { as });
  ask("usage_list", "GET", `/usage?from=${day}&to=${day}&group_by=user&scope=all`, { as: "admin" });
  for (const id of [at(done, 0), long]) ask("usage_session", "GET", `/sessions/${id}/usage`);
  for (const as of [undefined, "admin"] as const) ask("usage_budgets", "GET", "/budgets", as && { as });
  for (const as of [undefined, "admin"] as const)
    for (const query of ["", "?status=Pending", "?status=Resolved"])
      ask("dead_letter_queue_list_dlq_entries", "GET", `/dead-letter-queue${query}`, as && { as });
  ask("dead_letter_queue_get_dlq_entry", "GET", `/dead-letter-queue/${at(letters, 0)}`);

  // What changes something. Comments and pull requests need a host of git beyond their first statements.
  const keyed = (key: string) => ({ headers: { "idempotency-key": `${key}-${round}-${Date.now()}` } });
  ask("sessions_create", "POST", "/sessions", {
    body: { ...target, parent: at(done, 2) },
    ...keyed("create"),
  });
  ask("sessions_create_with_prompt", "POST", "/sessions/with-prompt", {
    body: { ...target, messages: "Fix it" },
    as: "other",
    ...keyed("with"),
  });
  ask("sessions_update", "PUT", `/sessions/${at(done, 4)}`, { body: { id: at(done, 4), title: "Renamed" } });
  ask("sessions_update", "PUT", `/sessions/${at(done, 5)}`, {
    body: { id: at(done, 5), ui_status: "Archived" },
  });
  ask("sessions_seen", "PUT", `/sessions/${at(done, 4)}/seen`);
  ask("sessions_delete", "DELETE", `/sessions/${at(done, 6)}`);
  ask("sessions_delete", "DELETE", `/sessions/${at(queued, 6)}`);
  ask("sessions_cancel", "POST", `/sessions/${at(queued, 7)}/cancel`);
  ask("sessions_cancel", "POST", `/sessions/${at(running, 0)}/cancel`);
  ask("sessions_push", "POST", `/sessions/${at(done, 7)}/push`, keyed("push"));
  ask("sessions_sync", "POST", `/sessions/${at(pushed, 8)}/sync`, keyed("sync"));
  ask("sessions_fork", "POST", `/sessions/${at(pushed, 9)}/fork`, keyed("fork"));
  ask("sessions_fork", "POST", `/sessions/${long}/fork`, keyed("fork-long"));
  ask("sessions_create_pull_request", "POST", `/sessions/${at(ofForge, 10)}/pull-request`, {
    body: {},
    ...keyed("pr"),
  });
  ask("sessions_merge", "POST", `/sessions/${at(ofForge, 11)}/merge`, { body: {}, ...keyed("merge") });
  ask("prompts_create", "POST", "/prompts", {
    body: { session_id: at(done, 8), data: "Go on" },
    ...keyed("prompt"),
  });
  ask("prompts_update", "PUT", `/prompts/${at(waiting, 0)}`, { body: { data: "Something else" } });
  ask("prompts_delete", "DELETE", `/prompts/${at(waiting, 1)}`);
  ask("prompts_retry", "POST", `/prompts/${at(delayed, 0)}/retry`);
  ask("prompts_resume", "POST", `/prompts/${at(delayed, 1)}/resume`, { body: { budget_usd: 5 } });
  ask("messages_create", "POST", "/messages", {
    body: { prompt_id: at(finished, 2), data: { type: "user", uuid: crypto.randomUUID() } },
    ...keyed("message"),
  });
  ask("messages_create", "POST", "/messages", {
    body: { prompt_id: longPrompt, data: { type: "user", uuid: crypto.randomUUID() } },
    ...keyed("message-long"),
  });
  ask("messages_update", "PUT", `/messages/${at(messages, 2)}`, {
    body: { data: { type: "user", uuid: crypto.randomUUID() } },
  });
  ask("messages_delete", "DELETE", `/messages/${at(messages, 3)}`);
  const line = { path: "README.md", commit, side: "new", line: 1, text: "Why?" };
  ask("comments_create", "POST", `/sessions/${at(pushed, 0)}/comments`, { body: line, ...keyed("comment") });
  ask("comments_update", "PUT", `/comments/${at(comments, 0)}`, { body: { text: "Why not?" } });
  ask("comments_delete", "DELETE", `/comments/${at(comments, 1)}`);
  ask("comments_send", "POST", `/sessions/${at(pushed, 2)}/comments/send`, { body: {}, ...keyed("send") });
  ask("dead_letter_queue_resolve_dlq", "POST", `/dead-letter-queue/${at(letters, 1)}/resolve`);
  ask("dead_letter_queue_abandon_dlq", "POST", `/dead-letter-queue/${at(letters, 2)}/abandon`);
  ask("dead_letter_queue_retry_dlq", "POST", `/dead-letter-queue/${at(letters, 3)}/retry`);
  ask("dead_letter_queue_retry_dlq_entries", "POST", "/dead-letter-queue/retry", {
    body: { ids: [at(letters, 4)] },
  });
  ask("dead_letter_queue_retry_dlq_entries", "POST", "/dead-letter-queue/retry", {
    as: "admin",
    body: { task_type: "nothing", failed_after: halfAgo },
  });
  ask("dead_letter_queue_bulk", "POST", "/dead-letter-queue/bulk", {
    body: { action: "resolve", ids: [at(letters, 5)] },
  });
  ask("webhooks_return_item", "POST", "/webhook/return", {
    body: { item: { api_url: "http://nowhere" } },
    headers: { authorization: `Bearer ${WEBHOOK_SECRET}` },
  });
  for (const body of [
    { pull_request: { html_url: "https://git.invalid/owner/name-1/pull/1" } },
    { repository: { html_url: "https://git.invalid/owner/name-1" }, check_run: {} },
  ])
    ask("webhooks_forge", "POST", "/webhook/forge", { body, headers: { "x-gitlab-token": WEBHOOK_SECRET } });
  return list;
}
