import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { client } from "../api.ts";
import { useTitle } from "../notify/title.ts";
import { Icon } from "../shell/icons.tsx";
import { Loading } from "../ui/loading.tsx";
import { describe } from "../ui/problem.tsx";
import { hasLinkCode, takeLinkCode } from "./link-code.ts";
import { signInQuery } from "./sign-in.ts";

/** What the sign-in with an identity provider may come back with. */
const PROBLEMS: Readonly<Record<string, string>> = {
  access_denied: "The sign-in was cancelled, or your account may not use this service.",
  sign_in_expired:
    "The sign-in took longer than 10 minutes, or was started in another browser. Start it again.",
  sign_in_unencrypted:
    "This page was opened by http, on which others could read your sign-in. Open it by https; administrators find more in the documentation under PUBLIC_URL.",
  identity_provider_unavailable: "The identity provider cannot be reached. Try again in a minute.",
};

/** Shown instead of every page while nobody is signed in. */
export function SignInPage() {
  const { data: signIn } = useQuery(signInQuery);
  const link = useLinkCode();
  useTitle("Sign in");
  const search = new URLSearchParams(location.search);
  const error = search.get("error");
  if (link.pending || !signIn) return <Loading what="the sign-in" />;
  return (
    <main className="sign-in">
      <p className="brand">
        <Icon name="logo" /> prompt-backend
      </p>
      <h1>Sign in</h1>
      {link.problem !== undefined && (
        <div role="alert">
          <p>{link.problem.text}</p>
          {link.problem.requestId !== undefined && (
            <p className="muted">
              Request <code>{link.problem.requestId}</code>: name it in a bug report.
            </p>
          )}
        </div>
      )}
      {error !== null && (
        <p role="alert">
          {PROBLEMS[error] ??
            "The sign-in failed. Start it again; if it fails again, tell your administrator:"}{" "}
          <code>{error.slice(0, 80)}</code>
        </p>
      )}
      {signIn.sign_in === "oidc" ? (
        <a
          className="button"
          data-look="primary"
          href={`/auth/sign-in?return_to=${encodeURIComponent(here())}`}
        >
          Sign in with your organization
        </a>
      ) : signIn.sign_in === "local" ? (
        <>
          <p>
            This service signs in by a link, which works once and for 10 minutes. The terminal in which it was
            started shows one. For another one run, on the same machine:
          </p>
          <pre className="card">prompt-backend open</pre>
          <p className="muted">
            In a clone of the repository: <code>npm run open</code>
          </p>
        </>
      ) : (
        <p>
          Signing in by web page is not set up. The administrator sets <code>OIDC_CLIENT_ID</code> to the
          client of this page at the identity provider, and starts the service again. The API takes bearer
          tokens meanwhile.
        </p>
      )}
    </main>
  );
}

/** The page an identity provider may come back to. */
const here = () =>
  location.pathname === "/sign-in" ? "/" : location.pathname + location.search + location.hash;

type LinkProblem = ReturnType<typeof describe> | undefined;

/** Uses up the code of a sign-in link. */
function useLinkCode(): { pending: boolean; problem: LinkProblem } {
  const queries = useQueryClient();
  const [state, setState] = useState(() => ({
    pending: hasLinkCode(),
    problem: undefined as LinkProblem,
  }));
  useEffect(() => {
    const use = async () => {
      const code = takeLinkCode();
      if (code === undefined) return;
      setState({ pending: true, problem: undefined });
      let problem: LinkProblem;
      try {
        await client.auth.signInLocal({ code });
        await queries.invalidateQueries(signInQuery);
      } catch (error) {
        problem = describe(error);
      }
      setState({ pending: false, problem });
    };
    void use();
    // A second link opened in the same tab changes the fragment alone.
    addEventListener("hashchange", use);
    return () => removeEventListener("hashchange", use);
  }, [queries]);
  return state;
}
