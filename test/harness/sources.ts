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
  const arrows = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ file, typeOnly }) => (file && !typeOnly ? [file] : [])),
    ]),
  );
  return cycleIn(arrows);
}

/**
 * The first cycle of rooms, or of the folders of one room, or undefined. Types count: a room that needs another one's
 * types cannot be read without it. Between a room and its own folders both ways are open: the room composes its folders,
 * and they share its seam.
 */
export function findRoomCycle(sources: readonly Source[]): string[] | undefined {
  const paths = new Set(sources.map(({ path }) => path));
  for (const levels of [1, 2]) {
    const arrows = new Map<string, string[]>();
    for (const { path, imports } of sources)
      for (const { file } of imports) {
        if (!file || !paths.has(file)) continue;
        const [from, to] = [folderOf(path, levels), folderOf(file, levels)];
        if (from !== to && !from.startsWith(`${to}/`) && !to.startsWith(`${from}/`))
          arrows.set(from, [...(arrows.get(from) ?? []), to]);
      }
    const cycle = cycleIn(arrows);
    if (cycle) return cycle;
  }
  return undefined;
}

const folderOf = (path: string, levels: number) =>
  path.includes("/") ? dirname(path).split("/").slice(0, levels).join("/") : path;

function cycleIn(arrows: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const trail: string[] = [];

  function visit(node: string): string[] | undefined {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node];
    if (done.has(node) || !arrows.has(node)) return undefined;
    trail.push(node);
    for (const next of arrows.get(node) ?? []) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    trail.pop();
    done.add(node);
    return undefined;
  }

  for (const node of arrows.keys()) {
    const cycle = visit(node);
    if (cycle) return cycle;
  }
  return undefined;
}
