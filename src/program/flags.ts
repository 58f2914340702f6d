/** The words after a program's name: read, checked, and refused with a sentence before any work is done. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Wrong flags or words. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The work was done, and what came of it could not be written. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
}

/** How the CLI is called from here: npm's scripts leave nothing on the path. */
export const UNDERWAY = ['underway', 'demo'].includes(process.env.npm_lifecycle_event ?? '')
  ? 'npm run underway --'
  : 'underway';

/** sysexits.h's EX_USAGE and EX_IOERR. */
export const EXIT_USAGE = 64;
const EXIT_OUTPUT = 74;

export const sentenceOf = (error: unknown): string => (Error.isError(error) ? error.message : String(error));

/** Throws UsageError for a flag or a word that is not known. */
export function readFlags<const T extends ParseArgsConfig>(config: T) {
  try {
    return parseArgs(config);
  } catch (error) {
    // What follows its first sentence is advice about other command lines.
    const [said = ''] = sentenceOf(error).split(/\.\s/);
    throw new UsageError(
      said.replace(/^Option '(\S+)' argument is ambiguous$/, '$1 needs a value that does not begin with a dash'),
    );
  }
}

interface Range {
  readonly min: number;
  readonly max?: number;
}

const rangeText = ({ min, max }: Range): string => (max === undefined ? `of at least ${min}` : `from ${min} to ${max}`);

const isIn = (value: number, { min, max = Number.MAX_SAFE_INTEGER }: Range): boolean => value >= min && value <= max;

export function wholeNumber(flag: string, text: string, range: Range): number {
  if (/^\d+$/.test(text) && isIn(Number(text), range)) return Number(text);
  throw new UsageError(`--${flag} must be a whole number ${rangeText(range)}; it is ${text || 'empty'}`);
}

export function decimalNumber(flag: string, text: string, range: Range): number {
  if (/^\d+(\.\d+)?$/.test(text) && isIn(Number(text), range)) return Number(text);
  throw new UsageError(`--${flag} must be a number ${rangeText(range)}; it is ${text || 'empty'}`);
}

/** Runs the program. Wrong use and figures that are lost end it with a sentence; whatever else it throws is a bug. */
export async function runProgram(name: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    const isUsage = error instanceof UsageError;
    if (!isUsage && !(error instanceof OutputError)) throw error;
    process.stderr.write(`${name}: ${error.message}${isUsage ? ': see --help' : ''}\n`);
    process.exitCode = isUsage ? EXIT_USAGE : EXIT_OUTPUT;
  }
}
