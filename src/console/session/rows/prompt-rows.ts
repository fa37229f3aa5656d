import type { MessageDto } from "../../../../sdk/src/index.ts";
import { editOf, patchOf } from "./edits.ts";
import { asList, asNumber, asObject, asString, type JsonObject, pretty } from "./json.ts";
import type { SaidRow, ToolRow } from "./row.ts";
import { readToolResult } from "./tool-result.ts";

type Base = Pick<SaidRow, "promptId" | "seq" | "at" | "superseded" | "nested">;

/**
 * The rows of what was said for one prompt. Claude Code prints one JSON object a line, of which each block becomes a row, and
 * a tool's result is shown with its call. Other agents print less, or other shapes: whatever is not known becomes a note.
 */
export class PromptRows {
  rows: readonly SaidRow[] = [];
  /** `seq` of the last message; 0 without messages. */
  last = 0;
  #rows: SaidRow[] = [];
  /** Where the call of each tool is, by its id. */
  readonly #calls = new Map<string, number>();
  /** Where the newest plan is. */
  #plan = -1;
  #attempt = 0;
  /** The agent's working directory. */
  #folder: string | undefined;
  #changed = false;

  /** Messages come in the order of their `seq`. */
  add(message: MessageDto): void {
    this.#changed = true;
    this.last = message.seq;
    if (message.attempt > this.#attempt) {
      if (this.#attempt > 0) this.#supersede();
      this.#attempt = message.attempt;
    }
    const before = this.#rows.length;
    const data = asObject(message.data);
    const base: Base = {
      promptId: message.prompt_id,
      seq: message.seq,
      at: message.created_at,
      superseded: message.superseded,
      nested: typeof data?.["parent_tool_use_id"] === "string",
    };
    if (data) this.#addEvent(data, base);
    else if (typeof message.data === "string") this.#push(base, { kind: "text", text: message.data });
    else this.#push(base, { kind: "note", title: "Message", data: message.data });
    // A result that was joined to its call adds nothing.
    if (this.#rows.length === before && data?.["type"] !== "user" && !isAnswer(data))
      this.#push(base, { kind: "note", title: "Empty message", data: message.data });
  }

  /** Takes what was added over into `rows`. */
  commit(): void {
    if (this.#changed) this.rows = this.#rows.slice();
    this.#changed = false;
  }

  #addEvent(data: JsonObject, base: Base): void {
    const type = data["type"];
    if (type === "system") {
      this.#folder = asString(data["cwd"]) ?? this.#folder;
      if (this.#addTalk(data, base)) return;
      if (data["subtype"] !== "turn_result") {
        this.#push(base, { kind: "note", title: titleOfSystem(data), data });
        return;
      }
    }
    const steerId = asString(data["steer_id"]);
    if (type === "user" && steerId !== undefined) {
      const text = asString(asObject(asList(asObject(data["message"])?.["content"])[0])?.["text"]) ?? "";
      this.#push(base, { kind: "steer", steerId, text, pending: false });
      return;
    }
    if (type === "result" || type === "system") {
      const failed = data["is_error"] === true;
      const errors = asList(data["errors"]).map(pretty).join("\n");
      this.#push(base, {
        kind: "result",
        ofTurn: type === "system",
        failed,
        text: failed ? asString(data["result"]) || errors || asString(data["subtype"]) : undefined,
        turns: asNumber(data["num_turns"]),
        durationMs: asNumber(data["duration_ms"]),
      });
      return;
    }
    const content = asObject(data["message"])?.["content"] ?? data["content"];
    const spoken = type === "user" ? "told" : "text";
    if (typeof content === "string") this.#push(base, { kind: spoken, text: content });
    else if (Array.isArray(content))
      for (const block of content) this.#addBlock(block, base, { spoken, event: data });
    else this.#push(base, { kind: "note", title: asString(type) ?? "Message", data });
  }

  /** What is asked, planned and answered. An answer is shown with its question, which knows it from the service. */
  #addTalk(data: JsonObject, base: Base): boolean {
    const requestId = asString(data["request_id"]);
    if (data["subtype"] === "permission_request" && requestId !== undefined) {
      const { input } = data;
      const tool = asString(data["tool"]) ?? "Tool";
      const title = asString(data["title"]);
      this.#push(base, {
        kind: "question",
        requestId,
        tool,
        title,
        input,
        file: this.#fileOf(input),
        edit: editOf(tool, input),
      });
      return true;
    }
    if (data["subtype"] === "plan" && Array.isArray(data["entries"])) {
      const before = this.#rows[this.#plan];
      if (before?.kind === "plan") this.#rows[this.#plan] = { ...before, outdated: true };
      this.#plan = this.#rows.length;
      this.#push(base, { kind: "plan", entries: data["entries"], outdated: false });
      return true;
    }
    const tool = asString(data["tool"]);
    if (isAnswer(data) && data["decision"] === "deny" && tool !== undefined) {
      this.#push(base, { kind: "note", title: `Denied without asking: ${tool}`, data });
      return true;
    }
    return isAnswer(data);
  }

  #addBlock(block: unknown, base: Base, from: { spoken: "told" | "text"; event: JsonObject }): void {
    const part = asObject(block);
    const text = asString(part?.["text"]) ?? asString(block);
    const id = asString(part?.["tool_use_id"]);
    switch (part?.["type"]) {
      case "thinking":
      case "redacted_thinking":
        this.#push(base, { kind: "thinking", text: asString(part["thinking"]) ?? "" });
        return;
      case "tool_use":
      case "server_tool_use":
        this.#addCall(part, base);
        return;
      case "tool_result":
        this.#addResult(readToolResult(part, Date.parse(base.at)), id, base, from.event);
        return;
      case "image":
        this.#addResult(
          readToolResult({ content: [part] }, Date.parse(base.at)),
          undefined,
          base,
          from.event,
        );
        return;
      default:
        if (text !== undefined) this.#push(base, { kind: from.spoken, text });
        else this.#push(base, { kind: "note", title: asString(part?.["type"]) ?? "Message", data: block });
    }
  }

  #addCall(part: JsonObject, base: Base): void {
    const id = asString(part["id"]);
    const name = asString(part["name"]) ?? "Tool";
    const { input } = part;
    const file = this.#fileOf(input);
    if (id !== undefined) this.#calls.set(id, this.#rows.length);
    this.#push(base, { kind: "tool", name, input, file, edit: editOf(name, input), result: undefined });
  }

  #addResult(result: ToolRow["result"] & {}, id: string | undefined, base: Base, event: JsonObject): void {
    const index = id === undefined ? undefined : this.#calls.get(id);
    const call = index === undefined ? undefined : this.#rows[index];
    if (index === undefined || call?.kind !== "tool" || call.result) {
      this.#push(base, { kind: "output", result });
      return;
    }
    const edit = call.edit && (patchOf(event["tool_use_result"]) ?? call.edit);
    this.#rows[index] = { ...call, result, edit };
  }

  #fileOf(input: unknown): string | undefined {
    const { file_path: filePath, path, notebook_path: notebook } = asObject(input) ?? {};
    const named = asString(filePath) ?? asString(notebook) ?? asString(path);
    return named === undefined ? undefined : this.#relative(named);
  }

  /** A path from the root of the repository; undefined for what is elsewhere. */
  #relative(path: string): string | undefined {
    const folder = this.#folder;
    const inside =
      folder !== undefined && path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path;
    return inside.startsWith("/") || inside.split("/").includes("..") ? undefined : inside;
  }

  #supersede(): void {
    this.#rows = this.#rows.map((row) => (row.superseded ? row : { ...row, superseded: true }));
    this.#calls.clear();
  }

  /** Its key is where it came from, so that it stays the same in every browser. */
  #push(base: Base, row: DistributiveOmit<SaidRow, keyof Base | "key">): void {
    const last = this.#rows.at(-1);
    const part = last?.seq === base.seq ? Number(last.key.split(".")[1]) + 1 : 0;
    this.#rows.push({ ...base, ...row, key: `${base.seq}.${part}` } as SaidRow);
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** The end of a question; also of one that the agent did not ask, since its tool is allowed for the rest of the run. */
const isAnswer = (data: JsonObject | undefined): boolean =>
  data?.["type"] === "system" && data["subtype"] === "permission_answered";

function titleOfSystem(data: JsonObject): string {
  const subtype = asString(data["subtype"]) ?? "system";
  if (subtype !== "init") return subtype.replaceAll("_", " ");
  const version = asString(data["claude_code_version"]);
  const model = asString(data["model"]);
  return ["Started", version && `Claude Code ${version}`, model].filter(Boolean).join(" · ");
}
