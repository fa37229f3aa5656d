import { Link, Outlet, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useRef, useState } from "react";
import { Attention } from "../notify/attention.tsx";
import { useIsAdmin } from "../sign-in/use-is-admin.ts";
import { later, untilLoaded } from "../ui/later.ts";
import { Icon } from "./icons.tsx";
import { useKeys } from "./keys.ts";

/** How long after `g` its second key may come. */
const SEQUENCE_MS = 1_500;
/** Not needed for the first look at the page. */
const UserMenu = lazy(() => later(() => import("./user-menu.tsx")));
const Help = lazy(() => untilLoaded(() => import("./help.tsx")));

/** What every page has around it: navigation, the user's menu, keys. */
export function Frame() {
  const isAdmin = useIsAdmin();
  const navigate = useNavigate();
  const [help, setHelp] = useState(false);
  const goSince = useRef(0);
  const second = (to: "/" | "/p" | "/u" | "/failed" | "/system") => () => {
    if (Date.now() - goSince.current < SEQUENCE_MS) void navigate({ to });
    goSince.current = 0;
  };
  const keys = {
    "?": () => setHelp(true),
    n: () => void navigate({ to: "/new" }),
    g: () => {
      goSince.current = Date.now();
    },
    i: second("/"),
    p: second("/p"),
    // Not `u`, which marks a session of the inbox.
    b: second("/u"),
    f: second("/failed"),
    s: second("/system"),
  };
  useKeys(keys, window);

  return (
    <div className="frame">
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <header className="bar">
        <Link to="/" className="brand" aria-label="prompt-backend, inbox">
          <Icon name="logo" />
          <span>prompt-backend</span>
        </Link>
        <nav className="nav" aria-label="Pages">
          <Link to="/" activeOptions={{ exact: true, includeSearch: false }}>
            <Icon name="inbox" />
            Inbox
          </Link>
          <Link to="/new">
            <Icon name="new" />
            New
          </Link>
          <Link to="/p">
            <Icon name="project" />
            Projects
          </Link>
          <Link to="/u">
            <Icon name="usage" />
            Usage
          </Link>
          <Link to="/failed">
            <Icon name="failed" />
            Dead letters
          </Link>
          {isAdmin && (
            <Link to="/system">
              <Icon name="system" />
              System
            </Link>
          )}
        </nav>
        <Suspense fallback={<span className="user-menu" />}>
          <UserMenu onHelp={() => setHelp(true)} />
        </Suspense>
      </header>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
      <Attention />
      <Suspense>{help && <Help onClose={() => setHelp(false)} />}</Suspense>
    </div>
  );
}
