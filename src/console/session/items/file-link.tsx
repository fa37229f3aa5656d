import { Link } from "@tanstack/react-router";
import { createContext, useContext } from "react";

/** The session whose conversation is shown. */
export const SessionId = createContext("");

/** A file that a tool names: to its place in the review, if it is in the repository. */
export function FileLink({ file, name }: { file: string | undefined; name: string }) {
  const id = useContext(SessionId);
  if (file === undefined) return <code>{name}</code>;
  return (
    <Link
      to="/s/$id/review"
      params={{ id }}
      hash={file.split("/").map(encodeURIComponent).join("/")}
      preload={false}
    >
      <code>{file}</code>
    </Link>
  );
}
