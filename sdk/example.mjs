// Creates a session, follows it to the end, cancels it and lists all sessions. Needs BASE_URL, TOKEN and REPO.
import { connect } from "prompt-backend-client";

const { BASE_URL: baseUrl, TOKEN: token, REPO: repo } = process.env;
const { api, sessionEvents } = connect({ baseUrl, token });

const created = await api.handlersSessionsCreateWithPrompt({
  body: { repo, target_branch: "main", messages: [{ content: "Write a haiku about git" }] },
  headers: { "idempotency-key": crypto.randomUUID() },
});
const { sessionId } = created.data;
console.log("created", sessionId);

// Continues across restarts of the server.
let last = 0;
for await (const event of sessionEvents(sessionId, { onReconnect: () => console.log("reconnecting") })) {
  if (event.event === "message") {
    last = Number(event.id);
    console.log("message", last);
  }
  if (event.event === "session") {
    console.log("session", event.data.uiStatus);
    if (event.data.uiStatus.startsWith("NeedsReview")) break;
  }
}

await api.handlersSessionsCancel({ path: { id: sessionId } });
console.log("cancelled");
const { data } = await api.handlersSessionsList();
console.log("listed", data.sessions.length, "session(s),", last, "message(s) read");
