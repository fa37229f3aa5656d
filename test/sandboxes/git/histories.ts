import type { TestRepository } from "../../harness/repository.ts";

/** Files of a state: by name, each character a byte, their mode and content. */
export type State = Map<string, { mode: string; content: Buffer }>;

/** Numbers that look random, and are the same for the same seed. */
export function generator(seed: number) {
  let state = seed * 2_654_435_761 + 1;
  const next = (below: number) => {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    return state % below;
  };
  return { next, one: <T>(of: readonly T[]): T => of[next(of.length)] as T };
}

const NAMES = [
  ...[
    "a.ts",
    "src/b.ts",
    "src/deep/c.txt",
    "with space.txt",
    'quo"te.txt',
    "new\nline",
    "tab\tname",
    "\tbegins",
  ],
  ...[
    '"quoted"',
    "back\\slash",
    "caf\xc3\xa9.txt",
    "latin-\xe9.txt",
    "-- b/x",
    "diff --git a",
    "*.glob",
    ":(top)x",
  ],
];
const CODE = [
  "",
  "let x = 1;",
  "-- b/file",
  "++ a/file",
  "@@ -1 +1 @@",
  "diff --git a/x b/x",
  "\\ No newline",
  "\tgo()",
];

/** A state, and what somebody has made of it: the kinds of changes that git tells apart. */
export function history(seed: number): { before: State; after: State } {
  const { next, one } = generator(seed);
  const text = () => {
    const end = one(["\n", "\n", "\r\n"]);
    const lines = Array.from({ length: 1 + next(60) }, (_, index) => `${one(CODE)} ${next(9)}:${index}`);
    return Buffer.from(lines.join(end) + one([end, end, ""]), "latin1");
  };
  const binary = () => Buffer.from(Array.from({ length: 1 + next(3_000) }, () => next(256)).concat(0));
  const content = () => one([text, text, text, binary])();
  const before: State = new Map();
  for (const name of NAMES)
    if (next(3) > 0) before.set(name, { mode: one(["100644", "100755"]), content: content() });
  const after: State = new Map(before);
  const edited = (file: Buffer) => {
    const lines = file.toString("latin1").split("\n");
    for (let count = 1 + next(4); count > 0; count -= 1)
      lines.splice(next(lines.length + 1), next(3), ...Array.from({ length: next(3) }, () => one(CODE)));
    return Buffer.from(lines.join("\n"), "latin1");
  };
  for (const [name, file] of before) {
    const change = next(8);
    if (change === 0) after.delete(name);
    if (change === 1) after.set(name, { ...file, content: edited(file.content) });
    if (change === 2) after.set(name, { ...file, mode: file.mode === "100644" ? "100755" : "100644" });
    if (change === 3) {
      after.delete(name);
      after.set(`moved/${name}`, one([file, { ...file, content: edited(file.content) }]));
    }
    if (change === 4) after.set(name, { mode: "120000", content: Buffer.from("a.ts") });
    if (change === 5) after.set(name, { ...file, content: content() });
  }
  for (const name of NAMES)
    if (!before.has(name) && next(3) === 0) after.set(name, { mode: "100644", content: content() });
  return { before, after };
}

/** Makes commits of states on branches, the second on top of the first. */
export async function commitStates(
  repo: TestRepository,
  states: readonly { branch: string; state: State }[],
): Promise<void> {
  const parts: Buffer[] = [];
  const write = (text: string) => parts.push(Buffer.from(text, "latin1"));
  for (const [index, { branch, state }] of states.entries()) {
    write(`commit refs/heads/${branch}\nmark :${index + 1}\n`);
    write(`committer Test <test@localhost> ${1_700_000_000 + index} +0000\ndata 5\nState\n`);
    if (index > 0) write(`from :${index}\n`);
    write("deleteall\n");
    for (const [name, { mode, content }] of state) {
      write(`M ${mode} inline ${quoted(name)}\ndata ${content.length}\n`);
      parts.push(content);
      write("\n");
    }
  }
  const child = Bun.spawn(["git", "-C", repo.path, "fast-import", "--quiet", "--force"], {
    stdin: Buffer.concat(parts),
    stderr: "pipe",
  });
  const error = await child.stderr.text();
  if ((await child.exited) !== 0) throw new Error(error);
}

const quoted = (name: string) =>
  `"${name.replace(/["\\]/g, "\\$&").replace(/[^\x20-\x7e]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`)}"`;
