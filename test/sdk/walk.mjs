/**
 * A small walk through a running service, the same for every runtime. @returns what it saw.
 * @param {typeof import("prompt-backend-client")} sdk
 */
export async function walk({ PromptBackend, NotFoundError }, { baseUrl, token, repo }) {
  const pb = new PromptBackend({ baseUrl, token });
  const { id } = await pb.sessions.create({
    repo,
    target_branch: "main",
    messages: [{ content: "Say hello" }],
  });
  let listed = 0;
  for await (const session of pb.sessions.list()) listed += Number(session.id === id);
  const retrieved = (await pb.sessions.retrieve(id)).id === id;
  let event;
  for await (event of pb.events.session(id)) break;
  const error = await pb.sessions.retrieve("019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708").catch((thrown) => thrown);
  return {
    listed,
    retrieved,
    event: typeof event?.event,
    error: error instanceof NotFoundError && error.status,
  };
}
