import { APIError, type CreatePromptInput } from "../../../sdk/src/index.ts";
import { NO_AMOUNT, readUsd } from "../ui/usd.ts";

/** Who works on a prompt and how, as it was chosen: a part of a draft. Empty: nothing was, and no such field is sent. */
export interface Choice {
  agent: string;
  model: string;
  mode: string;
  max_turns: string;
  /** Undefined: of a draft that was kept before there was such a field. */
  budget_usd?: string | undefined;
}
export type ChoiceField = keyof Choice;

export const NO_CHOICE: Choice = { agent: "", model: "", mode: "", max_turns: "", budget_usd: "" };

export const isChosen = (choice: Choice): boolean =>
  Object.values(choice).some((value) => (value ?? "").trim() !== "");

/** What is not sent, because the service could not say at which field it is wrong. */
class ChoiceRefused extends Error {
  override readonly name = "ChoiceRefused";
  readonly field: ChoiceField;
  constructor(field: ChoiceField, message: string) {
    super(message);
    this.field = field;
  }
}

/** The fields of a request. What the service does not take, it refuses by name. @throws ChoiceRefused */
export function choiceInput({ agent, model, mode, max_turns: turns, budget_usd: budget = "" }: Choice) {
  const amount = readUsd(budget);
  if (budget.trim() !== "" && amount === undefined) throw new ChoiceRefused("budget_usd", NO_AMOUNT);
  return {
    ...(agent !== "" && { agent }),
    ...(model.trim() !== "" && { model: model.trim() }),
    ...(mode !== "" && { mode: mode as NonNullable<CreatePromptInput["mode"]> }),
    ...(turns !== "" && { max_turns: Number(turns) }),
    ...(amount !== undefined && { budget_usd: amount }),
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

/** What is refused of a choice, by its field; undefined: the error is about something else. */
export function choiceFault(error: unknown): { field: ChoiceField; text: string } | undefined {
  if (error instanceof ChoiceRefused) return { field: error.field, text: error.message };
  if (!(error instanceof APIError)) return undefined;
  const [, name = ""] = /^(?:body\.)?(\w+): /.exec(error.msg) ?? [];
  const field =
    FIELD_OF[error.code ?? ""] ?? (Object.hasOwn(NO_CHOICE, name) ? (name as ChoiceField) : undefined);
  return field && { field, text: (error.code === "invalid" && MALFORMED[field]) || error.msg };
}
