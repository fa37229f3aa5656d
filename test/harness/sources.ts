import { readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { Glob } from "bun";

export interface Import {
  /** As written. */
  specifier: string;
  /** Path from the root of the sources, for a relative import of one of them. */
  file: string | undefined;
  /** `import type` and `export type`: gone at run time. */
  typeOnly: boolean;
}

export interface Source {
  /** Path from the root of the sources, e.g. `queue/outbox.ts`. */
  path: string;
  text: string;
  /** Comments blanked, line numbers kept. */
  code: string;
  imports: readonly Import[];
}

// Strings and templates are matched first so that a `//` inside one is not taken for a comment.
const STRING_OR_COMMENT =
  /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|(?<![\\[])\/\/[^\n]*/g;
const STATEMENT = /^\s*(import|export)\s(?:(type)\s)?(?:[^;"'`()=]*?\sfrom\s*)?["']([^"']+)["']/gm;
const DYNAMIC = /(\btype\b[^;\n]*|:\s*)?\bimport\(\s*["']([^"']+)["']/g;

/** Every TypeScript file below `root`, with what it imports: statically, dynamically, or as a type. */
export function readSources(root: string): Source[] {
  return [...new Glob("**/*.ts").scanSync(root)]
    .filter((path) => !path.endsWith(".d.ts"))
    .sort()
    .map((path) => parseSource(path, readFileSync(resolve(root, path), "utf8")));
}

/** One file's imports. `path` is from the root of the sources. */
export function parseSource(path: string, text: string): Source {
  const code = text.replace(STRING_OR_COMMENT, (found) =>
    found.startsWith("/") ? found.replace(/[^\n]/g, " ") : found,
  );
  const make = (specifier: string, typeOnly: boolean): Import => ({
    specifier,
    file: specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : undefined,
    typeOnly,
  });
  const imports = [
    ...[...code.matchAll(STATEMENT)].map((one) => make(one[3] ?? "", one[2] !== undefined)),
    ...[...code.matchAll(DYNAMIC)].map((one) => make(one[2] ?? "", one[1] !== undefined)),
  ];
  return { path, text, code, imports };
}

/** The first import cycle found, as the files on it, or undefined. What is gone at run time (`import type`) is no cycle. */
export function findCycle(sources: readonly Source[]): string[] | undefined {
  const byPath = new Map(sources.map((one) => [one.path, one]));
  const done = new Set<string>();
  const trail: string[] = [];

  function visit(path: string): string[] | undefined {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    const source = byPath.get(path);
    if (!source || done.has(path)) return undefined;
    trail.push(path);
    for (const { file, typeOnly } of source.imports) {
      const cycle = file && !typeOnly && visit(file);
      if (cycle) return cycle;
    }
    trail.pop();
    done.add(path);
    return undefined;
  }

  for (const { path } of sources) {
    const cycle = visit(path);
    if (cycle) return cycle;
  }
  return undefined;
}
