import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { client } from "../api.ts";

/** A link to the session of a prompt, once it is known; nothing if it was deleted, or is another user's. */
export function PromptSession({ promptId }: { promptId: unknown }) {
  const id = typeof promptId === "string" ? promptId : "";
  const { data } = useQuery({
    queryKey: ["prompt-session", id],
    queryFn: async ({ signal }) => (await client.prompts.retrieve(id, { signal })).session_id,
    enabled: id !== "",
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (!data) return null;
  return (
    <Link to="/s/$id" params={{ id: data }}>
      Open the session
    </Link>
  );
}
