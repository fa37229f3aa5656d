import { Button, type ButtonProps } from "../ui/button.tsx";

/** Says what is written to the agent that works, instead of queueing it. */
export const SteerButton = (props: Pick<ButtonProps, "busy" | "disabled" | "onClick">) => (
  <Button {...props} title="Ctrl Shift Enter">
    Send to the agent now
  </Button>
);
