import { useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import type { ProjectDto } from "../../../sdk/src/index.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { untilLoaded } from "../ui/later.ts";
import { Problem } from "../ui/problem.tsx";
import { AgentFields } from "./agent-fields.tsx";
import { Field } from "./field.tsx";
import { type FieldName, hostsIn } from "./form.ts";
import { forgetHanded, handedTo, handOver, isFilled, type SecretEdit } from "./secrets.ts";
import { SecretsField } from "./secrets-field.tsx";
import { ServersField } from "./servers-field.tsx";
import { StaleNotice } from "./stale-notice.tsx";
import { useEditor } from "./use-editor.ts";
import { useLeaving } from "./use-leaving.ts";
import { useSave } from "./use-save.ts";
import { Variables } from "./variables.tsx";

const DeleteDialog = lazy(() => untilLoaded(() => import("./delete-dialog.tsx")));
const NO_EDITS: readonly SecretEdit[] = [];

/** What a repository needs, to be read and changed. */
export function Editor(options: {
  /** Undefined: it is new. */
  project?: ProjectDto | undefined;
  repo: string;
  /** A refused host that is wanted in the list. */
  allow: string | undefined;
  onAllowed: () => void;
  onDeleted?: () => void;
  children?: (repo: string) => React.ReactNode;
}) {
  const { project, repo, allow, onAllowed, onDeleted, children } = options;
  const editor = useEditor(project, repo);
  const { form, change } = editor;
  const [edits, setEdits] = useState(() => handedTo(project?.id));
  useEffect(() => forgetHanded(project?.id), [project?.id]);
  const [deleting, setDeleting] = useState(false);
  const element = useRef<HTMLFormElement>(null);
  const navigate = useNavigate();
  /** As it is now, also between two drawings of the page. */
  const unsaved = useRef({ draft: false, secrets: false });
  unsaved.current = { draft: editor.changed, secrets: edits.some(isFilled) };
  const typed = useRef(edits);
  typed.current = edits;
  const forget = () => {
    unsaved.current = { draft: false, secrets: false };
    editor.discard();
    setEdits(NO_EDITS);
  };
  const saving = useSave({
    ...{ project, version: editor.version, form, edits },
    onSaved: (stored) => {
      unsaved.current = { draft: false, secrets: false };
      const without = (all: readonly SecretEdit[]) => all.filter((one) => !stored.edits.includes(one));
      if (stored.project) {
        editor.stored(stored.project, stored.form);
        return setEdits(without);
      }
      editor.made(stored.id, stored.form);
      handOver(stored.id, without(typed.current));
      setEdits(NO_EDITS);
    },
  });
  const { save, busy, faults, error } = saving;
  const [address] = useState(() => (project ? `/p/${project.id}` : newAddress(repo)));
  const leaving = useLeaving({
    ...{ hasSecrets: () => unsaved.current.secrets, hasDraft: () => unsaved.current.draft, address },
  });
  const allowed = useAllow(allow, form.egress_hosts, { change, onAllowed });
  const errorOf = (field: FieldName) => faults.find((one) => one.field === field)?.text;
  // Where something is wrong, there the keyboard is.
  useEffect(() => {
    if (faults.length > 0) element.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [faults]);

  return (
    <form
      ref={element}
      className="project"
      autoComplete="off"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        void save();
      }}
    >
      {(editor.stale || saving.conflict) && (
        <StaleNotice
          key={String(saving.conflict)}
          focus={saving.conflict}
          contested={editor.contested}
          onLoad={() => {
            editor.rebase();
            saving.settleConflict();
          }}
          onDiscard={() => {
            forget();
            saving.settleConflict();
          }}
        />
      )}
      <Field
        id="project-repo"
        label="Repository"
        hint={children?.(form.repo) ?? "As sessions name it; all spellings of a repository are one."}
        error={errorOf("repo")}
      >
        {(state) => (
          <input
            {...state}
            className="input mono"
            placeholder="owner/name, or an https URL"
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            value={form.repo}
            onChange={(event) => change({ repo: event.target.value })}
          />
        )}
      </Field>
      <Field
        id="project-instructions"
        label="Instructions"
        hint="For the agent, before the repository's own CLAUDE.md."
        error={errorOf("instructions")}
      >
        {(state) => (
          <textarea
            {...state}
            className="input"
            rows={5}
            placeholder="Run `npm test` before you commit."
            value={form.instructions}
            onChange={(event) => change({ instructions: event.target.value })}
          />
        )}
      </Field>
      <Field
        id="project-setup"
        label="Setup command"
        hint="Runs in the checkout before the agent. If it fails, so does the run."
        error={errorOf("setup_command")}
      >
        {(state) => (
          <textarea
            {...state}
            className="input mono"
            rows={2}
            placeholder="npm ci"
            spellCheck={false}
            value={form.setup_command}
            onChange={(event) => change({ setup_command: event.target.value })}
          />
        )}
      </Field>
      <Variables
        value={form.environment}
        onChange={(environment) => change({ environment })}
        faults={faults.filter(({ field }) => field === "environment")}
      />
      <SecretsField
        secrets={project?.secrets ?? []}
        edits={edits}
        onChange={setEdits}
        faults={faults.filter(({ field }) => field === "secrets")}
      />
      <div>
        <Field
          id="project-hosts"
          label="Allowed hosts"
          hint="One a line: host, *.suffix or host:port. What agents may reach besides what the operator allows; never private addresses."
          error={errorOf("egress_hosts")}
        >
          {(state) => (
            <textarea
              {...state}
              className="input mono"
              rows={3}
              placeholder="registry.example"
              autoCapitalize="off"
              spellCheck={false}
              value={form.egress_hosts}
              onChange={(event) => change({ egress_hosts: event.target.value })}
            />
          )}
        </Field>
        <p className="project-allowed" role="status">
          {allowed}
        </p>
      </div>
      <ServersField
        value={form.mcp_servers}
        onChange={(servers) => change({ mcp_servers: servers })}
        error={errorOf("mcp_servers")}
      />
      <AgentFields form={form} change={change} errorOf={errorOf} />
      {error !== undefined && (
        <Problem title="The project was not saved" error={error} onRetry={() => void save()} />
      )}
      <div className="project-actions project-save">
        <Button type="submit" look="primary" busy={busy}>
          {project ? "Save" : "Make the project"}
        </Button>
        {(editor.changed || edits.length > 0) && (
          <Button look="quiet" onClick={forget}>
            Discard changes
          </Button>
        )}
        <span className="muted" role="status">
          {edits.some(isFilled)
            ? "Not saved. Secrets that you typed are not kept."
            : editor.changed && "Not saved. Kept as a draft in this browser."}
        </span>
        {project && (
          <Button look="danger" className="project-delete" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )}
      </div>
      {leaving.status === "blocked" && (
        <Dialog
          title="Leave without saving?"
          onClose={leaving.reset}
          actions={
            <Button look="danger" onClick={leaving.proceed}>
              Leave
            </Button>
          }
        >
          <p>
            The secrets that you typed or marked are not kept anywhere, so that they would be lost. Other
            changes stay here as a draft.
          </p>
        </Dialog>
      )}
      <Suspense>
        {deleting && project && (
          <DeleteDialog
            project={project}
            onClose={() => setDeleting(false)}
            onDone={() => {
              forget();
              onDeleted?.();
              void navigate({ to: "/p", replace: true });
            }}
          />
        )}
      </Suspense>
    </form>
  );
}

const newAddress = (repo: string) => (repo === "" ? "/p/new" : `/p/new?repo=${encodeURIComponent(repo)}`);

/** Adds a refused host to the form, where it is seen before it is saved. @returns what was done, for people. */
function useAllow(
  host: string | undefined,
  hosts: string,
  given: { change: (part: { egress_hosts: string }) => void; onAllowed: () => void },
): string {
  const [done, setDone] = useState("");
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each host that is asked for.
  useEffect(() => {
    if (host === undefined) return;
    const known = hostsIn(hosts);
    if (known.includes(host)) setDone(`${host} is in the list already.`);
    else {
      given.change({ egress_hosts: [...known, host].join("\n") });
      setDone(`${host} was added to the list. Save to allow it, from the next run on.`);
    }
    document.getElementById("project-hosts")?.focus();
    given.onAllowed();
  }, [host]);
  return done;
}
