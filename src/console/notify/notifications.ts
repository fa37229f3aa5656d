import { keep, kept } from "../ui/storage.ts";

const KEY = "prompt-backend:notifications";

/** Chromium on Android has the interface, and refuses it to pages: only the attempt shows it. */
let refused = false;

/** `off` until the user turns them on; `denied`: the browser keeps them back. */
export type Notifications = "on" | "off" | "denied" | "unsupported";

export function notifications(): Notifications {
  if (refused || !("Notification" in globalThis)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  return Notification.permission === "granted" && kept(KEY) === "on" ? "on" : "off";
}

/** Asks the browser where that is needed, which it allows after a click alone. */
export async function setNotifications(wanted: boolean): Promise<Notifications> {
  if (!wanted) keep(KEY, undefined);
  else if ((await Notification.requestPermission()) === "granted") keep(KEY, "on");
  return notifications();
}

/**
 * Tells of a session while the page is not looked at. Several tabs tell of the same one: the browser shows it once, by its tag.
 */
export function notify(options: { id: string; title: string; body: string; onOpen: () => void }): void {
  if (!document.hidden || notifications() !== "on") return;
  let shown: Notification;
  try {
    shown = new Notification(options.title, {
      body: options.body,
      tag: `prompt-backend:${options.id}`,
      icon: "/console/icon-192.png",
    });
  } catch {
    refused = true;
    return;
  }
  shown.onclick = () => {
    window.focus();
    options.onOpen();
    shown.close();
  };
}
