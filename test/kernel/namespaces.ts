/**
 * Namespaces of a test's own, named `uwk-<process>-<n>` where `ip netns` finds them, and gone when it ends.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { type Mac, parseMac } from '../../src/core/brand.ts';
import { type Cidr, type Ip, parseCidr, parseIp } from '../../src/core/ip.ts';
import { type Networks, openNetworks } from '../../src/kernel/networks.ts';

const FOLDER = '/run/netns';

export class TestNetworks {
  readonly networks: Networks = openNetworks();
  private readonly names: string[] = [];

  /** Its path. */
  async make(): Promise<string> {
    mkdirSync(FOLDER, { recursive: true });
    const name = `uwk-${process.pid}-${this.names.length}`;
    this.names.push(name);
    await this.networks.createNamespace(`${FOLDER}/${name}`);
    return `${FOLDER}/${name}`;
  }

  async close(): Promise<void> {
    for (const name of this.names) await this.networks.deleteNamespace(`${FOLDER}/${name}`);
    await this.networks.close();
  }
}

/** What a tool prints inside the namespace, without blanks at the ends of lines. */
export function tool(netns: string, ...command: readonly string[]): string {
  const text = execFileSync('ip', ['netns', 'exec', netns.slice(FOLDER.length + 1), ...command], {
    encoding: 'utf8',
    stdio: 'pipe',
  });
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

function known<T>(value: T | undefined, text: string): T {
  if (value === undefined) throw new TypeError(text);
  return value;
}
export const ip = (text: string): Ip => known(parseIp(text), text);
export const cidr = (text: string): Cidr => known(parseCidr(text), text);
export const mac = (text: string): Mac => known(parseMac(text), text);
