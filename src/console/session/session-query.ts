import { queryOptions } from "@tanstack/react-query";
import { client } from "../api.ts";

/** One session, read by itself: with its conversation, and before the list of all sessions has come. */
export const sessionQuery = (id: string) =>
  queryOptions({
    queryKey: ["session", id, "read"],
    queryFn: ({ signal }) => client.sessions.retrieve(id, { signal }),
  });
