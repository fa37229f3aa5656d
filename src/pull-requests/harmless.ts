/** Invisible, and ends whatever a host would see in the text: a name, a number, a tag, a command. */
const BREAK = "\u200b";

/**
 * Makes text of an agent harmless in a pull request: it notifies nobody, closes and links no issues, gives the host no
 * commands, loads no images and has no HTML. It still reads the same.
 */
export function harmless(text: string): string {
  return withoutCommands(text)
    .replace(/@(?=[A-Za-z0-9_[])/g, `@${BREAK}`)
    .replace(/([#!&%~$])(?=\d)/g, `$1${BREAK}`)
    .replace(/\bGH-(?=\d)/gi, (found) => `${found}${BREAK}`)
    .replace(/\/(issues|pull|pulls|merge_requests|work_items|epics)\/(?=\d)/g, `/$1/${BREAK}`)
    .replace(/!(?=\[)/g, `!${BREAK}`)
    .replace(/<(?=[A-Za-z/!?])/g, `<${BREAK}`);
}

/** Without lines that GitLab would execute with the rights of the service's token, and without what hides text. */
export function withoutCommands(text: string): string {
  return (
    text
      .toWellFormed()
      .replace(/\r\n?/g, "\n")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for control characters.
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, "")
      .replace(/^([\s>]*)\/(?=[A-Za-z])/gm, `$1${BREAK}/`)
  );
}

/** The beginning of a text, with a sign that it is not all. @param max characters. */
export const clipped = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1).toWellFormed()}…`;

/** As a block of quoted Markdown: what the text opens ends with it. */
export const quoted = (text: string): string =>
  text
    .split("\n")
    .map((line) => `> ${line}`.trimEnd())
    .join("\n");
