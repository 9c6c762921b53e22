/** The unit that a disk writes whole or not at all. */
const sectorBytes = 512;

/**
 * Whether a piece that does not hold was never whole, and not damaged later. A killed process leaves a file that ends
 * early. A machine that loses power may also leave sectors that were never written, which read as zeros. Anything else that
 * fails its checksum was damaged, and is not ours to cut off.
 */
export function isTorn(bytes: Uint8Array, at: number, length: number): boolean {
  const end = at + length;
  if (end > bytes.length) return true;
  for (let from = at; from < end; ) {
    const to = Math.min(end, (Math.floor(from / sectorBytes) + 1) * sectorBytes);
    if (isZero(bytes, from, to)) return true;
    from = to;
  }
  return false;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
