/** What a command of the CLI is, and how its flags are read. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { checkLabName } from '../lab/namespaces.ts';
import { DEFAULT_LAB } from '../lab/options.ts';
import { defaultStateRoot, type LabFolder, labFolder } from '../lab/state-folder.ts';

export interface Command {
  /** One line in the list of commands. */
  readonly summary: string;
  readonly help: string;
  /** Resolves with the exit code; rejects with a sentence. */
  run(args: readonly string[]): Promise<number>;
}

/** Wrong flags or words: exit code 64. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Every command of a lab takes it. */
export const NAME_OPTION = { name: { type: 'string', default: DEFAULT_LAB.name } } as const;

/** Throws UsageError for a flag or a word that is not known. */
export function readFlags<const T extends ParseArgsConfig>(config: T) {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(Error.isError(error) ? error.message.split('. ')[0] : String(error));
  }
}

export interface NamedLab {
  readonly name: string;
  readonly folder: LabFolder;
}

export function namedLab(name: string): NamedLab {
  try {
    return { name: checkLabName(name), folder: labFolder(defaultStateRoot(), name) };
  } catch (error) {
    throw new UsageError(Error.isError(error) ? error.message : String(error));
  }
}
