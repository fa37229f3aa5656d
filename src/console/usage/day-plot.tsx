import { type CSSProperties, useState } from "react";
import type { UsageDto } from "../../../sdk/src/index.ts";
import type { Measure } from "./address.ts";
import { costText, count, dayText, figuresText, PLOTTED, roughly, roundUp } from "./figures.ts";

const HEIGHT = 100;

/**
 * Bars by day. A slider lies over them: a pointer, a finger or the arrow keys lead from day to day, and screen readers say each.
 * @param days each of the period, in order.
 */
export function DayPlot({ days, measure }: { days: readonly UsageDto[]; measure: Measure }) {
  const { name, of, scale } = PLOTTED[measure];
  const [chosen, setChosen] = useState<string>();
  const index = days.findIndex(({ key }) => key === chosen);
  const at = index < 0 ? days.length - 1 : index;
  const choose = (wanted: number) => setChosen(days[Math.max(0, Math.min(days.length - 1, wanted))]?.key);
  const day = days[at];
  if (!day) return null;
  const top = roundUp(days.map(of));
  return (
    <div className="usage-plot">
      <div className="usage-scale muted" aria-hidden="true">
        {[1, 0.5, 0].map((part) => (
          <span key={part}>{scale(top * part)}</span>
        ))}
      </div>
      <div className="usage-bars" style={{ "--days": days.length } as CSSProperties}>
        <svg viewBox={`0 0 ${days.length} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          {[0, HEIGHT / 2, HEIGHT].map((y) => (
            <line key={y} x1={0} x2={days.length} y1={y} y2={y} vectorEffect="non-scaling-stroke" />
          ))}
          <rect className="usage-cursor" x={at} y={0} width={1} height={HEIGHT} />
          {days.map((one, x) => {
            const height = (of(one) / top) * HEIGHT;
            return <rect key={one.key} x={x + 0.1} width={0.8} y={HEIGHT - height} height={height} />;
          })}
        </svg>
        <input
          type="range"
          min={0}
          max={days.length - 1}
          step={1}
          value={at}
          aria-label={`${name} by day`}
          aria-valuetext={`${dayText(day.key)}: ${figuresText(day)}`}
          onInput={(event) => choose(event.currentTarget.valueAsNumber)}
          onPointerMove={({ currentTarget, clientX }) => {
            const { left, width } = currentTarget.getBoundingClientRect();
            choose(Math.floor(((clientX - left) / width) * days.length));
          }}
        />
      </div>
      <div className="usage-ends muted" aria-hidden="true">
        <span>{dayText(days[0]?.key ?? day.key)}</span>
        <span>{dayText(days.at(-1)?.key ?? day.key)}</span>
      </div>
      <p className="usage-reading">
        <strong>{dayText(day.key)}</strong> {figuresText(day)}
      </p>
    </div>
  );
}

/** The same in figures, the newest first. */
export function DayTable({ days }: { days: readonly UsageDto[] }) {
  return (
    <details className="usage-table">
      <summary>As a table</summary>
      <table>
        <caption className="visually-hidden">Usage by day; days without calls are left out</caption>
        <thead>
          <tr>
            <th scope="col">Day</th>
            <th scope="col">Cost</th>
            <th scope="col">Runs</th>
            <th scope="col">In</th>
            <th scope="col">Out</th>
          </tr>
        </thead>
        <tbody>
          {days
            .filter(({ calls }) => calls > 0)
            .reverse()
            .map((day) => (
              <tr key={day.key}>
                <th scope="row">{dayText(day.key)}</th>
                <td>{costText(day)}</td>
                <td>{count(day.runs)}</td>
                <td>{roughly(day.input_tokens)}</td>
                <td>{roughly(day.output_tokens)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </details>
  );
}
