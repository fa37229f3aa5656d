import { pathIn } from "./git-paths.ts";

/** What git says of the difference between two states. */
export interface Diff {
  files: FileDiff[];
  /** Of all files, also of those whose hunks are not here. */
  additions: number;
  deletions: number;
  /** Files or hunks are missing, because there are too many. Hunks: `tooLarge` says of which files. */
  truncated: boolean;
}

export interface FileDiff {
  /** As git quotes it, where it is not valid UTF-8 (see git-paths.ts). */
  path: string;
  /** Null: it had the same name, or did not exist. */
  oldPath: string | null;
  status: FileStatus;
  /** As git writes them: 100644, 100755, 120000 (symbolic link), 160000 (submodule). Null: it does not exist there. */
  oldMode: string | null;
  newMode: string | null;
  /** In lines; 0 where it is binary. */
  additions: number;
  deletions: number;
  binary: boolean;
  /** Its hunks were left out. */
  tooLarge: boolean;
  hunks: Hunk[];
}

export const FILE_STATUSES = ["added", "deleted", "modified", "renamed", "type_changed"] as const;
export type FileStatus = (typeof FILE_STATUSES)[number];

/** Lines are counted from 1; of a side without lines, the start is the line before. */
export interface Hunk {
  oldStart: number;
  oldLines: number;
  newStart: number;
  newLines: number;
  /** What git shows of the function around it. */
  heading: string;
  /** Each with its first character: " ", "-", "+", or "\" for a line that is not in the file. */
  lines: string[];
}

export interface DiffLimits {
  files: number;
  /** Bytes of lines. */
  fileBytes: number;
  allBytes: number;
}

const STATUS: Readonly<Record<string, FileStatus>> = {
  A: "added",
  D: "deleted",
  M: "modified",
  R: "renamed",
  T: "type_changed",
};
const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/s;
const [NUL, NEWLINE] = [0, 10];

/**
 * Reads what the script DIFF prints, part by part, and keeps no more than `limits` allow: a diff may be of any size.
 * A line of a hunk is known by the counts in the hunk's head, not by how it looks.
 */
