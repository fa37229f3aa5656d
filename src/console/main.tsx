import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { options } from "preact";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { meQuery } from "./new/queries.ts";
import { createQueries } from "./queries.ts";
import { router } from "./router.tsx";
import { keepFocus } from "./shell/keep-focus.ts";
import { applyTheme, readTheme } from "./shell/theme.ts";
import { signInQuery } from "./sign-in/sign-in.ts";

// Effects follow their rendering at once, as React's do after a key or a click: Preact's wait for the next frame, and a key that
// is pressed before it would find what was typed not kept yet.
options.requestAnimationFrame = queueMicrotask;
/** How long the first look at the page waits for its first answers, in milliseconds. */
const PATIENCE_MS = 200;

applyTheme(readTheme());
const place = document.getElementById("app");
if (!place) throw new Error("index.html has no #app");
keepFocus(place);
const root = createRoot(place);
const queries = createQueries();
void Promise.race([whoIsHere(), new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]).then(() =>
  root.render(
    <StrictMode>
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  ),
);

/** Reads what decides how the page looks: it is asked for early, and drawn once with it instead of twice without. */
async function whoIsHere(): Promise<void> {
  const { user } = await queries.fetchQuery(signInQuery).catch(() => ({ user: null }));
  if (user) await queries.prefetchQuery(meQuery);
}
