import { APIError } from "../../../sdk/src/index.ts";
import { formatBytes } from "../ui/bytes.ts";
import { newKey } from "../ui/new-key.ts";
import { visible } from "../ui/visible-text.ts";
import { problemOfSize, problemsTogether } from "./limits.ts";
import { type FileContent, readFile } from "./read-file.ts";

/** A file that goes with the next prompt. */
export interface AttachedFile {
  id: string;
  /** As it can be shown. */
  name: string;
  size: number;
  /** Of a picture. */
  url: string | undefined;
  reading: boolean;
  /** Why it cannot be sent, and what to do. */
  problem: string | undefined;
}
export interface Attached {
  files: readonly AttachedFile[];
  /** Why the service has refused them all. */
  problem: string | undefined;
  /** The newest of what a screen reader shall say, which may be said again. */
  news: { text: string };
}
/** A prompt's `content`. */
export type Content = string | Block[];
type Block =
  | { type: "text"; text: string }
  | {
      type: "image" | "file";
      name: string;
      source: { type: "base64"; media_type?: string; data: string };
    };

/** What is attached cannot be sent, or was refused. It is said where it is shown, so that nothing else needs to say it. */
export class FilesRefused extends Error {
  override name = "FilesRefused";
}

interface Item {
  id: string;
  file: File;
  content?: FileContent;
  reading?: Promise<void>;
  problem?: string;
}
const NOTHING: Attached = { files: [], problem: undefined, news: { text: "" } };
const UNREADABLE =
  "It could not be read: it may be a folder, or gone. Remove it; attach the files of a folder.";
/** What the service takes as a media type; without one it decides. */
const MEDIA_TYPE = /^[\w.+-]{1,60}\/[\w.+-]{1,60}$/;

/** The files that go with a prompt that is being written: in this page's memory, and nowhere else. */
export class AttachedFiles {
  #items: readonly Item[] = [];
  #problem: string | undefined;
  #news = NOTHING.news;
  /** Other files are another prompt. */
  #key = newKey();
  #shown = NOTHING;
  /** The form is gone; what it sends may still be on its way. */
  #gone = false;
  readonly #listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };
  readonly getSnapshot = (): Attached => this.#shown;

