/**
 * A kernel of a few lines: takes steps on plain states and refuses what the real one refuses, so a wrong order fails.
 * It keeps objects by identity, shows an IPv6 unreachable route on `lo` as the kernel does, and lets what hangs on a
 * link go with it.
 */
import type { Mac } from '../../../src/core/brand.ts';
import {
  type KernelObject,
  type KernelState,
  type LinkState,
  objectIdentity,
  type Place,
  type Step,
} from '../../../src/datapath/kernel-state.ts';

export type World = Record<Place, KernelState>;

export const link = (name: string, mac: Mac, more: Partial<LinkState> = {}): LinkState => ({
  name,
  index: 1,
  mac,
  mtu: 9001,
  up: false,
  group: 0,
  alias: '',
  type: '',
  ...more,
});

/** The world after the steps; throws, naming the step, when one of them is impossible. */
export function run(world: World, steps: readonly Step[]): World {
  return steps.reduce((before, step) => {
    try {
      return take(before, step);
    } catch (cause) {
      throw new Error(`${JSON.stringify(step)}`, { cause });
    }
  }, world);
}

function take(world: World, step: Step): World {
  switch (step.do) {
    case 'create-veth': {
      if ([...world.host.links, ...world.pod.links].some((l) => l.name === step.host.name)) throw new Error('EEXIST');
      if (world.pod.links.some((l) => l.name === step.pod.name)) throw new Error('EEXIST');
      const host = link(step.host.name, step.host.mac, { ...step.host, type: 'veth' });
      const pod = link(step.pod.name, step.pod.mac, { ...step.pod, index: 2, type: 'veth', peer: step.host.index });
      return {
        host: { ...world.host, links: [...world.host.links, host] },
        pod: { ...world.pod, links: [...world.pod.links, pod] },
      };
    }
    case 'set-link': {
      const state = world[step.at];
      const found = linkIn(state, step.link.name);
      const { rpFilter: _rp, noAddrGen: _gen, ...change } = step.link;
      const links = state.links.map((l) => (l === found ? { ...l, ...change } : l));
      const isFlushed = (object: KernelObject) =>
        change.mac !== undefined && object.kind === 'neighbour' && object.link === found.name;
      return { ...world, [step.at]: { links, objects: state.objects.filter((object) => !isFlushed(object)) } };
    }
    case 'rename-link':
      return { ...world, host: renamed(world.host, step) };
    case 'delete-link':
      // Both ends of a pair go; the tests have one pod.
      return { host: without(world.host, step.name), pod: { links: world.pod.links.slice(0, 1), objects: [] } };
    case 'delete-links':
      throw new Error('no datapath step deletes links in groups');
    case 'put':
      return { ...world, [step.at]: put(world[step.at], step.object) };
    case 'remove':
      return { ...world, [step.at]: remove(world[step.at], step.object) };
  }
}

function renamed(state: KernelState, { name, to }: { name: string; to: string }): KernelState {
  linkIn(state, name);
  const isIt = (object: KernelObject) => 'link' in object && object.link === name;
  return {
    links: state.links.map((l) => (l.name === name ? { ...l, name: to } : l)),
    objects: state.objects.map((object) => (isIt(object) ? { ...object, link: to } : object)),
  };
}

function linkIn(state: KernelState, name: string): LinkState {
  const found = state.links.find((l) => l.name === name);
  if (found === undefined) throw new Error(`ENODEV ${name}`);
  return found;
}

const without = (state: KernelState, name: string): KernelState => ({
  links: state.links.filter((l) => l.name !== name),
  objects: state.objects.filter((object) => !('link' in object) || object.link !== name),
});

function put(state: KernelState, object: KernelObject): KernelState {
  refuseImpossible(state, object);
  const identity = objectIdentity(object);
  const shown =
    object.kind === 'route' && object.type === 'unreachable' && object.family === 6
      ? { ...object, link: 'lo' }
      : object;
  return { ...state, objects: [...state.objects.filter((o) => objectIdentity(o) !== identity), shown] };
}

function refuseImpossible(state: KernelState, object: KernelObject): void {
  const has = (identity: string) => state.objects.some((o) => objectIdentity(o) === identity);
  if ('link' in object && object.link !== undefined && !linkIn(state, object.link).up && object.kind === 'route')
    throw new Error('ENETDOWN');
  if (object.kind === 'route' && object.gateway !== undefined && object.family === 4) {
    const covered = state.objects.some((o) => o.kind === 'route' && o.destination === `${object.gateway}/32`);
    if (!covered) throw new Error('ENETUNREACH');
  }
  if (object.kind === 'nft-chain') {
    for (const expr of object.chain.rules.flat()) {
      if (expr.op === 'lookup' && !has(`nft-set inet ${object.table} ${expr.set}`)) throw new Error('ENOENT set');
      if (expr.op === 'verdict' && 'chain' in expr && !has(`nft-chain inet ${object.table} ${expr.chain}`))
        throw new Error('ENOENT chain');
    }
  }
  if (object.kind === 'nft-element') {
    const { verdict } = object.element;
    if (!has(`nft-set inet ${object.table} ${object.set.name}`)) throw new Error('ENOENT set');
    if (verdict !== undefined && 'chain' in verdict && !has(`nft-chain inet ${object.table} ${verdict.chain}`))
      throw new Error('ENOENT chain');
    if (has(objectIdentity(object))) throw new Error('EEXIST');
  }
}

function remove(state: KernelState, object: KernelObject): KernelState {
  const identity = objectIdentity(object);
  if (object.kind === 'nft-table')
    return { ...state, objects: state.objects.filter((o) => !o.kind.startsWith('nft-')) };
  if (object.kind === 'nft-chain' && state.objects.some((o) => namesChain(o, object.chain.name)))
    throw new Error(`EBUSY chain ${object.chain.name}`);
  if (object.kind === 'nft-set' && state.objects.some((o) => looksUp(o, object.set.name)))
    throw new Error(`EBUSY set ${object.set.name}`);
  // `del <address> dev <link>` leaves another link's route to the address.
  const isIt = (o: KernelObject) =>
    objectIdentity(o) === identity && !(o.kind === 'route' && object.kind === 'route' && o.link !== object.link);
  return { ...state, objects: state.objects.filter((o) => !isIt(o)) };
}

function namesChain(object: KernelObject, chain: string): boolean {
  if (object.kind === 'nft-element')
    return (
      object.element.verdict !== undefined &&
      'chain' in object.element.verdict &&
      object.element.verdict.chain === chain
    );
  if (object.kind !== 'nft-chain') return false;
  return object.chain.rules.flat().some((e) => e.op === 'verdict' && 'chain' in e && e.chain === chain);
}

const looksUp = (object: KernelObject, set: string): boolean =>
  object.kind === 'nft-chain' && object.chain.rules.flat().some((e) => e.op === 'lookup' && e.set === set);
