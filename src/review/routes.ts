import { Elysia } from "elysia";
import { isUnchanged, weakEtag } from "../api/etag.ts";
import { decodeSeq, nextCursor, pageOf } from "../api/paging.ts";
import {
  errorResponses,
  idParams,
  NotModified,
  parseLimit,
  securedOperation,
  sharedModels,
} from "../api/schemas.ts";
import type { Guard } from "../auth/guard.ts";
import { joinedPath } from "../sandboxes/git/git-paths.ts";
import type { GitCommit, Shown } from "../sandboxes/git/reader.ts";
import { AppError } from "../shared/errors.ts";
import { MIB } from "../shared/units.ts";
import { contentHeaders } from "./content-types.ts";
import {
  type CommitDto,
  commitsQuery,
  diffQuery,
  diffResponses,
  filesQuery,
  filesResponses,
  reviewModels,
} from "./model.ts";
import { promptsOf } from "./prompt-of.ts";
import type { Reviews, Work } from "./reviews.ts";

const CONTEXT = 3;

/** What was done in a session: its diff, its commits, its files. */
export function reviewRoutes(options: { guard: Guard; reviews: Reviews }) {
  const { guard, reviews } = options;
  const detail = securedOperation("Review");
  return new Elysia()
    .use(guard)
    .model({ ...sharedModels, ...reviewModels })
    .get(
      "/sessions/:id/diff",
      async (context) => {
        const { user, params, query, request, set, status } = context;
        const work = await reviews.work(user.id, params.id);
        const { context: around = CONTEXT, detail = "full", path } = query;
        const wanted = { ...reviews.rangeOf(work, query.prompt_id), context: around, path };
        const isPatch = wantsPatch(request);
        set.headers["vary"] = `${set.headers["vary"]}, Accept`;
        if (isUnchanged(context, weakEtag("diff", wanted, detail, work.head, work.target, isPatch)))
          return status(304, undefined);
        if (isPatch) {
          set.headers["content-type"] = "text/x-diff; charset=utf-8";
          return new Response(new Uint8Array(await reviews.patch(work, wanted)));
        }
        const [diff, conflicts] = await Promise.all([reviews.diff(work, wanted), reviews.conflicts(work)]);
        const about = {
          ...{ base: wanted.from, head: wanted.to, target_head: work.target },
          mergeable: conflicts && conflicts.length === 0,
          conflicts: conflicts ?? [],
          ...{ additions: diff.additions, deletions: diff.deletions, truncated: diff.truncated },
        };
        set.headers["content-type"] = "application/json";
        const files = detail === "summary" ? "[]" : diff.json;
        return new Response(`${JSON.stringify(about).slice(0, -1)},"files":${files}}`);
      },
      {
        params: idParams,
        query: diffQuery,
        transform: ({ query }: { query: { context?: unknown } }) => {
          if (typeof query.context === "string" && /^\d+$/.test(query.context))
            query.context = Number(query.context);
        },
        detail: {
          ...detail(
            "handlers_sessions_diff",
            "Get the diff of a session's work",
            "Against the target branch, from where the two have parted, or that of one prompt alone. It is there as soon as the work was delivered, and at any later time. With `Accept: text/x-diff` it is a patch for `git apply`.",
          ),
          responses: diffResponses,
        },
      },
    )
    .get(
      "/sessions/:id/commits",
      async (context) => {
        const { user, params, query, status } = context;
        const work = await reviews.work(user.id, params.id);
        const { limit, cursor } = query;
        if (
          isUnchanged(context, weakEtag("commits", work.head, work.target, work.row.prompts, limit, cursor))
        )
          return status(304, undefined);
        const { rows, next } = await commitsOf(reviews, work, limit, decodeSeq(cursor));
        return { commits: rows, ...nextCursor(query, { rows, next }) };
      },
      {
        params: idParams,
        query: commitsQuery,
        transform: parseLimit,
        detail: detail(
          "handlers_sessions_list_commits",
          "List the commits of a session's branch",
          "Those that the target branch lacks, newest first, up to 1,000 of them.",
        ),
        response: { 200: "ListCommitsOutput", 304: NotModified, ...errorResponses(401, 404, 409, 422, 500) },
      },
    )
    .get(
      "/sessions/:id/files",
      async (context) => {
        const { user, params, query, set, status } = context;
        const { path = "", ref = "head" } = query;
        const lines = linesIn(query.lines);
        const work = await reviews.work(user.id, params.id);
        const commit = await reviews.commitOf(work, ref);
        if (isUnchanged(context, weakEtag("files", commit, path, lines))) return status(304, undefined);
        const shown = await reviews.show(work, { commit, path, lines });
        if (shown.type !== "directory") {
          const bytes = fileBytes(shown, path, lines !== undefined);
          Object.assign(set.headers, contentHeaders(path, bytes));
          return new Response(new Uint8Array(bytes));
        }
        const { entries, truncated } = shown;
        return {
          ...{ commit, truncated },
          entries: entries.map((one) => ({ ...one, path: joinedPath(path, one.name) })),
        };
      },
      {
        params: idParams,
        query: filesQuery,
        detail: {
          ...detail(
            "handlers_sessions_read_files",
            "List a folder of a session's branch, or read a file",
            "A folder's entries, or the bytes of a file: as text, a picture, or something to save. Up to 10 MiB; of a larger text, a range of lines.",
          ),
          responses: filesResponses,
        },
      },
    );
}

async function commitsOf(reviews: Reviews, work: Work, limit: number | undefined, skipped: number) {
  const all = await reviews.commits(work);
  const end = limit === undefined ? undefined : skipped + limit + 1;
  const numbered = all.slice(skipped, end).map((commit, index) => ({ commit, number: skipped + index + 1 }));
  const page = pageOf(numbered, limit, ({ number }) => `${number}`);
  const prompts = promptsOf(all, work.row.prompts);
  const toDto = (commit: GitCommit): CommitDto => ({ ...commit, prompt_id: prompts.get(commit.id) ?? null });
  return { ...page, rows: page.rows.map(({ commit }) => toDto(commit)) };
}

function fileBytes(shown: Exclude<Shown, { type: "directory" }>, path: string, isPart: boolean): Uint8Array {
  const name = JSON.stringify(path.slice(0, 200));
  if (shown.type === "submodule")
    throw new AppError(
      "file_not_found",
      `path: ${name} is a submodule, at the commit ${shown.id} of a repository that is not here.`,
    );
  if (isPart || shown.size <= shown.bytes.length) return shown.bytes;
  throw new AppError(
    "too_large",
    `path: ${name} has ${Math.ceil(shown.size / MIB)} MB; ask for a part of it with lines=, or fetch the branch.`,
  );
}

const wantsPatch = (request: Request) =>
  /\btext\/x-(diff|patch)\b/i.test(request.headers.get("accept") ?? "");

function linesIn(text: string | undefined): readonly [number, number] | undefined {
  if (text === undefined) return undefined;
  const [first = 0, last = 0] = text.split("-").map(Number);
  if (first <= last) return [first, last];
  throw new AppError("invalid", "lines: the first line must not be after the last; 10-40 is an example.");
}
