export function NewPage() {
  return (
    <div className="page">
      <h1>New</h1>
    </div>
  );
}
