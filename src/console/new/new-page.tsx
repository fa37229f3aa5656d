import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { APIError } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { FilesRefused } from "../attachments/attached-files.ts";
import { AttachButton, AttachedList } from "../attachments/attached-list.tsx";
import { useAttachments } from "../attachments/use-attachments.ts";
import { choiceFault, choiceInput } from "../choice/choice.ts";
import { ChoiceRow } from "../choice/choice-row.tsx";
import { usualOfProject } from "../choice/usual.ts";
import { useTitle } from "../notify/title.ts";
import { projectsQuery } from "../projects/queries.ts";
import { projectFor } from "../projects/repository.ts";
import { Button } from "../ui/button.tsx";
import { Problem } from "../ui/problem.tsx";
import { useSettled } from "../ui/use-settled.ts";
import { type Draft, useDraft } from "./draft.ts";
import { branchesQuery, repositoriesQuery } from "./queries.ts";
import { Suggest } from "./suggest.tsx";

const DEFAULT_BRANCH = "main";
/** After this time without a key, a name counts as written. */
const TYPING_MS = 500;
const SOURCES = { recent: "used before", example: "example, made for you", forge: "from its host" } as const;
/** The field that an error is about. */
const FIELD_OF: Readonly<Record<string, "repo" | "branch" | "prompt">> = {
  invalid_repo: "repo",
  repository_unavailable: "repo",
  repository_unreadable: "repo",
  invalid_branch: "branch",
  invalid_prompt: "prompt",
};

/** Says what is wanted, and of which repository. */
export function NewPage() {
  const { draft, change, clear } = useDraft();
  const navigate = useNavigate();
  const attachments = useAttachments();
  const { data: known } = useQuery(repositoriesQuery);
  // The service asks the repository's host: not at each key.
  const { data: branches } = useQuery(branchesQuery(useSettled(draft.repo.trim(), TYPING_MS)));
  const projects = useQuery(projectsQuery);
  useTitle("New session");
  // The first empty field, as it was when the page was opened.
  useEffect(() => {
    const id = document.querySelector<HTMLInputElement>("#repo")?.value === "" ? "#repo" : "#prompt";
    document.querySelector<HTMLElement>(id)?.focus();
  }, []);

  const remembered = known?.repositories.find((one) => one.repo === draft.repo.trim());
  const likelyBranch = remembered?.target_branch ?? branches?.default_branch ?? DEFAULT_BRANCH;
  const send = useMutation({
    mutationFn: async ({ repo, branch, prompt, choice, key }: Draft) => {
      const chosen = choiceInput(choice);
      return attachments.send({ text: prompt, key }, (content, idempotencyKey) =>
        client.sessions.createWithPrompt(
          {
            ...{ repo: repo.trim(), target_branch: branch.trim() || likelyBranch },
            ...{ messages: [{ content }], ...chosen },
          },
          { idempotencyKey },
        ),
      );
    },
    onSuccess: (_made, sent) => clear(sent),
  });
  const field = send.error instanceof APIError ? FIELD_OF[send.error.code ?? ""] : undefined;
  const errorOf = (name: typeof field) =>
    name === field && send.error instanceof APIError ? send.error.msg : undefined;
  const ready = draft.repo.trim() !== "" && (draft.prompt.trim() !== "" || attachments.files.length > 0);
  const submit = () => {
    if (!ready || send.isPending) return;
    send.mutate(draft, {
      // Not called for somebody who has gone to another page meanwhile, and would be taken away from it.
      onSuccess: ({ sessionId }) => void navigate({ to: "/s/$id", params: { id: sessionId } }),
    });
  };

  return (
    <form
      className="page new takes-files"
      {...attachments.target}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        submit();
      }}
    >
      <h1>New session</h1>
      <div className="new-where">
        <Suggest
          id="repo"
          label="Repository"
          placeholder="owner/name, or an https URL"
          value={draft.repo}
          onChange={(repo) => change({ repo })}
          items={(known?.repositories ?? []).map((one) => ({ value: one.repo, hint: SOURCES[one.source] }))}
          hint={unavailable(known?.unavailable)}
          error={errorOf("repo")}
        />
        <Suggest
          id="branch"
          label="Branch to start from"
          placeholder={likelyBranch}
          value={draft.branch}
          onChange={(branch) => change({ branch })}
          items={(branches?.branches ?? []).map((value) => ({
            value,
            hint: value === branches?.default_branch ? "default" : "",
          }))}
          hint="The agent works on a branch of its own."
          error={errorOf("branch")}
        />
      </div>
      <div className="field">
        <label htmlFor="prompt">What shall be done?</label>
        <textarea
          id="prompt"
          className="input new-prompt"
          rows={10}
          value={draft.prompt}
          onChange={(event) => change({ prompt: event.target.value })}
          placeholder="Describe the change: what, where, and how you will know that it is right."
          aria-invalid={errorOf("prompt") !== undefined || undefined}
          aria-describedby="prompt-hint"
        />
        <p className="hint" id="prompt-hint" data-error={errorOf("prompt") !== undefined || undefined}>
          {errorOf("prompt") ?? "The draft stays here until you send it."}
        </p>
      </div>
      <AttachedList attachments={attachments} />
      <ChoiceRow
        open
        value={draft.choice}
        onChange={(choice) => change({ choice })}
        usual={projects.isPending ? undefined : usualOfProject(projectFor(projects.data, draft.repo))}
        repo={draft.repo}
        error={send.error}
      />
      {send.error !== null &&
        field === undefined &&
        !choiceFault(send.error) &&
        !(send.error instanceof FilesRefused) && (
          <Problem title="The session was not started" error={send.error} onRetry={submit} />
        )}
      <div className="new-send">
        <Button type="submit" look="primary" busy={send.isPending} disabled={!ready}>
          Start the session
        </Button>
        <AttachButton attachments={attachments} />
        <span className="muted">
          <kbd>Ctrl</kbd> <kbd>Enter</kbd>
        </span>
      </div>
      <p className="new-project">
        <Link to="/p/new" search={draft.repo.trim() === "" ? {} : { repo: draft.repo.trim() }}>
          Project settings
        </Link>{" "}
        <span className="muted">instructions, setup and secrets of this repository</span>
      </p>
    </form>
  );
}

/** Which hosts have suggested nothing. */
function unavailable(hosts: readonly { host: string; reason: string }[] | undefined): string {
  const [first] = hosts ?? [];
  return first ? `No suggestions of ${first.host}: ${first.reason}` : "";
}
