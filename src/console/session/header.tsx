import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { PromptDto, SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useSessionActions } from "../inbox/actions.ts";
import { groupOf, stateOf, TONES } from "../inbox/groups.ts";
import { useExpectation } from "../live/live.tsx";
import { Icon } from "../shell/icons.tsx";
import { useKeys } from "../shell/keys.ts";
import { Button } from "../ui/button.tsx";
import { complain } from "../ui/notify.ts";
import { repoName } from "../ui/repo-name.ts";
import { Time } from "../ui/time.tsx";
import { Details } from "./details.tsx";
import { usageOf, usageWords } from "./figures.ts";
import { Counts } from "./items/edit.tsx";
import { Title } from "./title.tsx";

/** What the session is about and how it stands, and what can be done with it as a whole. */
export function Header(options: { session: SessionDto; prompts: readonly PromptDto[]; onFork: () => void }) {
  const { session, prompts, onFork } = options;
  const [details, setDetails] = useState(false);
  return (
    <header className="session-head">
      <div className="session-line">
        <Title session={session} />
        <span className="badge" data-tone={TONES[groupOf(session)]} role="status">
          {stateOf(session)}
        </span>
      </div>
      <div className="session-line session-facts">
        <span className="session-place">
          <Icon name="branch" />
          <span title={session.repo}>{repoName(session.repo)}</span>
          <span className="muted">·</span>
          <code title={session.branch}>{session.branch}</code>
        </span>
        <Phase prompts={prompts} />
        <span className="muted">{usageWords(usageOf(prompts)).join(" · ")}</span>
        <Actions session={session} prompts={prompts} onFork={onFork} />
        <Button
          look="quiet"
          aria-expanded={details}
          aria-controls="session-details"
          onClick={() => setDetails(!details)}
        >
          Details
        </Button>
      </div>
      {session.waitingReason !== null && <p className="session-waiting">{session.waitingReason}</p>}
      {details && <Details session={session} prompts={prompts} />}
    </header>
  );
}

/** What the run that is on its way does, and since when. */
function Phase({ prompts }: { prompts: readonly PromptDto[] }) {
  const phase = prompts.find(({ status }) => status === "Running")?.phases.at(-1);
  if (!phase) return null;
  return (
    <span className="muted">
      {phase.name} since <Time at={phase.started_at} />
    </span>
  );
}

function Actions({ session, prompts, onFork }: Parameters<typeof Header>[0]) {
  const { id } = session;
  const navigate = useNavigate();
  useKeys({ v: () => void navigate({ to: "/s/$id/review", params: { id } }) });
  const unfinished = prompts.some(({ status }) => status === "Queued" || status === "Running");
  return (
    <span className="session-actions">
      {unfinished && <Cancel session={session} />}
      <Link className="button" to="/s/$id/review" params={{ id }} title="v">
        Review <Changes session={session} />
      </Link>
      {prompts.some(({ finished_at: at }) => at !== null) && <Button onClick={onFork}>Fork</Button>}
      <Archive session={session} />
    </span>
  );
}

function Cancel({ session }: { session: SessionDto }) {
  const expect = useExpectation();
  const asked = session.cancellationStatus === "Requested";
  const cancel = async () => {
    const takeBack = expect(session.id, { cancellationStatus: "Requested" });
    try {
      await client.sessions.cancel(session.id);
    } catch (error) {
      takeBack();
      void complain("The session was not cancelled", error);
    }
  };
  return (
    <Button look="danger" busy={asked} onClick={cancel}>
      {asked ? "Cancelling …" : "Cancel"}
    </Button>
  );
}

/** Archives the session, or takes it up again. */
function Archive({ session }: { session: SessionDto }) {
  const { archive, unarchive } = useSessionActions();
  return session.uiStatus === "Archived" ? (
    <Button onClick={() => unarchive(session)}>Unarchive</Button>
  ) : (
    <Button onClick={() => archive(session)}>Archive</Button>
  );
}

/** How many lines the session has changed; nothing while that is not known. Its prompts and the review change them. */
function Changes({ session }: { session: SessionDto }) {
  const { data } = useQuery({
    queryKey: ["session", session.id, "size", session.promptsVersion],
    queryFn: ({ signal }) =>
      client.sessions.diff(session.id, { detail: "summary" }, { signal, maxRetries: 0 }),
    select: ({ additions, deletions }) => ({ additions, deletions }),
    enabled: session.inboxStatus !== "Pending" && session.inboxStatus !== "Processing",
    // Without work, or where the repository cannot be reached, the review says so.
    retry: false,
  });
  return data ? <Counts added={data.additions} removed={data.deletions} /> : null;
}
