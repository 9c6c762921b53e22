/** The value of an option on this process's command line. */
export function optionalArgument(name: string): string | undefined {
  const at = process.argv.indexOf(name);
  return at === -1 ? undefined : process.argv[at + 1];
}

/** The value of an option that must be there. */
export function requiredArgument(name: string): string {
  const value = optionalArgument(name);
  if (value === undefined) throw new Error(`${name} is missing`);
  return value;
}
