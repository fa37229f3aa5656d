import { queryOptions } from "@tanstack/react-query";
import { client } from "../api.ts";

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => client.me.retrieve({ signal }),
  staleTime: 60_000,
});

export const repositoriesQuery = queryOptions({
  queryKey: ["repositories"],
  queryFn: ({ signal }) => client.repositories.list({ limit: 200 }, { signal }),
  staleTime: 60_000,
});

/** The branches of a repository; of one that is still being typed, they are not asked for. */
export const branchesQuery = (repo: string) =>
  queryOptions({
    queryKey: ["branches", repo],
    queryFn: ({ signal }) => client.repositories.branches(repo, { signal }),
    staleTime: 60_000,
    enabled: repo.includes("/"),
    retry: false,
  });
