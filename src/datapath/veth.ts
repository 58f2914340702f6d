/**
 * veth mode, the default: a pair of veth links a pod, a table a secondary ENI, marks kept by connection.
 * The files in veth/ hold the node's part, the pods' part and the ruleset.
 */
import type { Datapath } from './datapath.ts';
import { diffNode, eniNumbers } from './veth/diff.ts';
import { adopt, checkPod, mendHost, mendPod, nameBack, repairPod } from './veth/inspect.ts';
import { fenced, wantedNode } from './veth/node.ts';
import { allowIpv6, fencePod, wantedPod, wirePod } from './veth/pod.ts';

export const veth: Datapath = {
  name: 'veth',
  wantedNode,
  diffNode,
  wantedPod,
  wirePod,
  allowIpv6,
  repairPod,
  mendHost,
  mendPod,
  fencePod,
  checkPod,
  nameBack,
  adopt,
  eniNumbers,
  fenced,
};
