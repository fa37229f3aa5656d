/**
 * The same replies without our work: a bare Bun.serve with postgres.js, whose statements are prepared. Started by the
 * scenario `http` in a process of its own, with what it needs in the environment.
 */
import postgres from "postgres";

const { DATABASE_URL = "", CREATE_DATABASE_URL = "", SESSION_ID = "", USER_ID = "", POOL } = process.env;
const healthHeaders = JSON.parse(process.env["HEALTH_HEADERS"] ?? "{}") as Record<string, string>;
const healthBody = process.env["HEALTH_BODY"] ?? "";
const options = { max: Number(POOL), fetch_types: false, onnotice: () => undefined };
const sql = postgres(DATABASE_URL, options);
const writes = postgres(CREATE_DATABASE_URL, options);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  routes: {
    "/health": () => new Response(healthBody, { headers: healthHeaders }),
    // The columns that a SessionDto is made of.
    "/read": async () => {
      const [session] =
        await sql`select id, repo, target_branch, branch, title, parent, inbox_status, session_status, waiting, choice,
          sbx_config, comments_version, prompts_version, unread, cancellation_status, cancelled_at, cancelled_by, deleted_at,
          created_at, updated_at, messages from session
        where id = ${SESSION_ID} and user_id = ${USER_ID} and deleted_at is null`;
      return Response.json({ session });
    },
    "/list": async () => {
      const sessions =
        await sql`select id, repo, target_branch, branch, title, parent, inbox_status, session_status, waiting, choice,
          sbx_config, comments_version, prompts_version, unread, cancellation_status, cancelled_at, cancelled_by, deleted_at,
          created_at, updated_at from session
        where user_id = ${USER_ID} and deleted_at is null order by created_at desc, id desc`;
      return new Response(JSON.stringify({ sessions }), { headers: { "content-type": "application/json" } });
    },
    "/create": {
      POST: async (request) => {
        const { repo, target_branch, messages } = (await request.json()) as {
          repo: string;
          target_branch: string;
          messages: { content: string }[];
        };
        return Response.json(await create(repo, target_branch, messages));
      },
    },
  },
});
console.log(`listens on ${server.url.origin}`);

/** The rows that POST /sessions/with-prompt makes, with the statements that insert them. */
async function create(repo: string, target: string, messages: { content: string }[]) {
  const [sessionId, promptId] = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
  const branch = `prompt/${sessionId}`;
  const turns = messages.map(({ content }) => ({ role: "user", content, prompt_id: promptId }));
  await writes.begin(async (tx) => {
    await tx`insert into session (id, user_id, repo, target_branch, title, branch, messages, prompt_seq)
      values (${sessionId}, ${USER_ID}, ${repo}, ${target}, ${messages[0]?.content ?? ""}, ${branch}, ${tx.json(turns)}, 1)`;
    await tx`insert into prompt (id, session_id, user_id, seq, data, priority)
      values (${promptId}, ${sessionId}, ${USER_ID}, 1, ${tx.json(messages)}, 0)`;
    await tx`insert into outbox (id, topic, key, payload)
      values (${Bun.randomUUIDv7()}, 'prompt-run', ${promptId}, ${tx.json({ prompt_id: promptId })})`;
    await tx`insert into audit_pending (actor, action, target, detail) values
      (${USER_ID}, 'session.create', ${`session:${sessionId}`}, ${tx.json({ repo, branch, target_branch: target })}),
      (${USER_ID}, 'prompt.create', ${`prompt:${promptId}`}, ${tx.json({ session: sessionId })})`;
  });
  return { sessionId, promptId };
}
