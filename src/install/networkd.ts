/**
 * systemd-networkd takes away rules and routes that it does not know, each time that it looks at a link again: every one of
 * ours. These two files keep it from that, and from the pods' links.
 */
import { join } from 'node:path';
import { type Placed, placeFile } from './place.ts';

const FOREIGN = `# Underway's rules and routes are not networkd's to remove.
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
`;

const LINKS = `# The host's side of each pod, which the node daemon sets up.
[Match]
Name=uw*

[Link]
Unmanaged=yes
`;

/** `root` is /etc/systemd, or the host's in a container. Throws Error with a sentence that names the file. */
export const placeNetworkd = (root: string): readonly Placed[] => [
  placeFile({ path: join(root, 'networkd.conf.d/10-underway.conf'), content: FOREIGN, mode: 0o644 }),
  placeFile({ path: join(root, 'network/10-underway.network'), content: LINKS, mode: 0o644 }),
];
