import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { LiveProvider } from "../live/live.tsx";
import { Loading } from "../ui/loading.tsx";
import { Problem } from "../ui/problem.tsx";
import { takeLinkCode } from "./link-code.ts";
import { signInQuery } from "./sign-in.ts";
import { SignInPage } from "./sign-in-page.tsx";

/** Shows the pages to those who are signed in; the address stays, so that signing in leads to it. */
export function Gate({ children }: { children: ReactNode }) {
  const { data: signIn, error, refetch } = useQuery(signInQuery);
  const signedIn = signIn?.user != null;
  // Whoever is signed in already needs no code; it must not stay in the address.
  useEffect(() => {
    if (!signedIn) return undefined;
    takeLinkCode();
    addEventListener("hashchange", takeLinkCode);
    return () => removeEventListener("hashchange", takeLinkCode);
  }, [signedIn]);
  if (error && !signIn)
    return <Problem title="The page could not be opened" error={error} onRetry={refetch} />;
  if (!signIn) return <Loading what="the page" />;
  if (!signIn.user) return <SignInPage />;
  return (
    <LiveProvider key={signIn.user.id} userId={signIn.user.id}>
      {children}
    </LiveProvider>
  );
}
