import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

/** A modal dialog while it is rendered: focus goes into it, stays there, and returns to where it was. Escape closes it. */
export function Dialog(options: {
  onClose: () => void;
  title: string;
  children: ReactNode;
  /** Buttons. */
  actions?: ReactNode;
}) {
  const { onClose, title, children, actions } = options;
  return (
    <Base.Root open onOpenChange={(wanted) => !wanted && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="backdrop" />
        <Base.Popup className="dialog">
          <Base.Title className="dialog-title">{title}</Base.Title>
          <div className="dialog-body">{children}</div>
          <div className="dialog-actions">
            {actions}
            <Base.Close className="button">Close</Base.Close>
          </div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}
