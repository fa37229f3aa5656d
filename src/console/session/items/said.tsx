import { memo } from "react";
import { duration } from "../../ui/time.tsx";
import { visible } from "../../ui/visible-text.ts";
import { Fold, Output } from "../fold.tsx";
import { Prose } from "../markdown.tsx";
import { pretty } from "../rows/json.ts";
import type { ResultRow, SaidRow } from "../rows/row.ts";
import { Question } from "./question.tsx";
import { Todos, Tool, ToolOutput } from "./tool.tsx";

/** Of a line that stands for more, characters. */
const TITLE_LIMIT = 120;

/** A part of what an agent has said or done. */
export const Said = memo(function Said({ row }: { row: SaidRow }) {
  return (
    <div className="said" data-kind={row.kind} data-nested={row.nested} data-superseded={row.superseded}>
      {row.superseded && <span className="visually-hidden">Of an attempt that was started over: </span>}
      <Body row={row} />
    </div>
  );
});

function Body({ row }: { row: SaidRow }) {
  switch (row.kind) {
    case "text":
      return <Prose text={row.text} />;
    case "told":
      return (
        <Fold id={row.key} title={`Told to the agent: ${firstLine(row.text)}`}>
          {() => <Prose text={row.text} />}
        </Fold>
      );
    case "thinking":
      return row.text === "" ? (
        <p className="muted">Thinking, which the model does not show.</p>
      ) : (
        <Fold id={row.key} title={`Thinking: ${firstLine(row.text)}`}>
          {() => <Prose text={row.text} />}
        </Fold>
      );
    case "tool":
      return <Tool row={row} />;
    case "output":
      return <ToolOutput row={row} />;
    case "result":
      return <Result row={row} />;
    case "question":
      return <Question row={row} />;
    case "steer":
      return (
        <section className="steer" data-pending={row.pending} aria-label="Said while it works">
          <p className="muted">
            {row.pending ? "You, while it works: the agent has not taken it yet" : "Said while it worked"}
          </p>
          <p className="prompt-text">{visible(row.text)}</p>
        </section>
      );
    case "plan":
      return row.outdated ? (
        <Fold id={row.key} title="An earlier plan">
          {() => <Todos todos={row.entries} />}
        </Fold>
      ) : (
        <Todos todos={row.entries} />
      );
    case "note": {
      const title = visible(row.title.slice(0, TITLE_LIMIT));
      return (
        <Fold id={row.key} title={title}>
          {() => <Output id={`${row.key}.json`} text={pretty(row.data)} label={title} />}
        </Fold>
      );
    }
  }
}

function Result({ row }: { row: ResultRow }) {
  const { failed, ofTurn, text, turns, durationMs } = row;
  const subject = ofTurn ? "A turn of the agent" : "The agent";
  const figures = [
    turns !== undefined && `${turns} ${turns === 1 ? "turn" : "turns"}`,
    durationMs !== undefined && duration(durationMs),
  ].filter(Boolean);
  return (
    <>
      <p className="muted">
        {[`${subject} ${failed ? "ended with an error" : "has finished"}`, ...figures].join(" · ")}
      </p>
      {text !== undefined && text !== "" && <Output id={row.key} text={text} label="Error of the agent" />}
    </>
  );
}

const firstLine = (text: string): string =>
  visible(text.trim().split("\n", 1)[0]?.slice(0, TITLE_LIMIT) ?? "");
