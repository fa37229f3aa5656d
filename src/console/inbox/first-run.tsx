import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { client } from "../api.ts";
import { meQuery } from "../new/queries.ts";
import { Button } from "../ui/button.tsx";
import { complain } from "../ui/notify.ts";

const DEMO_PROMPT = "Write a haiku about git into HAIKU.md";

/** While only the built-in demo answers: what that means, what changes it, and a session to look at. */
export function FirstRun() {
  const { data: me } = useQuery(meQuery);
  const navigate = useNavigate();
  const demo = useMutation({
    mutationFn: async () => {
      const { repositories } = await client.repositories.list({ limit: 10 });
      const example = repositories.find((one) => one.source === "example");
      if (!example)
        throw new Error("This service has no example repository. Start a session with one of your own.");
      return client.sessions.createWithPrompt({
        repo: example.repo,
        target_branch: example.target_branch ?? "main",
        messages: [{ content: DEMO_PROMPT }],
      });
    },
    onSuccess: ({ sessionId }) => navigate({ to: "/s/$id", params: { id: sessionId } }),
    onError: (error) => complain("The demo session was not started", error),
  });
  if (me?.agent.name !== "demo") return null;
  return (
    <section className="first-run" aria-label="No agent yet">
      <div>
        <h2>No agent yet: the built-in demo answers</h2>
        <p>{me.agent.reason}. Two lines in the terminal change that, once the service is started again:</p>
        <pre>
          {"npm install -g @anthropic-ai/claude-code\n"}
          {"export AGENT=claude ANTHROPIC_API_KEY=sk-ant-…"}
        </pre>
      </div>
      <Button look="primary" busy={demo.isPending} onClick={() => demo.mutate()}>
        Start a demo session
      </Button>
    </section>
  );
}
