import { createContext, useContext } from "react";
import type { Place } from "./address.ts";
import type { Compared, Draft } from "./threads.ts";

/** What the parts of the review share. */
export interface Review {
  sessionId: string;
  compared: Compared;
  /** The prompt whose work alone is shown. */
  prompt: string | undefined;
  drafts: readonly Draft[];
  /** Opens a form at a place of what is shown, or finds the one that is open there. */
  startDraft(place: Place): void;
  changeDraft(id: string, text: string): void;
  dropDraft(id: string): void;
  /** By comment and where it is shown: the text to which it is being changed there. */
  edits: Readonly<Record<string, string>>;
  /** @param text undefined: it is not changed any more. */
  changeEdit(id: string, text: string | undefined): void;
}

const Context = createContext<Review | undefined>(undefined);
export const ReviewProvider = Context.Provider;

export function useReview(): Review {
  const review = useContext(Context);
  if (!review) throw new Error("used outside of the review");
  return review;
}
