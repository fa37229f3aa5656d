import {
  createRootRoute,
  createRoute,
  createRouter,
  Link,
  lazyRouteComponent,
  Outlet,
  type SearchSchemaInput,
} from "@tanstack/react-router";
import { lazy, Suspense } from "react";
import { readFailedSearch } from "./failed/address.ts";
import { InboxPage } from "./inbox/inbox-page.tsx";
import { readProjectSearch } from "./projects/address.ts";
import { readSearch } from "./review/address.ts";
import { Frame } from "./shell/frame.tsx";
import { Gate } from "./sign-in/gate.tsx";
import { readSystemSearch } from "./system/address.ts";
import { Empty } from "./ui/empty.tsx";
import { later, untilLoaded } from "./ui/later.ts";
import { Loading } from "./ui/loading.tsx";
import { Problem } from "./ui/problem.tsx";
import { readUsageSearch, type UsageSearch } from "./usage/address.ts";

const Toasts = lazy(() => later(() => import("./ui/toasts.tsx")));

const root = createRootRoute({
  component: () => (
    <>
      <Gate>
        <Frame />
      </Gate>
      <Suspense>
        <Toasts />
      </Suspense>
    </>
  ),
  notFoundComponent: () => (
    <Empty title="There is no such page">
      <Link to="/">Go to the inbox</Link>
    </Empty>
  ),
});

/** The inbox is in the first script; the others come when they are wanted. */
const inbox = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: InboxPage,
  validateSearch: (search: Record<string, unknown>): { show?: string; q?: string } => ({
    ...(typeof search["show"] === "string" && { show: search["show"] }),
    ...(typeof search["q"] === "string" && { q: search["q"] }),
  }),
});
/** Where a sign-in comes back to when it has failed. */
const signIn = createRoute({ getParentRoute: () => root, path: "/sign-in", component: InboxPage });
const create = createRoute({
  getParentRoute: () => root,
  path: "/new",
  component: lazyRouteComponent(() => untilLoaded(() => import("./new/new-page.tsx")), "NewPage"),
});
const session = createRoute({
  getParentRoute: () => root,
  path: "/s/$id",
  component: Outlet,
});
const conversation = createRoute({
  getParentRoute: () => session,
  path: "/",
  component: lazyRouteComponent(() => untilLoaded(() => import("./session/session-page.tsx")), "SessionPage"),
});
const review = createRoute({
  getParentRoute: () => session,
  path: "/review",
  validateSearch: readSearch,
  component: lazyRouteComponent(() => untilLoaded(() => import("./review/review-page.tsx")), "ReviewPage"),
});
/** `/projects` itself is the API. */
const projects = createRoute({
  getParentRoute: () => root,
  path: "/p",
  component: lazyRouteComponent(
    () => untilLoaded(() => import("./projects/projects-page.tsx")),
    "ProjectsPage",
  ),
});
const newProject = createRoute({
  getParentRoute: () => root,
  path: "/p/new",
  validateSearch: readProjectSearch,
  component: lazyRouteComponent(
    () => untilLoaded(() => import("./projects/project-page.tsx")),
    "NewProjectPage",
  ),
});
const project = createRoute({
  getParentRoute: () => root,
  path: "/p/$id",
  validateSearch: readProjectSearch,
  component: lazyRouteComponent(
    () => untilLoaded(() => import("./projects/project-page.tsx")),
    "ProjectPage",
  ),
});
/** `/usage` itself is the API, too. */
const usage = createRoute({
  getParentRoute: () => root,
  path: "/u",
  validateSearch: (search: Partial<UsageSearch> & SearchSchemaInput) => readUsageSearch({ ...search }),
  component: lazyRouteComponent(() => untilLoaded(() => import("./usage/usage-page.tsx")), "UsagePage"),
});
const failed = createRoute({
  getParentRoute: () => root,
  path: "/failed",
  validateSearch: readFailedSearch,
  component: lazyRouteComponent(() => untilLoaded(() => import("./failed/failed-page.tsx")), "FailedPage"),
});
const system = createRoute({
  getParentRoute: () => root,
  path: "/system",
  validateSearch: readSystemSearch,
  component: lazyRouteComponent(() => untilLoaded(() => import("./system/system-page.tsx")), "SystemPage"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    inbox,
    signIn,
    create,
    session.addChildren([conversation, review]),
    projects,
    newProject,
    project,
    usage,
    failed,
    system,
  ]),
  defaultPreload: "intent",
  scrollRestoration: false,
  defaultPendingComponent: () => <Loading what="the page" />,
  defaultErrorComponent: ({ error, reset }) => (
    <Problem title="This page has failed" error={error} onRetry={reset} />
  ),
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
