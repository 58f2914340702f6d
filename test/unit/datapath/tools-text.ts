/**
 * Prints kernel objects as `ip` (iproute2 6.1) and `nft` (1.0.6) print them, so goldens are compared with what a person
 * sees on a node. Rules of nft are printed as `nft --debug=netlink` does: expression by expression, byte by byte.
 */
import {
  type AddressObject,
  type KernelObject,
  type NeighbourObject,
  objectIdentity,
  type RouteObject,
  type RuleObject,
} from '../../../src/datapath/kernel-state.ts';
import type { NftElement, NftExpr, NftSet } from '../../../src/datapath/nft.ts';
import { LOCAL_TABLE } from '../../../src/datapath/numbering.ts';

export function toolsText(objects: readonly KernelObject[]): string {
  const sections: [string, string[]][] = [
    ['sysctl, in order', objects.flatMap((o) => (o.kind === 'sysctl' ? [`${o.path} = ${o.value}`] : []))],
    ['ip addr', lines(objects, 'address', addressText)],
    ['ip neigh', lines(objects, 'neighbour', neighbourText)],
    ...[4, 6].map((f): [string, string[]] => [
      f === 4 ? 'ip rule' : 'ip -6 rule',
      lines(
        objects,
        'rule',
        (rule) => ruleText(rule),
        (rule) => rule.family === f,
      ),
    ]),
    ...routeTables(objects),
    ['nft --debug=netlink, chains', objects.flatMap((o) => (o.kind === 'nft-chain' ? chainText(o.chain) : []))],
    ['nft list, sets and maps', objects.flatMap((o) => (o.kind === 'nft-set' ? [setText(o.set, objects)] : []))],
  ];
  return sections
    .filter(([, text]) => text.length > 0)
    .map(([title, text]) => `# ${title}\n${text.join('\n')}\n`)
    .join('');
}

type Of<K extends KernelObject['kind']> = Extract<KernelObject, { kind: K }>;

function lines<K extends KernelObject['kind']>(
  objects: readonly KernelObject[],
  kind: K,
  text: (object: Of<K>) => string,
  only: (object: Of<K>) => boolean = () => true,
): string[] {
  return objects
    .filter((object): object is Of<K> => object.kind === kind)
    .filter(only)
    .map(text);
}

function routeTables(objects: readonly KernelObject[]): [string, string[]][] {
  const routes = objects.filter((object) => object.kind === 'route');
  const tables = [...new Set(routes.map((route) => route.table))].sort((a, b) => a - b);
  return ([4, 6] as const).flatMap((family) =>
    tables.map((table): [string, string[]] => [
      `${family === 4 ? 'ip' : 'ip -6'} route show table ${table === LOCAL_TABLE ? 'local' : table}`,
      routes.filter((route) => route.family === family && route.table === table).map(routeText),
    ]),
  );
}

function addressText(a: AddressObject): string {
  const flags = [
    ...(a.deprecated ? ['deprecated'] : []),
    ...(a.noDad ? ['nodad'] : []),
    ...(a.noPrefixRoute ? ['noprefixroute'] : []),
  ];
  return [a.link, a.address.includes(':') ? 'inet6' : 'inet', a.address, 'scope', a.scope, ...flags].join(' ');
}

const neighbourText = (n: NeighbourObject): string => `${n.address} dev ${n.link} lladdr ${n.mac} PERMANENT`;

function ruleText(rule: RuleObject): string {
  const { mark } = rule;
  const host = (from: string) => from.replace(/\/(32|128)$/, '');
  return [
    `${rule.priority}:\tfrom ${rule.from === undefined ? 'all' : host(rule.from)}`,
    ...(mark === undefined ? [] : [`fwmark 0x${mark.value.toString(16)}/0x${mark.mask.toString(16)}`]),
    `lookup ${rule.table} proto ${rule.protocol}`,
  ].join(' ');
}

function routeText(route: RouteObject): string {
  const destination = route.destination.endsWith('/0') ? 'default' : route.destination.replace(/\/(32|128)$/, '');
  const six = route.family === 6;
  const link = route.link ?? (six && route.type === 'unreachable' ? 'lo' : undefined);
  return [
    ...(route.type === 'unicast' ? [] : [route.type]),
    destination,
    ...(route.gateway === undefined ? [] : [`via ${route.gateway}`]),
    ...(link === undefined ? [] : [`dev ${link}`]),
    `proto ${route.protocol}`,
    ...(route.scope === 'link' ? ['scope link'] : []),
    ...(route.source === undefined ? [] : [`src ${route.source}`]),
    ...(route.metric === 0 ? [] : [`metric ${route.metric}`]),
    ...(route.onLink ? ['onlink'] : []),
    ...(six ? ['pref medium'] : []),
  ].join(' ');
}

