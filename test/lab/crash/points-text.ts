/**
 * A node's kernel as text in which nothing is left of chance: what cloud, daemon and runtime chose (addresses, MACs, link
 * names, indexes) has the name of what it is for, so that the texts of two nodes to which the same happened are equal.
 */
import type { EniRecord } from '../../../providers/memory/records.ts';
import type { KernelState } from '../../../src/datapath/kernel-state.ts';

export interface TextPod {
  readonly containerId: string;
  readonly addresses: readonly string[];
  readonly inside: KernelState;
}

/** Sorted lines of the host's namespace, then of each pod's. */
export function neutralText(
  host: KernelState,
  { enis, pods }: { readonly enis: readonly EniRecord[]; readonly pods: readonly TextPod[] },
): string[] {
  const names = new Map<string, string>();
  for (const [n, pod] of pods.entries()) {
    for (const ip of pod.addresses) names.set(ip, `POD${n}-${ip.includes(':') ? 6 : 4}`);
    const link = host.links.find(({ alias }) => alias.includes(` ${pod.containerId} `));
    if (link !== undefined) names.set(link.name, `POD${n}-LINK`);
    for (const { name, mac } of pod.inside.links) if (name === 'eth0') names.set(mac, `POD${n}-MAC`);
  }
  const indexOf = (eni: EniRecord): number => eni.attachment?.deviceIndex ?? 0;
  for (const [n, eni] of enis.toSorted((one, other) => indexOf(one) - indexOf(other)).entries()) {
    const name = `ENI${n}`;
    // An attach that was refused is tried again at the next index, which its link is named by.
    names.set(`eth${indexOf(eni)}`, `${name}-LINK`);
    names.set(eni.mac, `${name}-MAC`);
    for (const ip of [eni.primary4, eni.primary6])
      if (ip !== undefined) names.set(ip, `${name}-${ip.includes(':') ? 6 : 4}`);
    for (const block of eni.blocks) {
      const ip = block.split('/')[0] ?? '';
      if (!names.has(ip)) names.set(ip, `${name}-FREE`);
    }
  }
  const lines = ({ links, objects }: KernelState): string[] =>
    [...links, ...objects].map((each) => renamed(withoutBytes(JSON.stringify(each), enis), names)).toSorted();
  return [...lines(host), ...pods.flatMap(({ inside }, n) => lines(inside).map((line) => `POD${n} ${line}`))];
}

/** An nft rule has an ENI's own address as bytes. */
const withoutBytes = (line: string, enis: readonly EniRecord[]): string =>
  enis.reduce(
    (text, { primary4 = '' }) =>
      text.replaceAll(JSON.stringify({ ...primary4.split('.').map(Number) }), `"${primary4}"`),
    line,
  );

function renamed(line: string, names: ReadonlyMap<string, string>): string {
  const known = [...names.keys()].map((name) => name.replaceAll('.', '\\.'));
  const whole = new RegExp(`(?<![0-9a-z.:])(${known.join('|')})(?![0-9a-z.:])`, 'g');
  return (
    (known.length === 0 ? line : line.replace(whole, (found) => names.get(found) ?? found))
      .replace(/fe80::[0-9a-f:]*ff:fe[0-9a-f:]*/g, 'LINK-LOCAL')
      .replace(/("name":"POD.*)"index":\d+/, '$1"index":N')
      // The other end's index, in another namespace.
      .replace(/"peer":\d+/, '"peer":N')
      .replace(/("name":"POD.*)"alias":"[^"]*"/, '$1"alias":"A"')
  );
}

/** What one text has and the other has not, each in words. */
export function difference(wanted: readonly string[], seen: readonly string[]): string[] {
  const left = [...seen];
  const missing = wanted.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return [...missing.map((line) => `missing ${line}`), ...left.map((line) => `too much ${line}`)];
}
