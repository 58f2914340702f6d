/** The file of `--json`: tried before the work whose figures it is for, written after it. */
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { OutputError, sentenceOf, UsageError } from './flags.ts';

/** Throws UsageError. Nothing is left there, and nothing that was there is lost, should the work be broken off. */
export function checkWritable(flag: string, file: string): void {
  const wasThere = existsSync(file);
  try {
    closeSync(openSync(file, 'a'));
    if (!wasThere) rmSync(file);
  } catch (error) {
    throw new UsageError(`--${flag} ${file || '(empty)'} cannot be written: ${sentenceOf(error)}`);
  }
}

/** Throws OutputError. */
export function writeFigures(file: string, figures: unknown): void {
  try {
    writeFileSync(file, `${JSON.stringify(figures, null, 2)}\n`);
  } catch (error) {
    throw new OutputError(`the figures are lost: ${file} cannot be written: ${sentenceOf(error)}`);
  }
}