export function createDiffReader(limits: DiffLimits): {
  take(part: Uint8Array): void;
  /** @param complete whether git printed all that it had. */
  end(complete: boolean): Diff;
} {
  const files: FileDiff[] = [];
  let [additions, deletions, keptBytes] = [0, 0, 0];
  let [counted, numbered] = [0, 0];
  let truncated = false;
  const sections = sectionsOf(files);
  let current: FileDiff | undefined;
  let fileBytes = 0;
  let hunk: Hunk | undefined;
  let [oldLeft, newLeft] = [0, 0];
  let phase: "names" | "counts" | "patch" = "names";

  const leaveOut = (file: FileDiff) => {
    file.tooLarge = true;
    file.hunks = [];
    keptBytes -= fileBytes;
    fileBytes = 0;
    truncated = true;
  };
  const keep = (line: Buffer): string | undefined => {
    if (!current || current.tooLarge) return undefined;
    fileBytes += line.length;
    keptBytes += line.length;
    if (fileBytes > limits.fileBytes || keptBytes > limits.allBytes) {
      leaveOut(current);
      return undefined;
    }
    return line.toString("utf8");
  };

  const lines = splitter(NEWLINE, limits.fileBytes + 1, (line) => {
    if (oldLeft > 0 || newLeft > 0 || (hunk && line[0] === 0x5c)) {
      const sign = String.fromCharCode(line[0] ?? 0);
      if (sign === " " || sign === "-") oldLeft -= 1;
      if (sign === " " || sign === "+") newLeft -= 1;
      const text = keep(line);
      if (text !== undefined) hunk?.lines.push(text);
      return;
    }
    hunk = undefined;
    if (line.subarray(0, 11).toString("latin1") === "diff --git ") {
      current = sections.next().value ?? undefined;
      if (current && current.hunks.length === 0 && !current.tooLarge) fileBytes = 0;
      return;
    }
    const [, oldStart, oldLines = "1", newStart, newLines = "1", heading = ""] =
      HUNK.exec(line.subarray(0, 400).toString("utf8")) ?? [];
    if (oldStart === undefined || newStart === undefined) return;
    [oldLeft, newLeft] = [Number(oldLines), Number(newLines)];
    hunk = {
      ...{ oldStart: Number(oldStart), oldLines: oldLeft, newStart: Number(newStart), newLines: newLeft },
      ...{ heading: heading.slice(0, 200), lines: [] },
    };
    if (current && !current.tooLarge) current.hunks.push(hunk);
  });

  /** The head of an entry whose names are still to come. */
  let head: { oldMode: string; newMode: string; status: string } | undefined;
  let names: Buffer[] = [];
  const addFile = () => {
    const [first, second] = names;
    if (!head || !first || (head.status === "R" && !second)) return;
    const exists = (mode: string) => (mode === "000000" ? null : mode);
    files.push({
      path: pathIn(second ?? first),
      oldPath: second ? pathIn(first) : null,
      status: STATUS[head.status] ?? "modified",
      oldMode: exists(head.oldMode),
      newMode: exists(head.newMode),
      ...{ additions: 0, deletions: 0, binary: false, tooLarge: false, hunks: [] },
    });
    head = undefined;
    names = [];
  };
  const count = (added: string, deleted: string) => {
    const file = files[counted];
    counted += 1;
    if (!file) return;
    file.binary = added === "-";
    file.additions = Number(added) || 0;
    file.deletions = Number(deleted) || 0;
    additions += file.additions;
    deletions += file.deletions;
  };
  const tokens = splitter(NUL, 64 * 1024, (token) => {
    if (head) {
      names.push(Buffer.from(token));
      return addFile();
    }
    if (phase === "names" && token[0] === 0x3a) {
      const [oldMode = "", newMode = "", , , status = ""] = token.subarray(1).toString("latin1").split(" ");
      head = { oldMode, newMode, status: status.slice(0, 1) };
      return;
    }
    phase = "counts";
    // The names of a renamed file follow its counts.
    if (numbered > 0) {
      numbered -= 1;
      return;
    }
    if (token.length === 0) {
      phase = "patch";
      return;
    }
    const [, added = "", deleted = "", isNamed = ""] =
      /^(-|\d+)\t(-|\d+)\t(.?)/s.exec(token.toString("latin1")) ?? [];
    if (isNamed === "") numbered = 2;
    count(added, deleted);
  });

  return {
    take(part) {
      const rest = phase === "patch" ? part : tokens.take(part, () => phase === "patch");
      if (phase === "patch") lines.take(rest, () => false);
    },
    end(complete) {
      if (!complete) {
        // Whatever comes after the section that was cut off is not here at all.
        if (current) leaveOut(current);
        for (const file of sections)
          if (!file.binary && file.additions + file.deletions > 0) file.tooLarge = true;
        truncated = true;
      }
      if (files.length > limits.files) {
        files.length = limits.files;
        truncated = true;
      }
      return { files, additions, deletions, truncated };
    },
  };
}

/** The file of each section of a patch: one whose type changed has two, as if it were deleted and added. */
function* sectionsOf(files: readonly FileDiff[]): Generator<FileDiff, undefined> {
  for (const file of files) {
    yield file;
    if (file.status === "type_changed") yield file;
  }
  return undefined;
}

/**
 * Calls `onPiece` with what is before each separator. Of a piece longer than `limit`, with its beginning.
 * `take` returns what is left of a part once `done` says so.
 */
function splitter(separator: number, limit: number, onPiece: (piece: Buffer) => void) {
  let held: Uint8Array[] = [];
  let size = 0;
  return {
    take(part: Uint8Array, done: () => boolean): Uint8Array {
      let from = 0;
      for (;;) {
        const end = part.indexOf(separator, from);
        const piece = part.subarray(from, end < 0 ? undefined : end);
        if (size < limit && piece.length > 0) held.push(end < 0 ? piece.slice() : piece);
        size += piece.length;
        if (end < 0) return new Uint8Array();
        const whole = held.length === 1 ? Buffer.from(held[0] as Uint8Array) : Buffer.concat(held);
        held = [];
        size = 0;
        onPiece(whole.subarray(0, limit));
        from = end + 1;
        if (done()) return part.subarray(from);
      }
    },
  };
}
