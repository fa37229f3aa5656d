import type { CommentDto } from "./model.ts";
import type { FoundComment } from "./whereabouts.ts";

/** A comment as clients see it. */
export function toCommentDto({ row, outdated, current }: FoundComment): CommentDto {
  return {
    id: row.id,
    path: row.path,
    commit: row.commit,
    side: row.side,
    line: row.line,
    end_line: row.endLine,
    text: row.text,
    code: row.code,
    status: row.sentPromptId === null ? "open" : "sent",
    outdated,
    current: current && {
      path: current.path,
      line: current.lines?.line ?? null,
      end_line: current.lines?.endLine ?? null,
    },
    prompt_id: row.sentPromptId,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}