function chainText(chain: Of<'nft-chain'>['chain']): string[] {
  const { hook } = chain;
  const head = hook === undefined ? '' : ` type ${hook.type} hook ${hook.hook} prio ${hook.priority}`;
  return [
    `chain ${chain.name}${head}`,
    ...chain.rules.flatMap((rule) => [
      `inet underway ${chain.name}`,
      ...rule.map((expr) => `  [ ${exprText(expr)} ]`),
      '',
    ]),
  ];
}

/** Register 0 of ours is what nft calls 1: its 16-byte register 1 begins there. */
function exprText(expr: NftExpr): string {
  switch (expr.op) {
    case 'meta':
    case 'ct':
      return `${expr.op} load ${expr.key} => reg ${expr.to + 1}`;
    case 'limit':
      return `limit rate ${expr.bytesPerSecond}/second burst ${expr.burstBytes} type bytes flags 0x1`;
    case 'meta-set':
      return `meta set ${expr.key} with reg ${expr.from + 1}`;
    case 'ct-set':
      return `ct set ${expr.key} with reg ${expr.from + 1}`;
    case 'payload':
      return `payload load ${expr.length}b @ ${expr.base} header + ${expr.offset} => reg ${expr.to + 1}`;
    case 'bitwise':
      return `bitwise reg ${expr.to + 1} = ( reg ${expr.from + 1} & ${words(expr.mask)} ) ^ ${words(expr.xor)}`;
    case 'cmp':
      return `cmp ${expr.how} reg ${expr.from + 1} ${words(expr.value)}`;
    case 'lookup':
      return `lookup reg ${expr.from + 1} set ${expr.set}${expr.verdictMap ? ' dreg 0' : ''}${expr.not ? ' 0x1' : ''}`;
    case 'immediate':
      return `immediate reg ${expr.to + 1} ${words(expr.value)}`;
    case 'verdict':
      return `immediate reg 0 ${expr.verdict}${'chain' in expr ? ` -> ${expr.chain}` : ''}`;
    case 'fib':
      return `fib ${expr.what} => reg ${expr.to + 1}`;
    case 'snat':
      return `nat snat ip addr_min reg ${expr.from + 1} flags ${expr.fullyRandom ? '0x10' : '0x0'}`;
    case 'masquerade':
    case 'counter':
      return expr.op;
  }
}

/** Four bytes a word, as a little-endian machine reads them. */
function words(bytes: Uint8Array): string {
  const text: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const word = [3, 2, 1, 0].map((n) => (bytes[at + n] ?? 0).toString(16).padStart(2, '0')).join('');
    text.push(`0x${word}`);
  }
  return text.join(' ');
}

function setText(set: NftSet, objects: readonly KernelObject[]): string {
  const elements = objects.flatMap((o) => (o.kind === 'nft-element' && o.set.name === set.name ? [o.element] : []));
  const head = `${set.verdictMap ? 'map' : 'set'} ${set.name} { type ${set.key.join(' . ')}`;
  const value = set.verdictMap ? ' : verdict' : '';
  const content = elements.length === 0 ? '' : ` elements = { ${elements.map((e) => elementText(set, e)).join(', ')} }`;
  return `${head}${value}${set.size === undefined ? '' : ` size ${set.size}`}${set.interval ? ' flags interval' : ''}${content} }`;
}

function elementText(set: NftSet, { key, verdict }: NftElement): string {
  const parts = key.map((part, at) => {
    if (typeof part === 'number') return `0x${part.toString(16).padStart(8, '0')}`;
    return set.key[at] === 'ifname' ? `"${part}"` : part.replace(/\/(32|128)$/, '');
  });
  const goto = verdict !== undefined && 'chain' in verdict ? ` : ${verdict.verdict} ${verdict.chain}` : '';
  return `${parts.join(' . ')}${goto}`;
}

/** One line a object, sorted: what two states are compared by. */
export const stateText = (objects: readonly KernelObject[]): string[] =>
  objects.map((object) => `${objectIdentity(object)} ${toolsText([object])}`).sort();
