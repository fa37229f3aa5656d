import { useLayoutEffect, useRef, useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useExpectation } from "../live/live.tsx";
import { complain } from "../ui/notify.ts";
import { takeFocus } from "../ui/take-focus.ts";

/** The session's title; a click changes it in place. Enter, or going elsewhere, saves it; Escape leaves it as it was. */
export function Title({ session }: { session: SessionDto }) {
  const expect = useExpectation();
  const [draft, setDraft] = useState<string>();
  const button = useRef<HTMLButtonElement>(null);
  /** The key that has ended the change. */
  const key = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (draft !== undefined || key.current === undefined) return;
    key.current = undefined;
    button.current?.focus();
  }, [draft]);

  if (draft === undefined)
    return (
      <h1 className="session-title">
        <button type="button" title="Rename" ref={button} onClick={() => setDraft(session.title)}>
          {session.title}
          <span className="visually-hidden">, rename</span>
        </button>
      </h1>
    );

  const save = async () => {
    const title = draft.trim();
    if (title === "" || title === session.title) return;
    const takeBack = expect(session.id, { title });
    try {
      await client.sessions.update(session.id, { title });
    } catch (error) {
      takeBack();
      void complain("The title was not changed", error);
    }
  };
  return (
    <h1 className="session-title">
      <input
        className="input"
        aria-label="Title of the session"
        maxLength={500}
        ref={takeFocus}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={() => {
          setDraft(undefined);
          if (key.current !== "Escape") void save();
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" && event.key !== "Escape") return;
          // Else the same key would press the button that comes in its place.
          event.preventDefault();
          key.current = event.key;
          // The only way out: Chromium tells of a blur when the field is removed, Firefox does not.
          event.currentTarget.blur();
        }}
      />
    </h1>
  );
}
