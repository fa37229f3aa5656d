import { afterAll, expect, test } from "bun:test";
import { notifications, notify, setNotifications } from "../../../src/console/notify/notifications.ts";

/** As Chromium on Android has it. */
class Refused {
  static readonly permission = "granted";
  static readonly requestPermission = async () => "granted";
  constructor() {
    throw new TypeError("Illegal constructor. Use ServiceWorkerRegistration.showNotification() instead.");
  }
}
Object.assign(globalThis, { Notification: Refused, document: { hidden: true } });
afterAll(() => {
  for (const name of ["Notification", "document"]) Reflect.deleteProperty(globalThis, name);
});

test("a browser that refuses to show a notification says so in the menu, and the page goes on", async () => {
  expect(await setNotifications(true)).toBe("on");
  notify({ id: "one", title: "One", body: "Ready", onOpen: () => undefined });
  expect(notifications()).toBe("unsupported");
});
