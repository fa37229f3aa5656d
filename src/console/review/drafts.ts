import { useCallback } from "react";
import { newKey } from "../ui/new-key.ts";
import { useStored } from "../ui/stored.ts";
import { toFragment } from "./address.ts";
import type { Review } from "./review-context.ts";
import type { Compared, Draft } from "./threads.ts";

const NONE: readonly Draft[] = [];
const NO_EDITS: Review["edits"] = {};

/** The comments that are being written or changed on a session. */
export function useDrafts(
  sessionId: string,
  compared: Compared | undefined,
): Pick<Review, "drafts" | "startDraft" | "changeDraft" | "dropDraft" | "edits" | "changeEdit"> {
  const [drafts, change] = useStored(`prompt-backend:review-drafts:${sessionId}`, NONE);
  const { base, head } = compared ?? { base: "", head: "" };
  const startDraft = useCallback<Review["startDraft"]>(
    (place) => {
      const commit = place.side === "old" ? base : head;
      const id = `${commit} ${place.side} ${toFragment(place)}`;
      change((now) => {
        if (now.some((one) => one.id === id)) return now;
        // One form without text at a time.
        return [
          ...now.filter((one) => one.text.trim() !== ""),
          { ...place, id, commit, text: "", key: newKey() },
        ];
      });
    },
    [base, head, change],
  );
  const changeDraft = useCallback<Review["changeDraft"]>(
    (id, text) => change((now) => now.map((one) => (one.id === id ? { ...one, text, key: newKey() } : one))),
    [change],
  );
  const dropDraft = useCallback<Review["dropDraft"]>(
    (id) =>
      change((now) => {
        const left = now.filter((one) => one.id !== id);
        return left.length > 0 ? left : NONE;
      }),
    [change],
  );
  const [edits, changeEdits] = useStored(`prompt-backend:comment-edits:${sessionId}`, NO_EDITS);
  const changeEdit = useCallback<Review["changeEdit"]>(
    (id, text) =>
      changeEdits((now) => {
        const { [id]: _, ...others } = now;
        if (text !== undefined) return { ...others, [id]: text };
        return Object.keys(others).length > 0 ? others : NO_EDITS;
      }),
    [changeEdits],
  );
  return { drafts, startDraft, changeDraft, dropDraft, edits, changeEdit };
}
