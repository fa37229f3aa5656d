export function FailedPage() {
  return (
    <div className="page">
      <h1>Failed</h1>
    </div>
  );
}
