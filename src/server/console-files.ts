import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readEmbedded } from "./embedded-files.ts";

/**
 * Addresses at which the console shows itself; the page's own router tells them apart. None is an address of the API, whose
 * clients must not be given a page.
 */
export const CONSOLE_PAGES = [
  "/",
  "/new",
  "/s/:id",
  "/s/:id/review",
  "/p",
  "/p/new",
  "/p/:id",
  "/u",
  "/failed",
  "/system",
  "/sign-in",
] as const;

/** Where `.ci/console.ts` puts the console of these sources. In an executable it does not exist. */
export const CONSOLE_FOLDER = join(import.meta.dir, "../../.cache/console");
/** The name under which the build embeds the list of the console's files. */
export const CONSOLE_LIST = "console-files";

/** A file of the web console. */
export interface ConsoleFile {
  name: string;
  read(): Promise<Uint8Array<ArrayBuffer>>;
}

/** The console's files, by name: those that the build embedded, else those of CONSOLE_FOLDER; none where it was not built. */
export async function consoleFiles(): Promise<ReadonlyMap<string, ConsoleFile>> {
  const list = await readEmbedded(CONSOLE_LIST);
  const files = list ? embedded(JSON.parse(new TextDecoder().decode(list))) : await ofFolder();
  return new Map(files.map((file) => [file.name, file]));
}

const embedded = (names: Readonly<Record<string, string>>): ConsoleFile[] =>
  Object.entries(names).map(([name, stored]) => ({
    name,
    async read() {
      const bytes = await readEmbedded(stored);
      if (!bytes) throw new Error(`the executable lacks the console's ${name}`);
      return bytes;
    },
  }));

async function ofFolder(): Promise<ConsoleFile[]> {
  const names = await readdir(CONSOLE_FOLDER).catch((): string[] => []);
  return names
    .filter((name) => !name.startsWith("."))
    .map((name) => ({ name, read: () => Bun.file(join(CONSOLE_FOLDER, name)).bytes() }));
}
