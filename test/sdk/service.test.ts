import { expect, test } from "bun:test";
import { createDeployment, startBackend } from "../harness/backend.ts";
import { makeRepository } from "../harness/repository.ts";
import { builtSdk } from "./built-sdk.ts";

const { PromptBackend, NotFoundError, ConflictError } = await builtSdk();

test("with the service: from a run to the end of its session", async () => {
  await using deployment = await createDeployment("embedded");
  const repository = await makeRepository();
  await using backend = await startBackend(deployment, { env: { AGENT: "demo" } });
  const pb = new PromptBackend({ baseUrl: backend.url });
  const target = { repo: repository.path, target_branch: "main" };

  expect(await pb.health.check()).toEqual({ status: "ok" });
  expect((await pb.health.detail()).agent).toBe("demo");
  expect((await pb.me.retrieve()).limits.max_unfinished_prompts).toBeGreaterThan(0);

  const kinds = new Set<string>();
  const run = pb.sessions.run(
    { ...target, prompt: "Write a haiku" },
    { onProgress: ({ event }) => kinds.add(event) },
  );
  const { promptId } = await run.created;
  const reviewed = await run;
  expect(reviewed.uiStatus).toMatch(/^NeedsReview/);
  expect(reviewed.messages?.map(({ role }) => role)).toEqual(["user", "assistant"]);
  expect([...kinds].sort()).toEqual(["message", "session"]);

  const messages = [];
  for await (const one of pb.messages.list(promptId, { limit: 1 })) messages.push(one);
  const streamed = [];
  for await (const event of pb.events.session(reviewed.id)) {
    if (event.event === "session") break;
    if (event.event === "message") streamed.push(event.data);
  }
  expect(streamed.map(({ id }) => id)).toEqual(messages.map(({ id }) => id));
  expect(messages.length).toBeGreaterThan(1);
  expect(await pb.messages.retrieve(streamed[0]?.id ?? "")).toMatchObject({ prompt_id: promptId, seq: 1 });

  const fork = await pb.sessions.fork(reviewed.id, { prompt_id: promptId });
  expect((await pb.sessions.retrieve(fork.id)).parent).toBe(reviewed.id);
  const pushed = await pb.sessions.push(reviewed.id);
  expect((await pb.prompts.retrieve(pushed.prompt_id)).kind).toBe("push");
  await expect(pb.prompts.retry(promptId)).rejects.toMatchObject({ status: 409, code: "nothing_to_retry" });
  const prompts = await pb.prompts.list(reviewed.id);
  expect(prompts.data.map(({ id }) => id)).toEqual([promptId, pushed.prompt_id]);

  const { commit } = await pb.prompts.retrieve(promptId);
  const about = { path: "PROMPTS.md", commit: commit ?? "", side: "new", text: "Why?" } as const;
  const comment = await pb.comments.create(reviewed.id, { ...about, line: 1 });
  await expect(pb.comments.create(reviewed.id, { ...about, line: 999 })).rejects.toMatchObject({
    status: 422,
  });
  await pb.comments.update(comment.id, { text: "Why this?" });
  const sent = await pb.comments.send(reviewed.id, { comment_ids: [comment.id] });
  const comments = await pb.comments.list(reviewed.id);
  expect(comments.data).toMatchObject([{ text: "Why this?", status: "sent", prompt_id: sent.prompt_id }]);
  await pb.comments.delete(comment.id);

  const options = { idempotencyKey: "one-session" };
  const once = await pb.sessions.create(target, options);
  const again = await pb.sessions.create(target, options).withResponse();
  expect([again.data.id, again.response.headers.get("idempotency-replayed")]).toEqual([once.id, "true"]);
  expect(again.requestId).toEqual(expect.any(String));
  await expect(pb.sessions.create({ ...target, parent: once.id }, options)).rejects.toBeInstanceOf(
    ConflictError,
  );

  const first = await pb.sessions.list({ limit: 2 });
  expect([first.data.map(({ id }) => id), first.hasNextPage()]).toEqual([[once.id, fork.id], true]);
  const all = [];
  for await (const { id } of pb.sessions.list({ limit: 1 })) all.push(id);
  expect(all).toEqual([once.id, fork.id, reviewed.id]);

  await pb.sessions.update(once.id, { title: "Renamed" });
  await pb.sessions.archive(once.id);
  expect(await pb.sessions.retrieve(once.id)).toMatchObject({ title: "Renamed", uiStatus: "Archived" });
  await pb.sessions.cancel(fork.id);
  expect((await pb.sessions.retrieve(fork.id)).cancellationStatus).toBe("Cancelled");

  let deleted: string | undefined;
  for await (const event of pb.events.all()) {
    if (event.event === "ready") await pb.sessions.delete(once.id);
    if (event.event !== "deleted") continue;
    deleted = event.data.id;
    break;
  }
  expect(deleted).toBe(once.id);
  const error = await pb.sessions.retrieve(once.id).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(NotFoundError);
  expect(error).toMatchObject({ code: "session_not_found", requestId: expect.any(String) });
  expect((await pb.deadLetters.list()).data).toEqual([]);
  await repository.remove();
}, 120_000);
