import { goalText, isMet, measured, number } from "./report.ts";
import type { Figure } from "./scenario.ts";

const WIDTH = 760;
const LABELS = 300;
const ROW = 34;
/** Where every goal stands, and how much further bars are drawn. */
const GOAL = 270;
const MOST = 1.6;

/**
 * Bars of what was measured, each as a share of its goal, so that the goals are one line: as SVG that is readable on light
 * and on dark, with a title for who cannot see it. With an earlier run, a thin bar below each. Undefined without goals.
 */
export function plot(
  title: string,
  figures: readonly Figure[],
  earlier: readonly Figure[] = [],
): string | undefined {
  const rows = figures.filter(({ goal }) => goal);
  if (rows.length === 0) return undefined;
  const height = rows.length * ROW + 34;
  const bars = rows.map((figure, n) => {
    const was = earlier.find(({ measure }) => measure === figure.measure);
    return row(figure, was && measured(was), n * ROW + 28);
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>${escaped(title)}</title>
<style>
text { fill: #1f2328 } .quiet { fill: #59636e } .yes { fill: #1a7f37 } .no { fill: #bc4c00 } .before { fill: #9198a1 } line { stroke: #1f2328 }
@media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .quiet { fill: #9198a1 } .yes { fill: #3fb950 } .no { fill: #f0883e } .before { fill: #656c76 } line { stroke: #f0f6fc } }
</style>
<text class="quiet" x="${LABELS + GOAL}" y="14" text-anchor="middle">goal</text>
${bars.join("\n")}
</svg>
`;
}

function row(figure: Figure, was: number | undefined, y: number): string {
  const value = measured(figure);
  const met = isMet(figure);
  const unit = figure.reference ? "" : ` ${figure.unit}`;
  const then = was === undefined ? "" : `, before ${number(was)}`;
  const note = `${number(value)}${unit}${then}; goal ${goalText(figure)}: ${met ? "met" : "missed"}`;
  const parts = [
    `<text x="${LABELS - 8}" y="${y + 13}" text-anchor="end">${escaped(figure.measure)}</text>`,
    `<rect class="${met ? "yes" : "no"}" x="${LABELS}" y="${y}" width="${widthOf(figure, value)}" height="14" rx="2"/>`,
    `<line x1="${LABELS + GOAL}" x2="${LABELS + GOAL}" y1="${y - 3}" y2="${y + 19}" stroke-width="2"/>`,
    `<text class="quiet" x="${LABELS}" y="${y + 29}" font-size="10">${escaped(note)}</text>`,
  ];
  if (was !== undefined)
    parts.push(
      `<rect class="before" x="${LABELS}" y="${y + 15}" width="${widthOf(figure, was)}" height="3" rx="1"/>`,
    );
  return parts.join("\n");
}

function widthOf({ goal }: Figure, value: number): string {
  const of = goal && ("atLeast" in goal ? goal.atLeast : goal.atMost);
  const share = of ? value / of : 0;
  return (GOAL * Math.min(share, MOST)).toFixed(1);
}

function escaped(text: string): string {
  return Bun.escapeHTML(text);
}
