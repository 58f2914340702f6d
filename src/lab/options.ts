/** The shape of a lab: what `underway lab up` can choose, and what it chooses when nothing is said. */
export interface LabOptions {
  /** Also the beginning of its namespaces' names. */
  readonly name: string;
  readonly nodeCount: number;
  readonly vmCount: number;
  readonly subnetCount: number;
  readonly instanceType: string;
  readonly ipv6: boolean;
  /** The cloud answers at once. */
  readonly fast: boolean;
  /** A daemon runs on each node. */
  readonly daemons: boolean;
  readonly seed: number;
  /** Where the lab's files are, without its name. */
  readonly stateRoot: string;
}

export const DEFAULT_LAB: LabOptions = {
  name: 'uwlab',
  nodeCount: 3,
  vmCount: 1,
  subnetCount: 2,
  instanceType: 'm5.xlarge',
  ipv6: true,
  fast: false,
  daemons: true,
  seed: 1,
  stateRoot: '/run/underway-lab',
};
