/**
 * What can be broken in a lab, by name: the memory cloud's own faults, and those of metadata, instances and disks.
 * A fault lasts until `heal`, or happens once.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { CloudFault, FaultTerms } from '../../providers/memory/faults.ts';
import type { InstanceId } from '../core/brand.ts';
import { cidrContains, type Ip, parseIp } from '../core/ip.ts';
import type { Instance } from './instance.ts';
import type { LabNode } from './node/node.ts';

/** What a fault acts on. */
export interface Breakable {
  readonly cloud: MemoryCloud;
  readonly instances: readonly Instance[];
  readonly nodes: readonly LabNode[];
}

/** What was done, for people; and how it is undone, where it lasts. */
export interface Struck {
  readonly what: string;
  readonly heal?: () => void;
}

interface Fault {
  /** One line of help. */
  readonly what: string;
  /** `target` is what follows the colon. */
  strike(lab: Breakable, target: string | undefined): Struck | Promise<Struck>;
}

/** A fault of the cloud: for calls of every instance, or of the one named. */
const cloudFault = (what: string, fault: CloudFault, terms: FaultTerms = {}): Fault => ({
  what,
  strike(lab, target) {
    const caller = target === undefined ? {} : { caller: instanceNamed(lab, target).id };
    return { what, heal: lab.cloud.faults.arm(fault, { ...terms, ...caller }) };
  },
});

/** A fault of a node: of the one named, or of all. */
const nodeFault = (
  what: string,
  strike: (node: LabNode) => Promise<string> | string,
  heal?: (node: LabNode) => void,
) => ({
  what,
  async strike(lab: Breakable, target: string | undefined): Promise<Struck> {
    const nodes = target === undefined ? lab.nodes : [nodeNamed(lab, target)];
    const done: string[] = [];
    for (const node of nodes) done.push(`${node.name}: ${await strike(node)}`);
    return { what: done.join('; '), ...(heal && { heal: () => nodes.forEach(heal) }) };
  },
});

export const FAULTS = {
  'api-latency': cloudFault('every call of the cloud takes ten times as long, and a second more', {
    kind: 'latency',
    factor: 10,
    plusMs: 1_000,
  }),
  throttle: cloudFault('every call is answered RequestLimitExceeded', { kind: 'throttle' }),
  deny: cloudFault('every call is answered UnauthorizedOperation', { kind: 'deny' }),
  'subnet-full': cloudFault('no subnet has a free IPv4 address', { kind: 'subnet-full' }),
  'no-prefix': cloudFault('no subnet has a whole free IPv4 prefix', { kind: 'no-prefix' }),
  'eni-limit': cloudFault('the account has all the ENIs it may have', { kind: 'eni-limit' }),
  'stale-reads': cloudFault('reads show what was written up to 15 s late', { kind: 'stale-reads', lagMs: 15_000 }),
  'lost-reply': cloudFault(
    'the next 3 creates, assigns or unassigns are done, and their answers lost',
    { kind: 'lost-reply', silent: false },
    { calls: 3, actions: ['create-eni', 'assign', 'unassign'] },
  ),
  'attach-stuck': cloudFault('attaches are accepted and never end', { kind: 'attach-stuck' }),
  'link-late': cloudFault('the link of a new attachment comes 30 s late', { kind: 'link-late', byMs: 30_000 }),
  'api-down': cloudFault('nobody answers at the cloud’s endpoint', { kind: 'api-down' }),
  'metadata-down': {
    what: 'the instance metadata service does not answer',
    strike(lab, target) {
      const instances = target === undefined ? lab.instances : [instanceNamed(lab, target)];
      const set = (down: boolean) => {
        for (const { metadata } of instances) metadata.down = down;
      };
      set(true);
      return { what: `no metadata in ${instances.map(({ name }) => name).join(', ')}`, heal: () => set(false) };
    },
  },
  'address-gone': {
    what: 'somebody takes an address (:ADDRESS) or the first secondary one of a node (:NODE) off its ENI, once',
    strike: (lab, target) => ({ what: takeAddress(lab, target) }),
  },
  'ways-gone': nodeFault(
    'somebody removes all ip rules and routes of the daemon, once',
    async (node) => `${await node.loseWays()} rules and routes removed`,
  ),
  reboot: nodeFault('a node boots: its pods’ links, its routes, rules and tables are gone, once', async (node) => {
    await node.reboot();
    return 'rebooted';
  }),
  'disk-full': nodeFault(
    'not a byte is free where the daemon keeps its journal',
    (node) => {
      node.fillDisk();
      return `${node.folder.state} is full`;
    },
    (node) => node.freeDisk(),
  ),
} satisfies Readonly<Record<string, Fault>>;

export type FaultName = keyof typeof FAULTS;

export interface ArmedFault extends Struck {
  /** As it was asked for, such as `deny:node-2`. */
  readonly name: string;
}

/** Breaks it. Throws RangeError with a sentence for a name or a target that is not there. */
export async function strike(lab: Breakable, asked: string): Promise<ArmedFault> {
  const colon = asked.indexOf(':');
  const name = colon < 0 ? asked : asked.slice(0, colon);
  if (!Object.hasOwn(FAULTS, name))
    throw new RangeError(`no fault ${name}: there are ${Object.keys(FAULTS).join(', ')}`);
  const fault: Fault = FAULTS[name as FaultName];
  return { name: asked, ...(await fault.strike(lab, colon < 0 ? undefined : asked.slice(colon + 1))) };
}

function instanceNamed({ instances }: Breakable, name: string): Instance {
  const instance = instances.find((candidate) => candidate.name === name || candidate.id === name);
  if (instance !== undefined) return instance;
  throw new RangeError(`no instance ${name}: there are ${instances.map((known) => known.name).join(', ')}`);
}

/** Throws RangeError with a sentence for one that is not there. */
export function nodeNamed({ nodes }: Pick<Breakable, 'nodes'>, name: string): LabNode {
  const node = nodes.find((candidate) => candidate.name === name);
  if (node !== undefined) return node;
  throw new RangeError(`no node ${name}: there are ${nodes.map((known) => known.name).join(', ') || 'none'}`);
}

function takeAddress(lab: Breakable, target: string | undefined): string {
  const wanted = target === undefined ? undefined : parseIp(target);
  const owners: readonly InstanceId[] =
    target === undefined || wanted !== undefined
      ? lab.nodes.map(({ instance }) => instance.id)
      : [nodeNamed(lab, target).instance.id];
  for (const eni of owners.flatMap((owner) => lab.cloud.truth.enisOf(owner))) {
    const block = eni.blocks.find((cidr) => wanted === undefined || cidrContains(cidr, wanted as Ip));
    if (block !== undefined && lab.cloud.takeBlock(eni.id, block)) return `${block} was taken off ${eni.id}`;
  }
  throw new RangeError(`no secondary address ${target ?? ''} is on a node`);
}
