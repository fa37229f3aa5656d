import { useState } from "react";
import { Button } from "../ui/button.tsx";
import { Field } from "./field.tsx";
import { serversIn } from "./form.ts";

const EXAMPLE = JSON.stringify(
  {
    docs: {
      type: "http",
      url: "https://mcp.example/docs",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference to a secret.
      headers: { Authorization: "Bearer ${DOCS_TOKEN}" },
    },
    tickets: { command: "npx", args: ["-y", "@example/tickets-mcp"] },
  },
  undefined,
  2,
);

/** MCP servers, as JSON, which is read when the field is left. */
export function ServersField(options: {
  value: string;
  onChange: (value: string) => void;
  error: string | undefined;
}) {
  const { value, onChange, error } = options;
  const [wrong, setWrong] = useState<string>();
  const check = (text: string) => {
    const servers = serversIn(text);
    setWrong(typeof servers === "string" ? servers : undefined);
  };
  return (
    <div className="project-servers">
      <Field
        id="project-servers"
        label="MCP servers"
        hint={
          <>
            JSON, as Claude Code has it in <code>mcpServers</code>. <code>${"{NAME}"}</code> stands for the
            project's secret of that name.
          </>
        }
        error={wrong ?? error}
      >
        {(state) => (
          <textarea
            {...state}
            className="input mono"
            rows={value === "" ? 3 : 9}
            autoCapitalize="off"
            spellCheck={false}
            value={value}
            onChange={(event) => {
              onChange(event.target.value);
              if (wrong !== undefined) check(event.target.value);
            }}
            onBlur={() => check(value)}
          />
        )}
      </Field>
      <details>
        <summary>Example</summary>
        <pre className="mono">{EXAMPLE}</pre>
        {value.trim() === "" && (
          <Button
            onClick={() => {
              onChange(EXAMPLE);
              document.getElementById("project-servers")?.focus();
            }}
          >
            Begin with it
          </Button>
        )}
      </details>
    </div>
  );
}
