import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { EffectDto, PromptDto, SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { RefusedHosts } from "../projects/refused-hosts.tsx";
import { Outside } from "../ui/outside.tsx";
import { describe } from "../ui/problem.tsx";
import { Time } from "../ui/time.tsx";
import { SessionUsage } from "../usage/session-usage.tsx";
import { choiceOf } from "./choice.ts";
import { figuresOf } from "./figures.ts";

const MEMORY = {
  fresh: "Fresh: there were no earlier prompts.",
  resumed: "Resumed: the agent goes on with its own memory.",
  replayed: "Replayed: its memory was lost, and it has read the conversation instead.",
  cold: "Cold: it knows nothing of the earlier prompts.",
} as const;

/** All that is known of the session besides its conversation. */
export function Details({ session, prompts }: { session: SessionDto; prompts: readonly PromptDto[] }) {
  const latest = prompts.findLast(({ started_at: at }) => at !== null);
  const peak = latest?.usage?.["peak_memory_bytes"];
  return (
    <dl className="details" id="session-details">
      <Fact name="Target branch">
        <code>{session.targetBranch}</code>
      </Fact>
      <Fact name="Created">
        <Time at={session.createdAt} />
      </Fact>
      {session.parent !== null && (
        <Fact name="Forked from">
          <Link to="/s/$id" params={{ id: session.parent }}>
            its original
          </Link>
        </Fact>
      )}
      {latest?.memory && (
        <Fact name="Memory">
          {MEMORY[latest.memory]} {latest.memory_reason}
        </Fact>
      )}
      <Fact name="Sandbox">
        {session.sbxConfig ? (
          <>
            {session.sbxConfig.provider} <code>{session.sbxConfig.id}</code>
          </>
        ) : (
          "None is held now."
        )}{" "}
        <Isolation of={latest?.isolation ?? null} />
      </Fact>
      {peak !== undefined && (
        <Fact name="Peak memory">
          {Math.round(peak / 1_048_576).toLocaleString("en")} MiB, {latest?.usage?.["peak_processes"] ?? "?"}{" "}
          processes
        </Fact>
      )}
      <Fact name="Runs">
        <ol className="runs">
          {prompts
            .filter(({ started_at: at }) => at !== null)
            .map((prompt) => (
              <li key={prompt.id}>
                <a href={`#p-${prompt.id}`}>Prompt {prompt.seq}</a>{" "}
                {[prompt.status, ...choiceOf(prompt), ...figuresOf(prompt)].join(" · ")}
                {prompt.commit !== null && (
                  <>
                    {" "}
                    at <code>{prompt.commit.slice(0, 10)}</code>
                  </>
                )}
              </li>
            ))}
        </ol>
        {latest === undefined && "None has started."}
      </Fact>
      <Fact name="Model calls">
        <SessionUsage session={session} />
      </Fact>
      <Fact name="Project">
        <Project session={session} latest={latest} />
      </Fact>
      <Fact name="Refused hosts">
        <RefusedHosts session={session} runs={prompts.length} />
      </Fact>
      <Effects session={session} />
    </dl>
  );
}

/** What the repository has as its project, and which version of it the newest run had. */
function Project({ session, latest }: { session: SessionDto; latest: PromptDto | undefined }) {
  const settings = (
    <Link to="/p/new" search={{ repo: session.repo }}>
      Project settings
    </Link>
  );
  if (!latest || latest.project_id === null || latest.project_version === null)
    return (
      <>
        {latest ? "The newest run had none." : "No run has had one yet."} {settings}
      </>
    );
  return (
    <>
      <Link to="/p/$id" params={{ id: latest.project_id }}>
        Version {latest.project_version}
      </Link>{" "}
      in the newest run
    </>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Of the newest run; before there is one, of what runs would get. */
function Isolation({ of }: { of: PromptDto["isolation"] }) {
  const { data } = useQuery({
    queryKey: ["health-detail"],
    queryFn: ({ signal }) => client.health.detail({ signal }),
    staleTime: 60_000,
    enabled: of === null,
  });
  const isolation = of ?? data?.isolation;
  if (!isolation) return null;
  return (
    <>
      <span className="badge" data-tone={isolation.isolated ? "good" : "bad"}>
        {isolation.isolated ? "isolated" : "not isolated"}
      </span>{" "}
      {isolation.detail}
    </>
  );
}

const NAMES = { push: "Push", pull_request: "Pull request", merge: "Merge" } as const;
const TONES = { done: "good", failed: "bad", uncertain: "warn", intended: "info" } as const;

/** What the service has done outside of itself. */
function Effects({ session }: { session: SessionDto }) {
  const { data, error } = useQuery({
    queryKey: ["session", session.id, "effects", session.promptsVersion, session.updatedAt],
    queryFn: ({ signal }) => client.sessions.listEffects(session.id, {}, { signal }),
    select: (page) => page.data,
    placeholderData: keepPreviousData,
  });
  return (
    <Fact name="Effects">
      {error && describe(error).text}
      {data?.length === 0 && "Nothing was pushed, and there is no pull request."}
      {data && data.length > 0 && (
        <ul className="effects">
          {data.map((effect) => (
            <Effect key={effect.id} effect={effect} />
          ))}
        </ul>
      )}
    </Fact>
  );
}

function Effect({ effect }: { effect: EffectDto }) {
  const { kind, status, target, result, updated_at: at } = effect;
  return (
    <li>
      <span className="badge" data-tone={TONES[status]}>
        {status}
      </span>{" "}
      {NAMES[kind]} {result?.url !== undefined ? <Outside href={result.url}>{target}</Outside> : target}{" "}
      <Time at={at} className="muted" />
      {result?.reason !== undefined && <p className="muted">{result.reason}</p>}
    </li>
  );
}
