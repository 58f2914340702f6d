/** How many packets went over each link of a namespace. */
import { readFileSync } from 'node:fs';
import { inNamespace } from '../../../src/kernel/namespace.ts';

export interface LinkCounters {
  readonly received: number;
  readonly sent: number;
}

/** By link name, from the kernel's own table: `eth1: bytes packets errs drop fifo frame compressed multicast bytes packets ...`. */
export function linkCounters(netns: string): Readonly<Record<string, LinkCounters>> {
  const table = inNamespace(netns, () => readFileSync('/proc/thread-self/net/dev', 'utf8'));
  const rows = table
    .split('\n')
    .slice(2)
    .filter((line) => line.includes(':'));
  return Object.fromEntries(
    rows.map((line) => {
      const [name = '', figures = ''] = line.split(':');
      const columns = figures.trim().split(/\s+/).map(Number);
      return [name.trim(), { received: columns[1] ?? 0, sent: columns[9] ?? 0 }];
    }),
  );
}
