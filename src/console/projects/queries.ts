import { queryOptions } from "@tanstack/react-query";
import type { ProjectDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";

const PAGE = 200;

export const projectsQuery = queryOptions({
  queryKey: ["projects"],
  queryFn: async ({ signal }) => {
    const all: ProjectDto[] = [];
    for await (const one of client.projects.list({ limit: PAGE }, { signal })) all.push(one);
    return all;
  },
});

export const projectQuery = (id: string) =>
  queryOptions({
    queryKey: ["projects", id],
    queryFn: ({ signal }) => client.projects.retrieve(id, { signal }),
  });

export const agentsQuery = queryOptions({
  queryKey: ["agents"],
  queryFn: ({ signal }) => client.agents.list({ signal }),
  staleTime: 60_000,
});

/** As the service has it: a change that says so is refused once the project is of another version. */
export const versionTag = ({ id, version }: Pick<ProjectDto, "id" | "version">): string =>
  `W/"${id.toLowerCase()}.${version}"`;
