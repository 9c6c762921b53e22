/**
 * Why the signal of a watch aborts when its reader leaves. One for all of them: without a reason, `abort` makes an exception
 * with a stack for every reader.
 */
export const readerLeft = new Error("The reader has left.");
