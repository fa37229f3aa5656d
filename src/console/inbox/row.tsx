import { memo, type Ref } from "react";
import type { SessionDto } from "../../../sdk/src/index.ts";
import { Icon } from "../shell/icons.tsx";
import { repoName } from "../ui/repo-name.ts";
import { exact, Time } from "../ui/time.tsx";
import { groupOf, stateOf, TONES } from "./groups.ts";

/** One session of the list. */
export const Row = memo(function Row(options: {
  session: SessionDto;
  /** Has the keyboard. */
  current: boolean;
  link: Ref<HTMLAnchorElement> | undefined;
  onFocus: (id: string) => void;
  onOpen: (id: string) => void;
  onArchive: (session: SessionDto) => void;
}) {
  const { session, current, link, onFocus, onOpen, onArchive } = options;
  const group = groupOf(session);
  return (
    <div
      className="inbox-row"
      data-current={current || undefined}
      data-unread={session.unread || undefined}
      // Of the whole line, which the link covers: what is cut off, and the exact time.
      title={[session.title, session.repo, session.branch, session.waitingReason, exact(session.updatedAt)]
        .filter((one) => one !== null)
        .join("\n")}
    >
      {/* Not the router's Link, which listens to the address: a hundred of them come and go in a second of scrolling. */}
      <a
        ref={link}
        href={`/s/${session.id}`}
        className="inbox-title"
        tabIndex={current ? 0 : -1}
        onFocus={() => onFocus(session.id)}
        onClick={(event) => {
          if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
          event.preventDefault();
          onOpen(session.id);
        }}
      >
        {session.unread && <span className="visually-hidden">Unread: </span>}
        {session.title}
      </a>
      <span className="inbox-place">
        <span className="inbox-repo">{repoName(session.repo)}</span>
        <span className="inbox-branch mono">{session.branch}</span>
        {session.waitingReason !== null && <span className="inbox-why">{session.waitingReason}</span>}
      </span>
      <span className="badge" data-tone={TONES[group]}>
        {stateOf(session)}
      </span>
      <Time at={session.updatedAt} className="inbox-time" />
      {group === "done" ? (
        <span />
      ) : (
        <button
          type="button"
          className="button inbox-archive"
          data-look="quiet"
          tabIndex={current ? 0 : -1}
          aria-label={`Archive ${session.title}`}
          title="Archive (e)"
          onClick={() => onArchive(session)}
        >
          <Icon name="archive" />
        </button>
      )}
    </div>
  );
});
