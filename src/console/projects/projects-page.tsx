import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ProjectDto } from "../../../sdk/src/index.ts";
import { useTitle } from "../notify/title.ts";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { repoName } from "../ui/repo-name.ts";
import { kept } from "../ui/storage.ts";
import { Time } from "../ui/time.tsx";
import { usd } from "../ui/usd.ts";
import { projectsQuery } from "./queries.ts";
import { draftKey } from "./use-editor.ts";

/** What repositories need, by repository. */
export function ProjectsPage() {
  const { data, error, refetch } = useQuery(projectsQuery);
  useTitle("Projects");
  return (
    <div className="page projects">
      <div className="projects-head">
        <h1>Projects</h1>
        <Link className="button" data-look="primary" to="/p/new">
          New project
        </Link>
      </div>
      {error && !data ? (
        <Problem title="The projects could not be read" error={error} onRetry={() => void refetch()} />
      ) : data === undefined ? (
        <Loading what="the projects" />
      ) : data.length === 0 ? (
        <Empty title="No projects yet">
          <p>
            A project is what a repository needs beside its files: instructions for the agent, a command that
            sets its checkout up, variables and secrets, hosts that it may reach, MCP servers. All your
            sessions of the repository have it from their next run on.
          </p>
          <Link to="/p/new">Make the first one</Link>
        </Empty>
      ) : (
        <ul className="projects-list" aria-label="Projects">
          {[...data]
            .sort((a, b) => repoName(a.repo).localeCompare(repoName(b.repo)))
            .map((project) => (
              <li key={project.id} className="card projects-one">
                <Link to="/p/$id" params={{ id: project.id }} title={project.repo}>
                  {repoName(project.repo)}
                </Link>
                <span className="projects-set">
                  {settings(project).map((one) => (
                    <span key={one} className="badge">
                      {one}
                    </span>
                  ))}
                  {kept(draftKey(project.id, "")) !== undefined && (
                    <span className="badge" data-tone="warn">
                      unsaved changes
                    </span>
                  )}
                </span>
                <span className="muted">
                  changed <Time at={project.updated_at} />
                </span>
              </li>
            ))}
        </ul>
      )}
    </div>
  );
}

const counted = (count: number, one: string) => (count === 1 ? `1 ${one}` : `${count} ${one}s`);

/** What is set, in a few words each. */
function settings(project: ProjectDto): string[] {
  const { environment, secrets, egress_hosts: hosts, mcp_servers: servers } = project;
  const found = [
    project.instructions.trim() !== "" && "instructions",
    project.setup_command.trim() !== "" && "setup command",
    ...(
      [
        [Object.keys(environment).length, "variable"],
        [secrets.length, "secret"],
        [hosts.length, "host"],
        [Object.keys(servers).length, "MCP server"],
      ] as const
    ).map(([count, one]) => count > 0 && counted(count, one)),
    project.agent !== null && `agent ${project.agent}`,
    project.model !== null && `model ${project.model}`,
    project.mode !== null && `mode ${project.mode}`,
    project.pull_request !== null && `pull request ${project.pull_request}`,
    project.budget_usd !== null && `budget ${usd(project.budget_usd)}`,
  ].filter((one) => one !== false);
  return found.length > 0 ? found : ["nothing set"];
}
