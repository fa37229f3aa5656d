import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { withTimeout } from "../shared/time.ts";
import { type Attack, type Attempt, all, blocked, codeOf, failed, type Host, open } from "./attack.ts";
import { claude, keepsOf, transcriptOf } from "./planted-settings.ts";

/** Reading 40 GB takes longer, and a FIFO to which nobody writes is never read to its end; the rest takes milliseconds. */
const AT_ONCE_MS = 5_000;
/** Fewer than the disk quota of the check lets it make, more than the service looks at. */
const MANY_FILES = 3_000;

/** What an agent leaves as its memory: the service copies it, stores it, and gives it to other machines. */
export const MEMORY_ATTACKS: readonly Attack[] = [
  {
    id: "limit-sparse-transcript",
    title: "leave a transcript of 40 GB, which no disk quota counts, for the service to read",
    stoppedBy: "size limit of files; the service reads nothing of a file over its limit",
    inside({ paths, sessionId }) {
      const file = transcriptIn(join(paths.state, transcriptOf(sessionId)), "{}\n");
      const most = [40, 8, 1, 0.05].find((size) => truncated(file, Math.round(size * 1024 ** 3)));
      return most ? blocked(`${most} GB were made`) : failed("no large file could be made");
    },
    outside: async (host) => all([await whatIsKept(host), await whatIsResumed(host)]),
  },
  {
    id: "limit-many-transcripts",
    title: "leave thousands of files beside the transcript, for the service to look at",
    stoppedBy: "limits of a folder's size and of entries",
    inside({ paths, sessionId }) {
      const file = transcriptIn(join(paths.state, transcriptOf(sessionId)), "{}\n");
      for (let made = 0; made < MANY_FILES; made += 1)
        writeFileSync(join(dirname(file), `${made}`.padStart(60, "n")), "");
      return blocked("planted");
    },
    outside: whatIsKept,
  },
  {
    id: "state-transcript-links",
    title: "leave links to the host's files and devices, and a FIFO, as transcripts",
    stoppedBy: "regular files alone are opened, and no link is followed",
    inside(target) {
      const { paths, sessionId } = target;
      const projects = join(paths.state, "projects");
      const name = `${sessionId}.jsonl`;
      const files = [
        target.secretFile,
        target.besideProgram,
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
      ];
      for (const [index, file] of files.entries()) {
        mkdirSync(join(projects, `-link-${index}`), { recursive: true });
        symlinkSync(file, join(projects, `-link-${index}`, name));
      }
      // A folder that is none, with a transcript in it.
      transcriptIn(join(paths.state, "elsewhere", name), "{}\n");
      symlinkSync("../elsewhere", join(projects, "-link-to-folder"));
      mkdirSync(join(projects, "-fifo"));
      const { exitCode } = Bun.spawnSync(["mkfifo", join(projects, "-fifo", name)]);
      return exitCode === 0 ? blocked("planted") : failed("no FIFO could be made");
    },
    outside: whatIsKept,
  },
];

/** Ends the prompt as the runner does: all of this is refused, at once. */
async function whatIsKept({ sandbox, request }: Host): Promise<Attempt> {
  const began = performance.now();
  try {
    const keeping = sandbox.keepState(keepsOf(request.sessionId));
    const { files, problem } = await withTimeout(AT_ONCE_MS, keeping, "the service was held up");
    const names = files.map(({ path }) => path).join(", ");
    if (names !== "") return open(`the service has kept ${names}`);
    const took = `${Math.ceil(performance.now() - began)} ms`;
    return problem ? blocked(`refused in ${took}: ${problem}`) : failed("nothing was left to be kept");
  } catch (error) {
    return open(codeOf(error));
  }
}

async function whatIsResumed({ sandbox, request }: Host): Promise<Attempt> {
  const agent = claude();
  try {
    await agent.discardTranscripts(sandbox.hostPaths.state, request.sessionId, "unusable");
    const found = await agent.hasTranscript(sandbox.hostPaths.state, request.sessionId);
    return found ? open("the service would resume from it") : blocked("it is not resumed from");
  } catch (error) {
    return open(codeOf(error));
  }
}

function transcriptIn(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/** False: larger than a file may be here. */
function truncated(file: string, bytes: number): boolean {
  try {
    truncateSync(file, bytes);
    return true;
  } catch {
    return false;
  }
}
