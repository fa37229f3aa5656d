import { useEffect, useState } from "react";
import { type Choice, NO_CHOICE } from "../choice/choice.ts";
import { newKey } from "../ui/new-key.ts";
import { keep, kept } from "../ui/storage.ts";

const KEY = "prompt-backend:draft";

/** What the user is about to send. */
export interface Draft {
  repo: string;
  branch: string;
  prompt: string;
  choice: Choice;
  /** The same in each attempt to send it: the service makes one session of them. */
  key: string;
}

const fresh = (): Draft => ({
  repo: "",
  branch: "",
  prompt: "",
  choice: NO_CHOICE,
  key: newKey(),
});

function stored(): Draft {
  try {
    const draft = JSON.parse(kept(KEY) ?? "") as Partial<Draft> | null;
    if (draft && [draft.repo, draft.branch, draft.prompt, draft.key].every((one) => typeof one === "string"))
      return { ...fresh(), ...draft };
  } catch {
    // There is none, or it is of another version.
  }
  return fresh();
}

/** The draft, which survives a reload. Another text is another session: its key changes with it. */
export function useDraft(): {
  draft: Draft;
  change: (part: Partial<Omit<Draft, "key">>) => void;
  /** Forgets the draft that was sent; what was written since then stays. */
  clear: (sent: Draft) => void;
} {
  const [draft, setDraft] = useState(stored);
  useEffect(() => keep(KEY, JSON.stringify(draft)), [draft]);
  return {
    draft,
    change: (part) => setDraft((old) => ({ ...old, ...part, key: newKey() })),
    clear: ({ key }) => {
      // At once: the page is left before an effect would run.
      if (stored().key === key) keep(KEY, undefined);
    },
  };
}
