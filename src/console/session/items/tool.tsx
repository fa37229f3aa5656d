import { memo } from "react";
import { duration } from "../../ui/time.tsx";
import { visible } from "../../ui/visible-text.ts";
import { Fold, Output } from "../fold.tsx";
import { asList, asObject, asString, pretty } from "../rows/json.ts";
import type { OutputRow, QuestionRow, ToolResult, ToolRow } from "../rows/row.ts";
import { Edit, isShownWhole } from "./edit.tsx";
import { FileLink } from "./file-link.tsx";

/** A shorter wait for a result is not worth a number. */
const NOTEWORTHY_MS = 1_000;
/** Tools whose result repeats what is shown of their call. */
const QUIET: ReadonlySet<string> = new Set(["Edit", "MultiEdit", "Write", "TodoWrite"]);
/** Tools whose result is read by agents more than by people. */
const FOLDED: ReadonlySet<string> = new Set(["Read", "Glob", "Grep", "LS", "WebFetch", "WebSearch"]);

/** A call of a tool, with its input and its result. */
export const Tool = memo(function Tool({ row }: { row: ToolRow }) {
  const { name, input, file, edit, result } = row;
  const path = pathOf(input);
  const took = result && result.at - Date.parse(row.at);
  return (
    <>
      <div className="tool-title">
        <span className="tool-name">{visible(name)}</span>
        {path !== undefined ? (
          <FileLink file={file} name={path} />
        ) : (
          <span className="tool-summary">{visible(summaryOf(input))}</span>
        )}
        <State result={result} />
        {took !== undefined && took >= NOTEWORTHY_MS && <span className="muted">{duration(took)}</span>}
      </div>
      <Input row={row} />
      {edit && <Edit id={row.key} file={file ?? path ?? name} hunks={edit} />}
      {result && !(QUIET.has(name) && !result.failed) && <Result id={row.key} result={result} name={name} />}
    </>
  );
});

/** A result whose call is not known. */
export const ToolOutput = memo(function ToolOutput({ row }: { row: OutputRow }) {
  return <Result id={row.key} result={row.result} name="" />;
});

/** What a tool would get, of which somebody is to judge: all of it, and nothing folded that is short. */
export function ToolInput({ row: { key, tool, input, file, edit } }: { row: QuestionRow }) {
  const path = pathOf(input);
  const { command } = asObject(input) ?? {};
  const name = visible(tool);
  // There is no review yet that has the rest.
  if (edit && isShownWhole(edit))
    return (
      <>
        <FileLink file={file} name={path ?? name} />
        <Edit id={key} file={file ?? path ?? name} hunks={edit} />
      </>
    );
  if (typeof command === "string")
    return (
      <>
        <Output id={`${key}.in`} text={visible(command)} label="Command" />
        {Object.keys(asObject(input) ?? {}).length > 1 && (
          <Fold id={`${key}.more`} title="Whole input">
            {() => <Output id={`${key}.input`} text={visible(pretty(input))} label={`Input of ${name}`} />}
          </Fold>
        )}
      </>
    );
  return <Output id={`${key}.input`} text={visible(pretty(input ?? {}))} label={`Input of ${name}`} />;
}

function State({ result }: { result: ToolResult | undefined }) {
  if (!result) return <span className="tool-state">no result yet</span>;
  return result.failed ? (
    <span className="badge" data-tone="bad">
      failed
    </span>
  ) : null;
}

function Input({ row: { key, name, input, edit } }: { row: ToolRow }) {
  const { command, todos } = asObject(input) ?? {};
  if (typeof command === "string") return <Output id={`${key}.in`} text={visible(command)} label="Command" />;
  if (name === "TodoWrite" && Array.isArray(todos)) return <Todos todos={todos} />;
  if (edit || input == null || isPlain(input)) return null;
  return (
    <Fold id={`${key}.in`} title="Input">
      {() => <Output id={`${key}.input`} text={pretty(input)} label={`Input of ${name}`} />}
    </Fold>
  );
}

const TODO_STATES: Readonly<Partial<Record<string, readonly [mark: string, state: string]>>> = {
  completed: ["☑", "done"],
  in_progress: ["▸", "in progress"],
};

export function Todos({ todos }: { todos: readonly unknown[] }) {
  return (
    <ul className="todos">
      {asList(todos)
        .slice(0, 100)
        .map((one, index) => {
          const { content, status } = asObject(one) ?? {};
          const [mark, state] = TODO_STATES[asString(status) ?? ""] ?? ["☐", "to do"];
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: a list of one call never changes.
            <li key={index}>
              <span aria-hidden="true">{mark}</span> {visible(asString(content) ?? pretty(one))}
              <span className="visually-hidden"> ({state})</span>
            </li>
          );
        })}
    </ul>
  );
}

function Result({ id, result, name }: { id: string; result: ToolResult; name: string }) {
  const { text, images, notes, failed } = result;
  const output = <Output id={`${id}.out`} text={text} label={name === "" ? "Output" : `Output of ${name}`} />;
  return (
    <div className="tool-result" data-failed={failed}>
      {(text !== "" || (images.length === 0 && notes.length === 0)) &&
        (FOLDED.has(name) && !failed ? (
          <Fold id={`${id}.fold`} title={`Output, ${text.length.toLocaleString("en")} characters`}>
            {() => output}
          </Fold>
        ) : (
          output
        ))}
      {images.map(({ src }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the images of a result never move.
        <img key={index} className="image" src={src} alt={`Result ${index + 1} of ${name || "a tool"}`} />
      ))}
      {notes.map((note) => (
        <p key={note} className="muted">
          {note}
        </p>
      ))}
    </div>
  );
}

/** Inputs of one short text are shown in the title. */
const isPlain = (input: unknown): boolean => {
  const values = Object.values(asObject(input) ?? {});
  return values.length <= 1 && values.every((one) => typeof one !== "object" && String(one).length < 120);
};

function pathOf(input: unknown): string | undefined {
  const { file_path: path, notebook_path: notebook } = asObject(input) ?? {};
  return asString(path) ?? asString(notebook);
}

/** What tells most of a call, in one line. */
function summaryOf(input: unknown): string {
  const { description, pattern, path, query, url, prompt, skill } = asObject(input) ?? {};
  const found = [description, pattern, query, url, path, skill, prompt].find(
    (one) => typeof one === "string",
  );
  const only = Object.values(asObject(input) ?? {});
  const text = asString(found) ?? (only.length === 1 ? asString(only[0]) : undefined) ?? "";
  const { command } = asObject(input) ?? {};
  return text === command ? "" : text.slice(0, 200);
}
