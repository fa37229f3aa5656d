import { queryOptions } from "@tanstack/react-query";
import type { DiffOutput } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";

/** The host is asked every 15 s at most. */
const PULL_REQUEST_MS = 15_000;
/** Commits never change, so what is read at one stays. */
const FOREVER = { staleTime: Number.POSITIVE_INFINITY };
/** More than any file has: with it, a diff has all lines. */
export const ALL_LINES = 1_000;

export const reviewKey = (id: string) => ["review", id] as const;

export const diffQuery = (id: string, prompt?: string) =>
  queryOptions({
    queryKey: [...reviewKey(id), "diff", prompt],
    queryFn: ({ signal }) =>
      client.sessions.diff(id, prompt === undefined ? {} : { prompt_id: prompt }, { signal }),
  });

/** One file's diff alone: up to 8 MiB of it. @param wanted.context lines around each change */
export const fileDiffQuery = (
  id: string,
  diff: DiffOutput,
  wanted: { path: string; context: number; prompt: string | undefined },
) =>
  queryOptions({
    queryKey: [...reviewKey(id), "file-diff", diff.base, diff.head, wanted],
    queryFn: async ({ signal }) => {
      const { path, context, prompt } = wanted;
      const query = { path, context, ...(prompt !== undefined && { prompt_id: prompt }) };
      const { files } = await client.sessions.diff(id, query, { signal });
      return files.find((file) => file.path === path) ?? null;
    },
    ...FOREVER,
  });

/** @param at.ref a commit */
export const fileQuery = (id: string, at: { path: string; ref: string }) =>
  queryOptions({
    queryKey: [...reviewKey(id), "file", at],
    queryFn: ({ signal }) => client.sessions.readFile(id, at, { signal }),
    ...FOREVER,
  });

/** The same as text, if it is one. */
export const fileTextQuery = (id: string, at: { path: string; ref: string }) =>
  queryOptions({
    queryKey: [...reviewKey(id), "text", at],
    queryFn: async ({ signal }) => {
      const file = await client.sessions.readFile(id, at, { signal });
      const isText = /^text\/|svg/.test(file.type);
      return {
        size: file.size,
        text: isText ? await file.text() : undefined,
        isImage: file.type.startsWith("image/"),
      };
    },
    ...FOREVER,
  });

export const commitsQuery = (id: string) =>
  queryOptions({
    queryKey: [...reviewKey(id), "commits"],
    queryFn: async ({ signal }) => (await client.sessions.listCommits(id, {}, { signal })).data,
  });

export const promptsQuery = (id: string) =>
  queryOptions({
    queryKey: [...reviewKey(id), "prompts"],
    queryFn: async ({ signal }) => Array.fromAsync(client.prompts.list(id, {}, { signal })),
  });

export const commentsQuery = (id: string) =>
  queryOptions({
    queryKey: [...reviewKey(id), "comments"],
    queryFn: async ({ signal }) => Array.fromAsync(client.comments.list(id, {}, { signal })),
  });

export const pullRequestQuery = (id: string) =>
  queryOptions({
    queryKey: [...reviewKey(id), "pull-request"],
    queryFn: ({ signal }) => client.sessions.retrievePullRequest(id, { signal }),
    refetchInterval: PULL_REQUEST_MS,
  });
