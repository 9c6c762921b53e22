/** Bytes in front of every message of a stream: flags, and the length of what follows. The same in Connect, gRPC and gRPC-Web. */
export const envelopeHeaderBytes = 5;

/** Writes the header of an ordinary, uncompressed message of `length` bytes. */
export function writeEnvelopeHeader(target: Buffer, at: number, length: number): void {
  target[at] = 0;
  target.writeUInt32BE(length, at + 1);
}

/** A message in its envelope. `flags`: 0 for an ordinary one. */
export function envelope(flags: number, message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(envelopeHeaderBytes + message.length);
  bytes[0] = flags;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, envelopeHeaderBytes);
  return bytes;
}
