import { useState } from "react";
import type { ProjectDto } from "../../../sdk/src/index.ts";
import { client } from "../api.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Problem } from "../ui/problem.tsx";
import { repoName } from "../ui/repo-name.ts";

/** Says what goes with the project, and deletes it. */
export default function DeleteDialog(options: {
  project: ProjectDto;
  onClose: () => void;
  onDone: () => void;
}) {
  const { project, onClose, onDone } = options;
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const remove = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await client.projects.delete(project.id);
      onDone();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  const count = project.secrets.length;
  return (
    <Dialog
      title={`Delete the project of ${repoName(project.repo)}?`}
      onClose={onClose}
      actions={
        <Button look="danger" busy={busy} onClick={() => void remove()}>
          Delete
        </Button>
      }
    >
      <p>
        Its settings are gone{count > 0 && `, and ${count === 1 ? "its secret" : `its ${count} secrets`}`}.
        The repository and its sessions stay; runs that have begun keep what they have.
      </p>
      <p>
        <strong>This cannot be undone.</strong>
      </p>
      {error !== undefined && <Problem title="The project was not deleted" error={error} />}
    </Dialog>
  );
}
