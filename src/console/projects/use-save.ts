import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { APIError, type ProjectDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { newKey } from "../ui/new-key.ts";
import { say } from "../ui/notify.ts";
import { type Fault, type Form, faultOf, toInput } from "./form.ts";
import { projectQuery, versionTag } from "./queries.ts";
import { type SecretEdit, secretsIn } from "./secrets.ts";

/** Saves a project. Nothing here keeps the secrets: not in a query, nor in a mutation, which would remember them. */
export function useSave(options: {
  project: ProjectDto | undefined;
  version: number;
  form: Form;
  edits: readonly SecretEdit[];
  /** That is stored: it is to be forgotten, drafts and typed secrets alike, at once. `project` is undefined for a new one. */
  onSaved: (stored: {
    id: string;
    project: ProjectDto | undefined;
    form: Form;
    edits: readonly SecretEdit[];
  }) => void;
}) {
  const { project, version, form, edits, onSaved } = options;
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [busy, setBusy] = useState(false);
  const [faults, setFaults] = useState<readonly Fault[]>([]);
  const [error, setError] = useState<unknown>();
  /** Whether the service has refused a change because of another one, which it was made without. */
  const [conflict, setConflict] = useState(false);
  const attempt = useRef({ of: "", key: "" });

  const store = async (input: Parameters<typeof client.projects.create>[0]): Promise<void> => {
    if (project) {
      const headers = { "if-match": versionTag({ id: project.id, version }) };
      const { project: saved } = await client.projects.update(project.id, input, { headers });
      onSaved({ id: project.id, project: saved, form, edits });
      queries.setQueryData(projectQuery(project.id).queryKey, saved);
      return;
    }
    // The same key while the form is the same, so that one whose answer was lost is not made twice.
    const of = JSON.stringify([form, edits.map(({ key, name }) => [key, name])]);
    if (attempt.current.of !== of) attempt.current = { of, key: newKey() };
    const { id } = await client.projects.create(input, { idempotencyKey: attempt.current.key });
    onSaved({ id, project: undefined, form, edits });
    await navigate({ to: "/p/$id", params: { id }, replace: true });
  };
  const save = async (): Promise<void> => {
    if (busy) return;
    const made = toInput(form);
    setError(undefined);
    setFaults("faults" in made ? made.faults : []);
    if ("faults" in made) return;
    setBusy(true);
    try {
      await store({ ...made.input, secrets: secretsIn(edits) });
      setConflict(false);
      void say("The project is saved");
      void queries.invalidateQueries({ queryKey: ["projects"], exact: true });
    } catch (failure) {
      if (failure instanceof APIError && failure.status === 412 && project) {
        setConflict(true);
        await queries.refetchQueries({ queryKey: projectQuery(project.id).queryKey, exact: true });
      } else {
        const fault = failure instanceof APIError ? faultOf(failure, form) : undefined;
        if (fault) setFaults([fault]);
        else setError(failure);
      }
    }
    setBusy(false);
  };
  return { save, busy, faults, error, conflict, settleConflict: () => setConflict(false) };
}
