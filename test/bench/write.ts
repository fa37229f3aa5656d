import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { plot } from "./plot.ts";
import { type Results, section } from "./report.ts";

const DOCS = resolve(import.meta.dir, "../../docs");

/** Writes the measured parts of docs/PERFORMANCE.md, with their plots. Scenarios that were not run stay as they are. */
export async function writeDocument(results: Results, before: Results | undefined): Promise<void> {
  await mkdir(join(DOCS, "images"), { recursive: true });
  const file = join(DOCS, "PERFORMANCE.md");
  let text = await Bun.file(file).text();
  for (const scenario of results.scenarios) {
    const earlier = before?.scenarios.find(({ name }) => name === scenario.name)?.figures;
    const title = `${scenario.name} against its goals`;
    const svg = plot(title, scenario.figures, earlier);
    if (svg) await Bun.write(join(DOCS, `images/bench-${scenario.name}.svg`), svg);
    const image = svg ? `\n![${title}](images/bench-${scenario.name}.svg)\n` : "";
    text = replacePart(text, scenario.name, section(scenario, results, before) + image);
  }
  await Bun.write(file, text);
}

/** Replaces what stands between a scenario's two comments; a scenario without them gets a section at the end. */
export function replacePart(text: string, name: string, part: string): string {
  const [begin, end] = [`<!-- bench ${name} -->`, `<!-- /bench ${name} -->`];
  const from = text.indexOf(begin);
  if (from < 0) return `${text.trimEnd()}\n\n## ${name}\n\n${begin}\n${part}${end}\n`;
  const to = text.indexOf(end, from);
  if (to < 0) throw new Error(`${begin} is not followed by ${end}`);
  return `${text.slice(0, from + begin.length)}\n${part}${text.slice(to)}`;
}
