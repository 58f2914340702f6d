/**
 * Golden bytes by name: `# name`, then hex in lines of 32 bytes. Sequence number and port are 0.
 */
import { readFileSync } from 'node:fs';

export function goldens(file: string): Map<string, Buffer> {
  const text = readFileSync(new URL(`golden/${file}`, import.meta.url), 'utf8');
  const found = new Map<string, Buffer>();
  for (const section of text.split(/^# /m).slice(1)) {
    const [name = '', ...lines] = section.trim().split('\n');
    found.set(name, Buffer.from(lines.join(''), 'hex'));
  }
  return found;
}

export const goldenText = (messages: ReadonlyMap<string, Buffer>): string =>
  [...messages].map(([name, bytes]) => `# ${name}\n${bytes.toString('hex').replace(/.{64}(?=.)/g, '$&\n')}\n`).join('');
