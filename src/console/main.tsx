import "./begin.ts";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { options } from "preact";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createQueries } from "./queries.ts";
import { router } from "./router.tsx";
import { keepFocus } from "./shell/keep-focus.ts";
import { applyTheme, readTheme } from "./shell/theme.ts";

// Effects follow their rendering at once, as React's do after a key or a click: Preact's wait for the next frame, and a key that
// is pressed before it would find what was typed not kept yet.
options.requestAnimationFrame = queueMicrotask;

applyTheme(readTheme());
const place = document.getElementById("app");
if (!place) throw new Error("index.html has no #app");
keepFocus(place);
createRoot(place).render(
  <StrictMode>
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={createQueries()}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </CSPProvider>
  </StrictMode>,
);
