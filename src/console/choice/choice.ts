import { APIError, type CreatePromptInput } from "../../../sdk/src/index.ts";

/** Who works on a prompt and how, as it was chosen: a part of a draft. Empty: nothing was, and no such field is sent. */
export interface Choice {
  agent: string;
  model: string;
  mode: string;
  max_turns: string;
}
export type ChoiceField = keyof Choice;

export const NO_CHOICE: Choice = { agent: "", model: "", mode: "", max_turns: "" };

export const isChosen = (choice: Choice): boolean =>
  Object.values(choice).some((value) => value.trim() !== "");

/** The fields of a request. What the service does not take, it refuses by name. */
export function choiceInput({ agent, model, mode, max_turns: turns }: Choice) {
  return {
    ...(agent !== "" && { agent }),
    ...(model.trim() !== "" && { model: model.trim() }),
    ...(mode !== "" && { mode: mode as NonNullable<CreatePromptInput["mode"]> }),
    ...(turns !== "" && { max_turns: Number(turns) }),
  };
}

const FIELD_OF: Readonly<Record<string, ChoiceField>> = {
  agent_unavailable: "agent",
  model_unavailable: "model",
  mode_unavailable: "mode",
};

/** What the service says of these is the pattern that they do not match. */
const MALFORMED: Readonly<Partial<Record<ChoiceField, string>>> = {
  model: "A name of letters, digits and . _ : / @ + [ ] -, which begins with a letter or a digit.",
  max_turns: "A whole number from 1 to 1,000.",
};

/** What the service refuses of a choice, by its field; undefined: the error is about something else. */
export function choiceFault(error: unknown): { field: ChoiceField; text: string } | undefined {
  if (!(error instanceof APIError)) return undefined;
  const [, name = ""] = /^(?:body\.)?(\w+): /.exec(error.msg) ?? [];
  const field =
    FIELD_OF[error.code ?? ""] ?? (Object.hasOwn(NO_CHOICE, name) ? (name as ChoiceField) : undefined);
  return field && { field, text: (error.code === "invalid" && MALFORMED[field]) || error.msg };
}
