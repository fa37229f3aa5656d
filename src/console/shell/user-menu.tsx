import { Menu } from "@base-ui/react/menu";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Notifications, notifications, setNotifications } from "../notify/notifications.ts";
import { signInQuery } from "../sign-in/sign-in.ts";
import { signOut } from "../sign-in/sign-out.ts";
import { Icon } from "./icons.tsx";
import { applyTheme, readTheme, type Theme } from "./theme.ts";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const NOTIFICATIONS: Readonly<Record<Notifications, string>> = {
  on: "Notifications",
  off: "Notifications",
  denied: "Notifications: the browser blocks them",
  unsupported: "Notifications: not here (they need https, and a browser that gives them to pages)",
};

/** The user's menu: theme, keys, the API's documentation, signing out. */
export default function UserMenu({ onHelp }: { onHelp: () => void }) {
  const { data: signIn } = useQuery(signInQuery);
  const [theme, setTheme] = useState(readTheme);
  const [telling, setTelling] = useState(notifications);
  const name = signIn?.user?.name ?? signIn?.user?.email ?? signIn?.user?.id;
  return (
    <Menu.Root onOpenChange={() => setTelling(notifications())}>
      <Menu.Trigger
        className="button user-menu"
        data-look="quiet"
        aria-label={`Menu of ${name ?? "this page"}`}
      >
        <Icon name="user" />
        <span className="user-name">{name}</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={4} align="end" className="menu-positioner">
          <Menu.Popup className="menu">
            <Menu.RadioGroup
              value={theme}
              onValueChange={(wanted: Theme) => {
                applyTheme(wanted);
                setTheme(wanted);
              }}
            >
              {THEMES.map((one) => (
                <Menu.RadioItem key={one} value={one} className="menu-item" closeOnClick={false}>
                  <span className="menu-mark">{one === theme ? "✓" : ""}</span>
                  {one === "system" ? "Theme of the system" : `${one === "dark" ? "Dark" : "Light"} theme`}
                </Menu.RadioItem>
              ))}
            </Menu.RadioGroup>
            <Menu.Separator className="menu-line" />
            <Menu.CheckboxItem
              className="menu-item"
              checked={telling === "on"}
              disabled={telling === "denied" || telling === "unsupported"}
              closeOnClick={false}
              onCheckedChange={async (wanted) => setTelling(await setNotifications(wanted))}
            >
              <span className="menu-mark">{telling === "on" ? "✓" : ""}</span>
              {NOTIFICATIONS[telling]}
            </Menu.CheckboxItem>
            <Menu.Item className="menu-item" onClick={onHelp}>
              Keys
            </Menu.Item>
            <Menu.Item className="menu-item" render={<a href="/swagger-ui/">API documentation</a>} />
            <Menu.Item className="menu-item" render={<a href="/rapidoc/">API reference</a>} />
            {signIn?.auth_mode !== "none" && (
              <>
                <Menu.Separator className="menu-line" />
                <Menu.Item className="menu-item" onClick={() => signOut({ everywhere: false })}>
                  Sign out
                </Menu.Item>
                <Menu.Item className="menu-item" onClick={() => signOut({ everywhere: true })}>
                  Sign out everywhere
                </Menu.Item>
              </>
            )}
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
