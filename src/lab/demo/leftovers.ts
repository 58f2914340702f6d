/**
 * What pods left in a node's kernel: whatever was not there before the first pod, and no ENI or block that the cloud has
 * on the node calls for. A pool that grew keeps its links, tables, fences and elements, which are no leftovers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EniRecord } from '../../../providers/memory/records.ts';
import type { KernelObject, KernelState, LinkState } from '../../datapath/kernel-state.ts';
import type { Lab } from '../lab.ts';
import { DAEMON_NFT_TABLE, type LabNode } from '../node/node.ts';

const POLL_MS = 50;
const SETTLED_MS = 5_000;

export const KINDS = ['links', 'rules', 'routes', 'neighbours', 'nft'] as const;
type Kind = (typeof KINDS)[number];

/** How many of each. */
export type Leftovers = { readonly [K in Kind]: number };

export interface Leftover {
  readonly kind: Kind;
  /** What it is told by, such as `rule IPv4 720 from 10.0.16.16/32 to table 7702`. */
  readonly name: string;
}

/** The kernels of a lab's nodes before the first pod. */
export class Ground {
  readonly #lab: Lab;
  readonly #before: ReadonlyMap<string, ReadonlySet<string>>;

  private constructor(lab: Lab, before: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#lab = lab;
    this.#before = before;
  }

  static async of(lab: Lab): Promise<Ground> {
    const read = async (node: LabNode) => [node.name, namesIn(await kernelOf(lab, node))] as const;
    return new Ground(lab, new Map(await Promise.all(lab.nodes.map(read))));
  }

  /**
   * What is left on these nodes, after a moment: the kernel takes a dead namespace's links along when its file is gone
   * already, and a block that the cloud has taken back is known to the daemon a little later.
   */
  async left(nodes: readonly LabNode[] = this.#lab.nodes): Promise<readonly Leftover[]> {
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      const left = (await Promise.all(nodes.map((node) => this.#leftOn(node)))).flat();
      if (left.length === 0 || waitedMs >= SETTLED_MS) return left;
      await sleep(POLL_MS);
    }
  }

  async #leftOn(node: LabNode): Promise<readonly Leftover[]> {
    const enis = this.#lab.cloud.truth.enisOf(node.instance.id);
    return leftovers(await kernelOf(this.#lab, node), { before: this.#before.get(node.name) ?? new Set(), enis });
  }
}

async function kernelOf({ networks }: Lab, { name, instance }: LabNode): Promise<KernelState> {
  const state = await networks.read(instance.netns, { nftTables: [DAEMON_NFT_TABLE] });
  if (state === undefined) throw new Error(`the namespace of ${name} is gone`);
  return state;
}

/** The names of all that is there. */
export const namesIn = (state: KernelState): ReadonlySet<string> => new Set(all(state).map(({ name }) => name));

export function leftovers(
  state: KernelState,
  { before, enis }: { readonly before: ReadonlySet<string>; readonly enis: readonly EniRecord[] },
): Leftover[] {
  const isCalledFor = callOf(state, enis);
  return all(state).flatMap(({ kind, name, found }) =>
    before.has(name) || isCalledFor(found) ? [] : [{ kind, name }],
  );
}

export const countOf = (left: readonly Leftover[]): Leftovers =>
  Object.fromEntries(KINDS.map((kind) => [kind, left.filter((each) => each.kind === kind).length])) as {
    -readonly [K in Kind]: number;
  };

type Found = LinkState | KernelObject;

function all({ links, objects }: KernelState): (Leftover & { readonly found: Found })[] {
  return [...links, ...objects].flatMap((found) => {
    const told = tell(found);
    return told === undefined ? [] : [{ ...told, found }];
  });
}

/** Addresses and sysctls of the host's side are their links'. */
function tell(found: Found): Leftover | undefined {
  if (!('kind' in found)) return { kind: 'links', name: `link ${found.name}` };
  switch (found.kind) {
    case 'address':
    case 'sysctl':
      return undefined;
    case 'neighbour':
      return { kind: 'neighbours', name: `neighbour ${found.address} on ${found.link}` };
    case 'route': {
      const { type, destination, link, table } = found;
      return { kind: 'routes', name: `${type} route ${destination} by ${link ?? 'nothing'} in table ${table}` };
    }
    case 'rule': {
      const { family, priority, from, mark, table } = found;
      const whose = `${from === undefined ? '' : ` from ${from}`}${mark === undefined ? '' : ` mark ${mark.value}`}`;
      return { kind: 'rules', name: `rule IPv${family} ${priority}${whose} to table ${table}` };
    }
    case 'policer':
      return { kind: 'nft', name: `policer of ${found.link}` };
    case 'nft-table':
      return { kind: 'nft', name: `nft table ${found.table}` };
    case 'nft-set':
      return { kind: 'nft', name: `nft set ${found.set.name}` };
    case 'nft-chain':
      return { kind: 'nft', name: `nft chain ${found.chain.name}` };
    case 'nft-element':
      return { kind: 'nft', name: `nft element ${found.element.key.join(' . ')} of ${found.set.name}` };
  }
}

/** An ENI's is this and its number, the pods' is the kernel's `local` (src/datapath/numbering.ts). */
const ENI_TABLE_BASE = 7700;
const POD_TABLE = 255;

/** Whether an ENI or a block that is on the node in the cloud is what the object is there for. */
function callOf({ links, objects }: KernelState, enis: readonly EniRecord[]): (found: Found) => boolean {
  const macs = new Set<string>(enis.map(({ mac }) => mac));
  const blocks = new Set<string>(enis.flatMap((eni) => eni.blocks));
  const own = new Set<string>(enis.flatMap(({ primary4, primary6 }) => [`${primary4}/32`, `${primary6}/128`]));
  const eniLinks = new Set(links.filter(({ mac }) => macs.has(mac)).map(({ name }) => name));
  const tables = new Set(
    objects.flatMap((object) =>
      object.kind === 'route' && object.link !== undefined && eniLinks.has(object.link) ? [object.table] : [],
    ),
  );
  const chains = new Set(
    [...tables].flatMap((table) => [`eni${table - ENI_TABLE_BASE}`, `new${table - ENI_TABLE_BASE}`]),
  );
  return (found) => {
    if (!('kind' in found)) return eniLinks.has(found.name);
    switch (found.kind) {
      case 'neighbour':
        return eniLinks.has(found.link);
      case 'route':
        if (found.type !== 'unreachable') return found.link !== undefined && eniLinks.has(found.link);
        return found.table === POD_TABLE ? blocks.has(found.destination) : tables.has(found.table);
      case 'rule':
        return tables.has(found.table) && (found.from === undefined || own.has(found.from));
      case 'nft-chain':
        return chains.has(found.chain.name);
      case 'nft-element': {
        const [key] = found.element.key;
        if (typeof key === 'string') return eniLinks.has(key) || blocks.has(key);
        return found.element.verdict !== undefined && 'chain' in found.element.verdict
          ? chains.has(found.element.verdict.chain)
          : false;
      }
      default:
        return false;
    }
  };
}
