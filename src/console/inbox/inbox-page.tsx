import { Link } from "@tanstack/react-router";
import { useSessions } from "../live/live.tsx";

export function InboxPage() {
  const { sessions } = useSessions();
  return (
    <div className="page">
      <h1>Inbox</h1>
      <ul>
        {[...sessions.values()].map((one) => (
          <li key={one.id}>
            <Link to="/s/$id" params={{ id: one.id }}>
              {one.title}
            </Link>
          </li>
        ))}
      </ul>
    </div>
  );
}
