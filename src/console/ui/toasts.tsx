import { Toast } from "@base-ui/react/toast";

/** One for the page: what is no component can add to it, too. */
const manager = Toast.createToastManager();

export const { add, close } = manager;

/** Where toasts appear. */
export default function Toasts() {
  return (
    <Toast.Provider toastManager={manager}>
      <Toast.Portal>
        <Toast.Viewport className="toasts">
          <List />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function List() {
  const { toasts } = Toast.useToastManager();
  return toasts.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className="toast" data-kind={toast.type}>
      <Toast.Content className="toast-content">
        <div>
          <Toast.Title className="toast-title" />
          <Toast.Description className="toast-description" />
        </div>
        <Toast.Action className="button" />
        <Toast.Close className="button" data-look="quiet" aria-label="Close">
          ✕
        </Toast.Close>
      </Toast.Content>
    </Toast.Root>
  ));
}
