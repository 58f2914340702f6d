/** A call of CNI by hand, as lines for a shell: what a container runtime does, one by one. */
import { join } from 'node:path';
import { CONFLIST_NAME, NETWORK_NAME } from '../../install/conflist.ts';
import type { Lab } from '../lab.ts';
import { NETNS_FOLDER } from '../namespaces.ts';
import type { LabNode } from '../node/node.ts';
import { enterPrefix, isInUserNamespace } from '../privilege.ts';

/** The pod's namespace carries the lab's name, so that it goes with the lab. */
export function callByHand({ name }: Lab, { folder }: LabNode): readonly string[] {
  const namespace = `${name}-mypod`;
  const config = { cniVersion: '1.0.0', name: NETWORK_NAME, type: 'underway' };
  const pod = `CNI_CONTAINERID=mypod CNI_NETNS=${join(NETNS_FOLDER, namespace)} CNI_IFNAME=eth0 CNI_PATH=${folder.cniBin}`;
  const call = (verb: 'ADD' | 'DEL') =>
    `echo '${JSON.stringify(config)}' | CNI_COMMAND=${verb} ${pod} ${join(folder.cniBin, 'underway')}`;
  return [
    ...(isInUserNamespace()
      ? [`${enterPrefix(process.pid).join(' ')} sh   # where the lab is; the rest in there`]
      : []),
    `ip netns add ${namespace}`,
    `${call('ADD')}   # a runtime finds it by ${join(folder.cniConf, CONFLIST_NAME)}`,
    `ip netns exec ${namespace} ip -brief address`,
    `${call('DEL')}   # before Ctrl-C, which counts what is left`,
  ];
}
