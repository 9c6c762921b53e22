/** A value of a parameter, as JSON has it. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

type Piece = { readonly kind: "text"; readonly text: string } | { readonly kind: "param"; readonly name: string };

/** A value that can't be made an argument of. `param`: whose value it is. */
export class RefusedValue extends Error {
  readonly param: string;

  constructor(param: string, message: string) {
    super(message);
    this.param = param;
  }
}

/** What names a parameter may have: what can stand between braces and nothing else. */
export const paramName = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/**
 * The command of an operation: a program and its arguments, in which `{name}` stands for the value of a parameter. There is
 * no shell: a value never becomes more than the argument it stands in, whatever characters it has. An argument that is
 * nothing but the placeholder of an array becomes one argument per element.
 */
export class CommandTemplate {
  readonly #arguments: readonly (readonly Piece[])[];
  readonly #optionsEnd: number;

  /** @throws Error with a sentence that says what would be right; `at` of it is the index of the argument. */
  constructor(command: readonly string[]) {
    this.#arguments = command.map((argument, index) => {
      try {
        return parse(argument);
      } catch (error) {
        throw Object.assign(error as Error, { at: index });
      }
    });
    const end = command.indexOf("--");
    this.#optionsEnd = end === -1 ? command.length : end;
  }

  /** Parameters that it uses. */
  get params(): ReadonlySet<string> {
    return new Set(this.#arguments.flat().flatMap((piece) => (piece.kind === "param" ? [piece.name] : [])));
  }

  /** Index of the first argument that uses this parameter; -1: none does. */
  indexOf(param: string): number {
    return this.#arguments.findIndex((pieces) =>
      pieces.some((piece) => piece.kind === "param" && piece.name === param),
    );
  }

  /**
   * The program and its arguments with the values in place.
   * @param mayLead Whether a value of this parameter may begin an argument with "-", and so be an option of the program.
   * @throws RefusedValue.
   */
  expand(values: ReadonlyMap<string, JsonValue>, mayLead: (param: string) => boolean): string[] {
    return this.#arguments.flatMap((pieces, index) => {
      const [only] = pieces;
      const value = only?.kind === "param" && pieces.length === 1 ? values.get(only.name) : undefined;
      const several = Array.isArray(value) ? (value as readonly JsonValue[]) : undefined;
      const guard = (param: string, argument: string): string => {
        // What begins with "-" is read as an option: a value must not choose those, unless the operation says it may.
        if (argument.startsWith("-") && index < this.#optionsEnd && !mayLead(param)) {
          throw new RefusedValue(param, 'it begins with "-", and the command would take it for an option');
        }
        return argument;
      };
      if (several !== undefined && only?.kind === "param") {
        return several.map((element) => guard(only.name, argumentText(only.name, element)));
      }
      let text = "";
      let leader: string | undefined;
      for (const piece of pieces) {
        const part = piece.kind === "text" ? piece.text : argumentText(piece.name, values.get(piece.name) ?? null);
        if (text === "" && part !== "") leader = piece.kind === "param" ? piece.name : undefined;
        text += part;
      }
      return [leader === undefined ? text : guard(leader, text)];
    });
  }
}

/** Text as it is; everything else as JSON has it. */
function argumentText(param: string, value: JsonValue): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  // The end of the argument for the system: what follows would be cut off without a word.
  if (text.includes("\0")) throw new RefusedValue(param, "it holds a NUL character, which no argument can");
  return text;
}

function parse(argument: string): Piece[] {
  if (argument.includes("\0")) throw new Error("an argument can't hold a NUL character");
  const pieces: Piece[] = [];
  let text = "";
  for (const [token] of argument.matchAll(/\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}]/g)) {
    if (token === "{{" || token === "}}") {
      text += token[0];
    } else if (token === "{" || token === "}") {
      throw new Error(`"${argument}" has a single "${token}"; write "${token}${token}" for the character itself`);
    } else if (token.startsWith("{")) {
      const name = token.slice(1, -1);
      if (!paramName.test(name)) {
        throw new Error(`"${token}" names no parameter; write "{{" and "}}" for the characters themselves`);
      }
      if (text !== "") pieces.push({ kind: "text", text });
      text = "";
      pieces.push({ kind: "param", name });
    } else {
      text += token;
    }
  }
  if (text !== "" || pieces.length === 0) pieces.push({ kind: "text", text });
  return pieces;
}
