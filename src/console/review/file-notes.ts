import type { FileDiffDto } from "../../../sdk/src/index.ts";
import { formatBytes } from "../ui/bytes.ts";
import { visible } from "../ui/visible-text.ts";

const KINDS: Readonly<Record<string, string>> = {
  "100644": "a file",
  "100755": "an executable file",
  "120000": "a symbolic link",
  "160000": "a submodule",
};
const kindOf = (mode: string | null) => (mode === null ? "" : (KINDS[mode] ?? `of mode ${mode}`));
/** Digits of a commit that people can tell apart. */
export const shortCommit = (commit: string): string => commit.slice(0, 8);

/** What a changed file is, in words, where its lines do not tell. */
export function notesOf(file: FileDiffDto): string[] {
  const { old_mode: oldMode, new_mode: newMode, status, hunks, binary, too_large: tooLarge } = file;
  const notes: string[] = [];
  if (file.old_path !== null) notes.push(`Renamed from ${visible(file.old_path)}.`);
  const special = [oldMode, newMode].includes("160000") ? submoduleNote(file) : lfsNote(file);
  if (oldMode !== null && newMode !== null && oldMode !== newMode)
    notes.push(`It was ${kindOf(oldMode)}, and is ${kindOf(newMode)} (${oldMode} → ${newMode}).`);
  else if (newMode === "120000" || (status === "deleted" && oldMode === "120000"))
    notes.push("A symbolic link: its line is where it leads.");
  if (special !== undefined) notes.push(special);
  if (binary) notes.push(`A binary file, ${binaryWords[status]}.`);
  else if (hunks.length === 0 && !tooLarge && special === undefined) {
    if (status === "added") notes.push("An empty file, added.");
    else if (status === "deleted") notes.push("An empty file, deleted.");
    else if (notes.length > 0) notes.push("Its content is the same.");
  }
  return notes;
}

const binaryWords: Readonly<Record<FileDiffDto["status"], string>> = {
  added: "added",
  deleted: "deleted",
  modified: "changed",
  renamed: "renamed",
  type_changed: "changed",
};

const linesOf = (file: FileDiffDto, sign: "-" | "+") =>
  file.hunks.flatMap(({ lines }) => lines.filter((line) => line[0] === sign).map((line) => line.slice(1)));

function submoduleNote(file: FileDiffDto): string {
  const commit = (sign: "-" | "+") =>
    /^Subproject commit ([0-9a-f]{40,64})/.exec(linesOf(file, sign)[0] ?? "")?.[1];
  const [from, to] = [commit("-"), commit("+")];
  if (from && to) return `A submodule, moved from ${shortCommit(from)} to ${shortCommit(to)}.`;
  if (to) return `A submodule, added at ${shortCommit(to)}.`;
  return from ? `A submodule, removed; it was at ${shortCommit(from)}.` : "A submodule.";
}

/** A pointer of Git LFS is small: longer files are not looked through. */
const POINTER_LINES = 8;

function lfsNote(file: FileDiffDto): string | undefined {
  if (file.additions > POINTER_LINES || file.deletions > POINTER_LINES) return undefined;
  const lines = file.hunks.flatMap((hunk) => hunk.lines);
  if (!lines.some((line) => line.slice(1).startsWith("version https://git-lfs.github.com/spec/")))
    return undefined;
  const size = (signs: string) => {
    const line = lines.find((one) => signs.includes(one[0] ?? "") && one.slice(1).startsWith("size "));
    const bytes = Number(line?.slice(6));
    return line === undefined || Number.isNaN(bytes) ? undefined : formatBytes(bytes);
  };
  const sizes = [size("- "), size("+ ")].filter((one) => one !== undefined);
  return `In Git LFS${sizes.length > 0 ? `: ${[...new Set(sizes)].join(" → ")}` : ""}. The lines are its pointer.`;
}
