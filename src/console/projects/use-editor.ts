import { useMemo } from "react";
import type { ProjectDto } from "../../../sdk/src/index.ts";
import { keep } from "../ui/storage.ts";
import { useStored } from "../ui/stored.ts";
import { difference, emptyForm, type Form, formOf } from "./form.ts";

/** What was typed and is not saved, and what it was typed over. */
interface Draft {
  form: Form;
  base: Form;
  /** Of the project that `base` is. */
  version: number;
}

/** What a project begins with. */
const FIRST_VERSION = 1;

export const draftKey = (id: string | undefined, repo: string) =>
  `prompt-backend:project:${id ?? `new:${repo}`}`;

/** The form of a project. What is typed into it is kept in this browser until it is saved or discarded. */
export function useEditor(project: ProjectDto | undefined, repo: string) {
  const [stored, setDraft] = useStored<Draft | null>(draftKey(project?.id, repo), null);
  const current = useMemo(() => (project ? formOf(project) : emptyForm(repo)), [project, repo]);
  // One that another version of this page has kept may lack a field.
  const draft =
    stored && Object.keys(current).every((field) => Object.hasOwn(stored.form, field)) ? stored : null;
  const { form, base, version } = draft ?? { form: current, base: current, version: project?.version ?? 0 };
  const keepChanged = (next: Draft) => (difference(next.form, next.base).length > 0 ? next : null);
  const mine = difference(form, base);
  const theirs = difference(base, current);
  return {
    form,
    /** The version that a change of it is made to. */
    version,
    changed: draft !== null,
    /** Whether somebody else has saved something since. */
    stale: draft !== null && project !== undefined && version !== project.version,
    /** What both have changed. */
    contested: mine.filter((field) => theirs.includes(field)),
    change: (part: Partial<Form>) =>
      setDraft((now) => {
        const before = now ?? { form: current, base: current, version: project?.version ?? 0 };
        return keepChanged({ ...before, form: { ...before.form, ...part } });
      }),
    discard: () => setDraft(() => null),
    /** Takes in what somebody else has saved. What was typed here stays. */
    rebase: () =>
      setDraft((now) => {
        if (!now || !project) return null;
        const form = withChanges(current, { of: now.form, since: now.base });
        return keepChanged({ form, base: current, version: project.version });
      }),
    /** A form is stored. What was typed since it was sent stays. */
    stored: (made: ProjectDto, sent: Form) =>
      setDraft((now) => {
        if (!now) return null;
        const base = formOf(made);
        const form = withChanges(base, { of: now.form, since: sent });
        return keepChanged({ form, base, version: made.version });
      }),
    /** A new project is made. What was typed since its form was sent goes on at its own page. */
    made: (id: string, sent: Form) =>
      setDraft((now) => {
        const rest = now && keepChanged({ form: now.form, base: sent, version: FIRST_VERSION });
        keep(draftKey(id, sent.repo), rest ? JSON.stringify(rest) : undefined);
        return null;
      }),
  };
}

const withChanges = (form: Form, { of, since }: { of: Form; since: Form }): Form => ({
  ...form,
  ...Object.fromEntries(difference(of, since).map((field) => [field, of[field]])),
});
