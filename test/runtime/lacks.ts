/** What the runtime tier needs of this machine and does not find, each with how to get it. */
import { isInUserNamespace, isPrivileged } from '../../src/lab/privilege.ts';
import { buildRuntime, installedRuntimes, onPath, REFERENCE_PLUGINS, referencePlugin } from './installed.ts';

/** `part` is what cannot be run without it; undefined is all of the tier. */
export interface RuntimeLack {
  readonly part?: string;
  readonly needs: string;
}

/** Builds containerd 2 where it is not there yet, which takes some minutes, once. */
export async function runtimeLacks(): Promise<readonly RuntimeLack[]> {
  const whole = [...rootLacks(), ...programLacks()];
  if (whole.length > 0) return whole;
  const lacks = async (major: number) => !(await installedRuntimes()).some((runtime) => runtime.major === major);
  const failure = (await lacks(2)) ? await buildRuntime() : undefined;
  const parts: RuntimeLack[] = [];
  if (await lacks(1))
    parts.push({ part: 'containerd 1', needs: 'It needs one on PATH (Debian 12: apt-get install containerd runc).' });
  if (failure !== undefined)
    parts.push({ part: 'containerd 2', needs: `It needs one on PATH, or to build it ${failure}.` });
  return parts;
}

const rootLacks = (): RuntimeLack[] =>
  isPrivileged() && !isInUserNamespace() ? [] : [{ needs: 'It makes cgroups and mounts: run it as root.' }];

function programLacks(): RuntimeLack[] {
  const programs = ['runc', 'ctr', 'iptables'].filter((name) => onPath(name).length === 0);
  const plugins = REFERENCE_PLUGINS.filter((name) => referencePlugin(name) === undefined);
  const missing = [...programs, ...plugins.map((name) => `the CNI plugin ${name}`)];
  if (missing.length === 0) return [];
  const packages = 'containerd runc iptables containernetworking-plugins';
  return [{ needs: `It needs ${missing.join(', ')} (Debian: apt-get install ${packages}).` }];
}
