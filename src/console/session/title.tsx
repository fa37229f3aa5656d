import { useState } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { useExpectation } from "../live/live.tsx";
import { complain } from "../ui/notify.ts";
import { takeFocus } from "../ui/take-focus.ts";

/** The session's title; a click changes it in place. */
export function Title({ session }: { session: SessionDto }) {
  const expect = useExpectation();
  const [draft, setDraft] = useState<string>();
  if (draft === undefined)
    return (
      <h1 className="session-title">
        <button type="button" title="Rename" onClick={() => setDraft(session.title)}>
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
        onBlur={save}
        onKeyDown={(event) => {
          if (event.key === "Enter") void save();
          if (event.key === "Escape") setDraft(undefined);
        }}
      />
    </h1>
  );
}
