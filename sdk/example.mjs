// Runs a session, follows it to its review, cancels it and lists all sessions. Needs BASE_URL, TOKEN and REPO.
import { PromptBackend } from "prompt-backend-client";

const { BASE_URL: baseUrl, TOKEN: token, REPO: repo } = process.env;
const pb = new PromptBackend({ baseUrl, token });

let last = 0;
const run = pb.sessions.run(
  { repo, target_branch: "main", prompt: "Write a haiku about git" },
  {
    // Continues across restarts of the server.
    onReconnect: () => console.log("reconnecting"),
    onProgress(event) {
      if (event.event === "message") {
        last = event.data.seq;
        console.log("message", last);
      }
      if (event.event === "session") console.log("session", event.data.uiStatus);
    },
  },
);
console.log("created", (await run.created).sessionId);
const session = await run;

await pb.sessions.cancel(session.id);
console.log("cancelled");
let sessions = 0;
for await (const _session of pb.sessions.list()) sessions += 1;
console.log("listed", sessions, "session(s),", last, "message(s) read");
