/**
 * Bytes that a message takes encoded, at the most: counts what it holds without encoding it, which would cost more than all
 * the rest of publishing.
 */
export function messageSizeAtMost(value: unknown): number {
  switch (typeof value) {
    case "string":
      // A UTF-16 unit takes 3 bytes of UTF-8 at most.
      return value.length * 3 + fieldBytes;
    case "number":
    case "bigint":
    case "boolean":
      return fieldBytes;
    case "object":
      break;
    default:
      return 0;
  }
  if (value === null) return 0;
  if (value instanceof Uint8Array) return value.length + fieldBytes;
  let size = fieldBytes;
  for (const key in value) {
    // A map's keys are fields too, and a message's names only make the bound a little looser.
    size += 3 * key.length + messageSizeAtMost((value as Record<string, unknown>)[key]);
  }
  return size;
}

/** Tag and length, or tag and the longest number. */
const fieldBytes = 12;
