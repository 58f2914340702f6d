/**
 * One deliberate bug: a text of one source file, and what stands in its place. It is put there as the module is
 * loaded; nothing on the disk changes.
 */
import { registerHooks } from 'node:module';

export interface Mutation {
  /** What the bug does, in a few words. */
  readonly name: string;
  /** From the repository's root. */
  readonly file: string;
  /** Stands exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

/** The file's text with the bug in it; throws where the text to replace is not there exactly once. */
export function mutated(source: string, { name, file, find, replace }: Mutation): string {
  const parts = source.split(find);
  if (parts.length !== 2) throw new Error(`${name}: the text to replace stands ${parts.length - 1} times in ${file}`);
  return parts.join(replace);
}

/** From now on the file is loaded with the bug in it; call before anything imports it. */
export function infect(mutation: Mutation): void {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(`/${mutation.file}`)) return loaded;
      const { source } = loaded;
      const text = typeof source === 'string' ? source : new TextDecoder().decode(source ?? undefined);
      return { ...loaded, source: mutated(text, mutation) };
    },
  });
}
