/** What a command of the CLI is, and the lab that it is about. */
import { checkLabName } from '../lab/namespaces.ts';
import { DEFAULT_LAB } from '../lab/options.ts';
import { defaultStateRoot } from '../lab/privilege.ts';
import { type LabFolder, labFolder } from '../lab/state-folder.ts';
import { sentenceOf, UsageError } from '../program/flags.ts';

export interface Command {
  /** One line in the list of commands. */
  readonly summary: string;
  readonly help: string;
  /** Resolves with the exit code; rejects with a sentence. */
  run(args: readonly string[]): Promise<number>;
}

/** Every command of a lab takes it. */
export const NAME_OPTION = { name: { type: 'string', default: DEFAULT_LAB.name } } as const;

export interface NamedLab {
  readonly name: string;
  readonly folder: LabFolder;
}

export function namedLab(name: string): NamedLab {
  try {
    return { name: checkLabName(name), folder: labFolder(defaultStateRoot(), name) };
  } catch (error) {
    throw new UsageError(sentenceOf(error));
  }
}
