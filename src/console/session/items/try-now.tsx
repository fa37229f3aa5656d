import { useState } from "react";
import type { PromptDto } from "../../../../sdk/src/index.ts";
import { client } from "../../api.ts";
import { Button } from "../../ui/button.tsx";
import { complain } from "../../ui/notify.ts";
import { PromptActions } from "../prompt-actions.ts";

/** Ends the wait of a prompt: for who knows that what it waits for is there again. */
export function TryNow({ prompt }: { prompt: PromptDto }) {
  const { changed } = PromptActions.use();
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    try {
      await client.prompts.retry(prompt.id);
    } catch (error) {
      void complain("The prompt was not tried again", error);
    }
    await changed();
    setBusy(false);
  };
  return (
    <Button busy={busy} onClick={retry}>
      Try now
    </Button>
  );
}
