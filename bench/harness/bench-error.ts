/** Something that stops the benchmark, or one cell of it, with words for whoever runs it. */
export class BenchError extends Error {
  override readonly name = "BenchError";
}
