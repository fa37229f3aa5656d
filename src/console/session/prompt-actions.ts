import { createContext, useContext } from "react";

interface Actions {
  /** Opens the dialog that forks the session after this prompt. */
  fork(promptId: string): void;
  /** The prompts were changed: they are read again. */
  changed(): Promise<void>;
}

const Context = createContext<Actions>({ fork: () => undefined, changed: async () => undefined });

/** What can be done with each prompt of the conversation. */
export const PromptActions = { Provider: Context, use: () => useContext(Context) };
