import { Component, type ReactNode } from "react";
import { pretty } from "../rows/json.ts";

/** One row that cannot be shown as it should is shown as it came; the others stay. */
export class RowBoundary extends Component<{ row: unknown; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override componentDidUpdate(before: { row: unknown }) {
    if (this.state.failed && before.row !== this.props.row) this.setState({ failed: false });
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="said" data-kind="note">
        <p className="muted">This part could not be shown. As it came:</p>
        <pre className="prose-plain">{pretty(this.props.row).slice(0, MAX_CHARS)}</pre>
      </div>
    );
  }
}

const MAX_CHARS = 10_000;
