/** What is wrong with a configuration, as a sentence that says what would be right. `path` leads to the key. */
export class WrongConfig extends Error {
  readonly path: readonly string[];

  constructor(path: readonly string[], message: string) {
    super(message);
    this.path = path;
  }
}