  readonly add = (files: Iterable<File>): void => {
    const more = [...files].map((file): Item => ({ id: newKey(), file }));
    if (more.length === 0) return;
    this.#replace([...this.#items, ...more]);
    const problems = this.#problems();
    this.#say(
      more.map((one) => {
        const problem = problems.get(one.id);
        return `Attached ${nameOf(one)}, ${formatBytes(one.file.size)}.${problem === undefined ? "" : ` ${problem}`}`;
      }),
    );
  };

  readonly remove = (id: string): void => {
    const item = this.#items.find((one) => one.id === id);
    if (!item) return;
    this.#drop([item]);
    this.#say([`Removed ${nameOf(item)}.`]);
  };

  /** Pictures are not shown any more. */
  readonly dispose = (): void => {
    this.#gone = true;
    for (const { content } of this.#items) if (content?.image) URL.revokeObjectURL(content.image.url);
  };

  /**
   * Sends a prompt with what is attached, once that is read. What was sent is attached no more.
   * @param request gets the prompt's content, and the key of this attempt and of each that repeats it.
   * @throws FilesRefused; and what the request throws, with the files as they were.
   */
  readonly send = async <Sent>(
    prompt: { text: string; key: string },
    request: (content: Content, key: string) => Promise<Sent>,
  ): Promise<Sent> => {
    for (let open = this.#unread(); open.length > 0; open = this.#unread()) await Promise.all(open);
    const items = this.#items;
    const { text, key } = prompt;
    if (items.length === 0) return request(text, key);
    const problems = this.#problems();
    if (problems.size > 0) {
      const bad = items.filter(({ id }) => problems.has(id));
      this.#say(["Not sent.", ...bad.map((one) => `${nameOf(one)}: ${problems.get(one.id)}`)]);
      throw new FilesRefused();
    }
    const texts: Block[] = text.trim() === "" ? [] : [{ type: "text", text }];
    try {
      const sent = await request([...texts, ...items.map(blockOf)], `${key}-${this.#key}`);
      this.#drop(items);
      return sent;
    } catch (error) {
      if (!this.#refused(error, items, texts.length)) throw error;
      throw new FilesRefused("The service has refused what is attached", { cause: error });
    }
  };

  #unread(): Promise<void>[] {
    return this.#items.flatMap(({ reading, content, problem }) =>
      reading && content === undefined && problem === undefined ? [reading] : [],
    );
  }

  /** Whether it was for the files, which say so then: the one that the service names, or all of them. */
  #refused(error: unknown, items: readonly Item[], before: number): boolean {
    if (!(error instanceof APIError) || !(error.code?.startsWith("attachment_") || error.status === 413))
      return false;
    const [, index, what] = /^\S+\.content\[(\d+)\]\S*: (.+)$/s.exec(error.msg) ?? [];
    const named = items[Number(index) - before];
    const problem = `The service does not take ${named ? "it" : "what is attached"}: ${what ?? error.msg}`;
    if (named) {
      named.problem = `${problem} Remove it, or attach another one.`;
      this.#say([`Not sent. ${nameOf(named)}: ${named.problem}`]);
    } else {
      this.#problem = `${problem} Remove some of it.`;
      this.#say([`Not sent. ${this.#problem}`]);
    }
    return true;
  }

  #drop(items: readonly Item[]): void {
    for (const { content } of items) if (content?.image) URL.revokeObjectURL(content.image.url);
    this.#replace(this.#items.filter((one) => !items.includes(one)));
  }

  #replace(items: readonly Item[]): void {
    this.#items = items;
    this.#problem = undefined;
    this.#key = newKey();
    // Not what cannot be sent anyway: it may be large.
    const problems = this.#problems();
    for (const item of items) if (!item.reading && !problems.has(item.id)) item.reading = this.#read(item);
    this.#show();
  }

  async #read(item: Item): Promise<void> {
    try {
      const content = await readFile(item.file);
      const isAttached = this.#items.includes(item);
      if (content.image && (this.#gone || !isAttached)) URL.revokeObjectURL(content.image.url);
      if (!isAttached) return;
      item.content = content;
      if (content.problem !== undefined) item.problem = content.problem;
    } catch {
      item.problem = UNREADABLE;
    }
    if (item.problem !== undefined) this.#say([`${nameOf(item)}: ${item.problem}`]);
    this.#show();
  }

  #problems(): ReadonlyMap<string, string> {
    const problems = new Map<string, string>();
    const fit: Item[] = [];
    for (const item of this.#items) {
      const problem = problemOfSize(item.file.size) ?? item.problem;
      if (problem === undefined) fit.push(item);
      else problems.set(item.id, problem);
    }
    for (const [index, problem] of problemsTogether(fit.map(({ file }) => file.size)).entries())
      if (problem !== undefined) problems.set(fit[index]?.id ?? "", problem);
    return problems;
  }

  #say(texts: readonly string[]): void {
    this.#news = { text: texts.join(" ") };
    this.#show();
  }

  #show(): void {
    const problems = this.#problems();
    const files = this.#items.map(
      (item): AttachedFile => ({
        id: item.id,
        name: nameOf(item),
        size: item.file.size,
        url: item.content?.image?.url,
        reading: item.content === undefined && !problems.has(item.id),
        problem: problems.get(item.id),
      }),
    );
    this.#shown = { files, problem: this.#problem, news: this.#news };
    for (const listener of this.#listeners) listener();
  }
}

const nameOf = ({ file }: Item): string => visible(file.name) || "A file without a name";

function blockOf({ file, content }: Item): Block {
  const { data = "", image } = content ?? {};
  // A name of controls alone is none for the service.
  const name = file.name || "file";
  if (image) return { type: "image", name, source: { type: "base64", media_type: image.mediaType, data } };
  const mediaType = MEDIA_TYPE.test(file.type) ? { media_type: file.type } : {};
  return { type: "file", name, source: { type: "base64", ...mediaType, data } };
}
