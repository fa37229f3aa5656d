import { Link } from "@tanstack/react-router";
import { NotFoundError } from "../../../sdk/src/index.ts";
import { Empty } from "../ui/empty.tsx";
import { Problem } from "../ui/problem.tsx";

/** Shown instead of a session that could not be read. */
export function Missing({ id, error, onRetry }: { id: string; error: unknown; onRetry: () => void }) {
  // An address that is no id is refused before it is looked up.
  const unknown = error instanceof NotFoundError || !/^[\da-f-]{36}$/i.test(id);
  if (!unknown) return <Problem title="The session could not be read" error={error} onRetry={onRetry} />;
  return (
    <Empty title="There is no such session">
      <p>It was deleted, it belongs to somebody else, or the address is incomplete.</p>
      <Link to="/">Go to the inbox</Link>
    </Empty>
  );
}
