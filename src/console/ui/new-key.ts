/** An idempotency key: whatever is sent with it, however often, is done once. Not `randomUUID`, which http pages lack. */
export const newKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
