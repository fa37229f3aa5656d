import type { PromptDto } from "../../../../sdk/src/index.ts";

/** An image of a tool's result, as the source of an <img>. */
export interface ToolImage {
  src: string;
}

/** A changed part of a file: lines that start with `+`, `-` or a space. */
export interface EditHunk {
  oldStart: number | undefined;
  newStart: number | undefined;
  lines: readonly string[];
}

export interface ToolResult {
  text: string;
  images: readonly ToolImage[];
  /** Images that cannot be shown, and why. */
  notes: readonly string[];
  failed: boolean;
  /** Milliseconds since the epoch. */
  at: number;
}

/** What every row of an agent's output has. */
interface Said {
  key: string;
  promptId: string;
  seq: number;
  /** ISO 8601. */
  at: string;
  /** The prompt has started over since: the work that it tells of is gone. */
  superseded: boolean;
  /** By an agent that the agent has started. */
  nested: boolean;
}

export interface TextRow extends Said {
  kind: "text" | "thinking" | "told";
  text: string;
}
export interface ToolRow extends Said {
  kind: "tool";
  name: string;
  input: unknown;
  /** Of the file that it names, from the root of the repository. */
  file: string | undefined;
  /** What it changes in that file. */
  edit: readonly EditHunk[] | undefined;
  result: ToolResult | undefined;
}
/** A result whose call is not known. */
export interface OutputRow extends Said {
  kind: "output";
  result: ToolResult;
}
export interface ResultRow extends Said {
  kind: "result";
  /** Of one turn, which another one follows. */
  ofTurn: boolean;
  failed: boolean;
  /** Why it failed. */
  text: string | undefined;
  turns: number | undefined;
  durationMs: number | undefined;
}
/** What is no part of the conversation, or of no known shape: folded. */
export interface NoteRow extends Said {
  kind: "note";
  title: string;
  data: unknown;
}
/** What an agent asks before it does something. */
export interface QuestionRow extends Said {
  kind: "question";
  requestId: string;
  tool: string;
  title: string | undefined;
  input: unknown;
  /** Of the file that it names, from the root of the repository. */
  file: string | undefined;
  edit: readonly EditHunk[] | undefined;
}
/** What the user has said to the agent while it worked. */
export interface SteerRow extends Said {
  kind: "steer";
  steerId: string;
  text: string;
  /** The agent has not taken it yet. */
  pending: boolean;
}
/** What an agent plans to do. */
export interface PlanRow extends Said {
  kind: "plan";
  entries: readonly unknown[];
  /** A newer one follows. */
  outdated: boolean;
}
export type SaidRow = TextRow | ToolRow | OutputRow | ResultRow | NoteRow | QuestionRow | SteerRow | PlanRow;

/** What a user has asked for. */
export interface PromptRow {
  kind: "prompt";
  key: string;
  prompt: PromptDto;
  /** How many prompts run or wait before it; undefined: it has been started. */
  ahead: number | undefined;
}
/** How a prompt stands, behind all that was said for it. */
export interface OutcomeRow {
  kind: "outcome";
  key: string;
  prompt: PromptDto;
}
/** A turn of the session that this one was forked from. */
export interface EarlierRow {
  kind: "earlier";
  key: string;
  role: string;
  text: string;
  at: string;
}
export type Row = SaidRow | PromptRow | OutcomeRow | EarlierRow;
