export function SystemPage() {
  return (
    <div className="page">
      <h1>System</h1>
    </div>
  );
}
