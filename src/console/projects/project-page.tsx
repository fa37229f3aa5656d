import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, Navigate } from "@tanstack/react-router";
import { NotFoundError } from "../../../sdk/src/index.ts";
import { useTitle } from "../notify/title.ts";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { say } from "../ui/notify.ts";
import { Problem } from "../ui/problem.tsx";
import { repoName } from "../ui/repo-name.ts";
import { Time } from "../ui/time.tsx";
import { Editor } from "./editor.tsx";
import { projectQuery, projectsQuery } from "./queries.ts";
import { projectFor } from "./repository.ts";

const one = getRouteApi("/p/$id");
const created = getRouteApi("/p/new");

/** The project of a repository. */
export function ProjectPage() {
  const { id } = one.useParams();
  const { allow } = one.useSearch();
  const navigate = one.useNavigate();
  const queries = useQueryClient();
  const { data: project, error, refetch } = useQuery(projectQuery(id));
  const name = project ? repoName(project.repo) : "Project";
  useTitle(name);
  if (error && (!project || error instanceof NotFoundError))
    return error instanceof NotFoundError || !/^[\da-f-]{36}$/i.test(id) ? (
      <Empty title="There is no such project">
        <p>It was deleted, it belongs to somebody else, or the address is incomplete.</p>
        <Link to="/p">Go to the projects</Link>
      </Empty>
    ) : (
      <Problem title="The project could not be read" error={error} onRetry={() => void refetch()} />
    );
  if (!project) return <Loading what="the project" />;
  return (
    <div className="page">
      <div className="projects-head">
        <h1>{name}</h1>
        <span className="muted">
          version {project.version}, changed <Time at={project.updated_at} />
        </span>
      </div>
      <Editor
        key={id}
        project={project}
        repo={project.repo}
        allow={allow}
        onAllowed={() => void navigate({ search: {}, replace: true })}
        onDeleted={() => {
          queries.removeQueries({ queryKey: projectQuery(id).queryKey });
          void queries.invalidateQueries({ queryKey: projectsQuery.queryKey, exact: true });
          void say("The project is deleted");
        }}
      />
    </div>
  );
}

/** A project that is being made; for a repository that has one, that one. */
export function NewProjectPage() {
  const { repo = "", allow } = created.useSearch();
  const navigate = created.useNavigate();
  const { data: projects, isPending } = useQuery(projectsQuery);
  useTitle("New project");
  if (repo !== "" && isPending) return <Loading what="the projects" />;
  const existing = projectFor(projects, repo);
  if (existing)
    return (
      <Navigate
        to="/p/$id"
        params={{ id: existing.id }}
        search={allow === undefined ? {} : { allow }}
        replace
      />
    );
  return (
    <div className="page">
      <h1>New project</h1>
      <Editor
        key={repo}
        repo={repo}
        allow={allow}
        onAllowed={() => void navigate({ search: repo === "" ? {} : { repo }, replace: true })}
      >
        {(typed) => {
          const known = projectFor(projects, typed);
          return known ? (
            <>
              This repository has a project already:{" "}
              <Link to="/p/$id" params={{ id: known.id }}>
                open it
              </Link>
              .
            </>
          ) : (
            "As sessions name it; all spellings of a repository are one."
          );
        }}
      </Editor>
    </div>
  );
}
