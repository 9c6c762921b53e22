/** An option that is given or not. */
export interface FlagOption {
  readonly kind: "flag";
  readonly short?: string;
  readonly description: string;
}

/** An option with a value. */
export interface ValueOption<T> {
  readonly kind: "value";
  /** What the help shows for the value ("URL"). */
  readonly placeholder: string;
  readonly description: string;
  /** Reads the value. Throws the sentence that says what would be right. */
  readonly parse: (text: string) => T;
}

/** An option that may be given again and again. */
export interface ListOption<T> {
  readonly kind: "list";
  /** Whether one value may hold several, separated by commas. */
  readonly commas: boolean;
  readonly placeholder: string;
  readonly description: string;
  readonly parse: (text: string) => T;
}

export type OptionSpec = FlagOption | ValueOption<unknown> | ListOption<unknown>;
export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** What the options of a table are after parsing. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends FlagOption
    ? boolean
    : Table[Name] extends ListOption<infer T>
      ? readonly T[]
      : Table[Name] extends ValueOption<infer T>
        ? T | undefined
        : never;
};

export function flag(description: string, short?: string): FlagOption {
  return { kind: "flag", description, ...(short === undefined ? {} : { short }) };
}

export function value<T>(placeholder: string, description: string, parse: (text: string) => T): ValueOption<T> {
  return { kind: "value", placeholder, description, parse };
}

export function list<T>(placeholder: string, description: string, parse: (text: string) => T): ListOption<T> {
  return { kind: "list", commas: false, placeholder, description, parse };
}

export function commaList<T>(placeholder: string, description: string, parse: (text: string) => T): ListOption<T> {
  return { kind: "list", commas: true, placeholder, description, parse };
}

/** A command of the command line. Help and parsing read the same table, so that neither knows what the other does not. */
export interface Command<Table extends OptionTable = OptionTable> {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows the options, as the help shows it ("-- CMD ARGS"). Absent: nothing may. */
  readonly operands?: string;
  /** Paragraphs of the command's own help. */
  readonly description: readonly string[];
  readonly options: Table;
  /** Command lines, each with what it is for. */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
  /** Runs it and gives the exit code. Errors that it throws become one line and an exit code. */
  run(values: OptionValues<Table>, operands: readonly string[]): Promise<number>;
}

export function defineCommand<const Table extends OptionTable>(command: Command<Table>): Command<Table> {
  return command;
}
