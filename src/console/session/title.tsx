import { useRef, useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useExpectation } from "../live/live.tsx";
import { complain } from "../ui/notify.ts";
import { takeFocus } from "../ui/take-focus.ts";

/** The session's title; a click changes it in place. */
export function Title({ session }: { session: SessionDto }) {
  const expect = useExpectation();
  const [draft, setDraft] = useState<string>();
  /** Whether a key ended the renaming: the button has the keyboard again. */
  const byKey = useRef(false);
  if (draft === undefined)
    return (
      <h1 className="session-title">
        <button
          type="button"
          title="Rename"
          ref={byKey.current ? takeFocus : undefined}
          onClick={() => {
            byKey.current = false;
            setDraft(session.title);
          }}
        >
          {session.title}
          <span className="visually-hidden">, rename</span>
        </button>
      </h1>
    );

  const save = async () => {
    const title = draft.trim();
    setDraft(undefined);
    if (title === "" || title === session.title) return;
    expect(session.id, { title });
    try {
      await client.sessions.update(session.id, { title });
    } catch (error) {
      expect(session.id, { title: session.title });
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
        // What a key has ended goes away, and that is a blur, too: after Escape nothing is saved.
        onBlur={() => !byKey.current && void save()}
        onKeyDown={(event) => {
          if (event.key !== "Enter" && event.key !== "Escape") return;
          // Else Enter would press the button, which has the focus by then.
          event.preventDefault();
          byKey.current = true;
          if (event.key === "Enter") void save();
          else setDraft(undefined);
        }}
      />
    </h1>
  );
}
