/**
 * The nat chains of kube-proxy's nftables mode, as it writes them for some Services, loaded once: they turn connection
 * tracking on, as on any node, and each connection's first packet goes through them.
 */
import { runIn } from '../../src/lab/launch.ts';

const SERVICES = 8;
const ENDPOINTS = 2;

/** Rejects with nft's words. */
export async function loadKubeProxy(netns: string): Promise<void> {
  const { code, stderr } = await runIn(netns, ['nft', '-f', '-'], { input: ruleset() });
  if (code !== 0) throw new Error(`kube-proxy's chains cannot be loaded: ${stderr}`);
}

/** Service addresses and endpoints of documentation networks: no packet of the bench is for them. */
function ruleset(): string {
  const services = Array.from({ length: SERVICES }, (_, n) => ({ name: `service-${n}`, ip: `198.51.100.${n + 1}` }));
  const endpoints = services.flatMap(({ name }, n) =>
    Array.from({ length: ENDPOINTS }, (_, m) => ({
      name: `endpoint-${name}-${m}`,
      ip: `192.0.2.${n * ENDPOINTS + m + 1}`,
    })),
  );
  return `table ip kube-proxy {
  set nodeport-ips { type ipv4_addr; elements = { 192.0.2.250 } }
  map service-nodeports { type inet_proto . inet_service : verdict; }
  chain mark-for-masquerade { meta mark set meta mark | 0x4000; }
${endpoints
  .map(
    ({ name, ip }) =>
      `  chain ${name} { ip saddr ${ip} jump mark-for-masquerade; meta l4proto tcp dnat to ${ip}:8080; }`,
  )
  .join('\n')}
${services.map(({ name, ip }) => `  chain ${name} { ${chainOf(name, ip)} }`).join('\n')}
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = {
    ${services.map(({ name, ip }) => `${ip} . tcp . 80 : goto ${name}`).join(', ')}
  } }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain masquerading {
    meta mark & 0x4000 == 0 return
    meta mark set meta mark ^ 0x4000
    masquerade fully-random
  }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
}
`;
}

function chainOf(service: string, ip: string): string {
  const choices = Array.from({ length: ENDPOINTS }, (_, m) => `${m} : goto endpoint-${service}-${m}`).join(', ');
  return `ip daddr ${ip} tcp dport 80 ip saddr != 10.0.0.0/8 jump mark-for-masquerade; numgen random mod ${ENDPOINTS} vmap { ${choices} };`;
}
