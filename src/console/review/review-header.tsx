import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { DiffOutput, SessionDto } from "../../../sdk/src/index.ts";
import { Icon } from "../shell/icons.tsx";
import { visible } from "../ui/visible-text.ts";
import { Counts } from "./file-header.tsx";
import { promptTitle } from "./prompt-title.ts";
import { promptsQuery } from "./queries.ts";

/** What is reviewed, and the way back to the conversation. */
export function ReviewHeader(options: {
  session: SessionDto;
  diff: DiffOutput;
  prompt: string | undefined;
  children: ReactNode;
}) {
  const { session, diff, prompt, children } = options;
  const { data: prompts } = useQuery({ ...promptsQuery(session.id), enabled: prompt !== undefined });
  const shown = prompts?.find(({ id }) => id === prompt);
  return (
    <header className="review-header">
      <Link
        className="button"
        data-look="quiet"
        to="/s/$id"
        params={{ id: session.id }}
        aria-label="Back to the conversation"
      >
        <Icon name="back" />
      </Link>
      <div className="review-title">
        <h1>{visible(session.title)}</h1>
        <p className="muted">
          <code>{visible(session.branch)}</code> → <code>{visible(session.targetBranch)}</code>,{" "}
          {diff.files.length === 1 ? "1 file" : `${diff.files.length} files`} <Counts of={diff} />
          {diff.truncated && " (not all of it is shown)"}
        </p>
        {prompt !== undefined && (
          <p className="review-prompt">
            Only the work of one prompt: {shown ? visible(promptTitle(shown)) : "…"}{" "}
            <Link to="/s/$id/review" params={{ id: session.id }}>
              Show all
            </Link>
          </p>
        )}
      </div>
      <div className="review-tools">{children}</div>
    </header>
  );
}
