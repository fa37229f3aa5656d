import { cleanText, cut } from "../../agents/events.ts";

/** Of one checkout: what a hostile repository can make a session say is bounded. */
const MAX_NOTICES = 40;
const MAX_LENGTH = 1_000;
const MAX_NAME = 200;

/** The sentences that a checkout has to tell the user as one text, of as many, and as long, as fit into a message. */
export function noticesText(notices: readonly string[]): string {
  const shown = notices.slice(0, MAX_NOTICES).map((one) => cut(cleanText(one), MAX_LENGTH));
  const more = notices.length - shown.length;
  return [...shown, ...(more > 0 ? [`(${more} more of these sentences are left out.)`] : [])].join("\n");
}

/** A name that others have chosen, such as a path, as part of a sentence: on one line, and short. */
export const quotedName = (name: string): string => JSON.stringify(cut(name, MAX_NAME));
