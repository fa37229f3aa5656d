import type { ComponentProps } from "react";

export interface ButtonProps extends ComponentProps<"button"> {
  look?: "plain" | "primary" | "danger" | "quiet";
  /** Work that was started by it is going on: it shows so, and cannot be pressed again. */
  busy?: boolean;
}

/** A button. It stays focusable while it is busy, so that the keyboard's position is not lost. */
export function Button({ look = "plain", busy = false, className = "", onClick, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      className={`button ${className}`}
      data-look={look}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={busy ? (event) => event.preventDefault() : onClick}
    />
  );
}
