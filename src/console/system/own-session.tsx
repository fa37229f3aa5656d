import { Link } from "@tanstack/react-router";
import { useSession } from "../live/live.tsx";

/** A session by its title; of another user's, which is theirs alone, only the id. */
export function OwnSession({ id }: { id: string }) {
  const session = useSession(id);
  if (!session) return <span className="mono">{id}</span>;
  return (
    <Link to="/s/$id" params={{ id }}>
      {session.title}
    </Link>
  );
}
