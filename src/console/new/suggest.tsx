import { Autocomplete } from "@base-ui/react/autocomplete";

export interface Suggestion {
  value: string;
  /** What it is, in a few words. */
  hint: string;
}

/** A field that suggests values; any other may be typed, too. */
export function Suggest(options: {
  id: string;
  label: string;
  hint?: string;
  placeholder?: string;
  value: string;
  onChange: (value: string) => void;
  items: readonly Suggestion[];
  /** What is wrong with the value. */
  error?: string | undefined;
}) {
  const { id, label, hint, placeholder, value, onChange, items, error } = options;
  return (
    <div className="field">
      <Autocomplete.Root
        items={items}
        value={value}
        onValueChange={onChange}
        itemToStringValue={(item: Suggestion) => item.value}
        openOnInputClick
      >
        <label htmlFor={id}>{label}</label>
        <Autocomplete.Input
          id={id}
          className="input mono"
          placeholder={placeholder}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          aria-invalid={error !== undefined || undefined}
          aria-describedby={`${id}-hint`}
        />
        <p className="hint" id={`${id}-hint`} data-error={error !== undefined || undefined}>
          {error ?? hint}
        </p>
        <Autocomplete.Portal>
          <Autocomplete.Positioner sideOffset={4} className="menu-positioner">
            <Autocomplete.Popup className="menu suggestions">
              <Autocomplete.List>
                {(item: Suggestion) => (
                  <Autocomplete.Item key={item.value} value={item} className="menu-item">
                    <span className="suggestion mono">{item.value}</span>
                    <span className="muted">{item.hint}</span>
                  </Autocomplete.Item>
                )}
              </Autocomplete.List>
            </Autocomplete.Popup>
          </Autocomplete.Positioner>
        </Autocomplete.Portal>
      </Autocomplete.Root>
    </div>
  );
}
