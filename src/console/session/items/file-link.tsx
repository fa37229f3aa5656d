import { Link } from "@tanstack/react-router";
import { createContext, useContext } from "react";
import { toFragment } from "../../review/address.ts";
import { visible } from "../../ui/visible-text.ts";

/** The session whose conversation is shown. */
export const SessionId = createContext("");

/** A file that a tool names: to its place in the review, if it is in the repository. */
export function FileLink({ file, name }: { file: string | undefined; name: string }) {
  const id = useContext(SessionId);
  if (file === undefined) return <code>{visible(name)}</code>;
  return (
    <Link
      to="/s/$id/review"
      params={{ id }}
      hash={toFragment({ path: file, side: "new", lines: null })}
      preload={false}
    >
      <code>{visible(file)}</code>
    </Link>
  );
}
