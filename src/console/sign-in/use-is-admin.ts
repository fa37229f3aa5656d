import { useQuery } from "@tanstack/react-query";
import { signInQuery } from "./sign-in.ts";

/** Whether the user looks after the service: with AUTH_MODE=none everybody does. */
export function useIsAdmin(): boolean {
  const { data } = useQuery(signInQuery);
  return data?.auth_mode === "none" || data?.user?.roles.includes("admin") === true;
}
