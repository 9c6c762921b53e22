/**
 * A random id of 128 bits in hexadecimal. Not `crypto.randomUUID`, which browsers offer only to pages that came over HTTPS
 * or from this machine.
 */
export function randomId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
