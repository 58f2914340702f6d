/**
 * Everything that a run of enough seeds has to show: the transitions of each lifecycle (rows.ts names the states; the
 * functions of eni.ts, address.ts, lease.ts, operation.ts and observe.ts move the rows), the cloud's failures, the
 * reasons given to pods, and the verdicts on what a new process finds (design section 6).
 */
import { REASON_CODES, type ReasonCode } from '../core/reasons.ts';

/** `gone` lasts while pods that lost their addresses name it; else the row goes at once. */
const ENI = [
  'none -> creating',
  'creating -> available',
  'creating -> none',
  'available -> attaching',
  'available -> linking',
  'attaching -> available',
  'attaching -> linking',
  'attaching -> deleting',
  'attaching -> none',
  'linking -> ready',
  'linking -> detaching',
  'linking -> deleting',
  'linking -> gone',
  'ready -> draining',
  'ready -> deleting',
  'ready -> gone',
  'draining -> ready',
  'draining -> detaching',
  'detaching -> deleting',
  'deleting -> gone',
  'deleting -> none',
  'gone -> none',
  'none -> deleting',
  'none -> primary',
  'none -> foreign',
  'foreign -> none',
];

const BLOCK = [
  'none -> installing',
  'installing -> ready',
  'installing -> missing',
  'installing -> none',
  'ready -> releasing',
  'ready -> missing',
  'ready -> installing',
  'ready -> none',
  'releasing -> ready',
  'releasing -> installing',
  'releasing -> none',
  'missing -> installing',
  'missing -> none',
];

const ADDRESS = [
  'free -> held',
  'held -> cooling',
  'held -> free',
  'cooling -> free',
  'free -> quarantined',
  'held -> quarantined',
  'cooling -> quarantined',
  'quarantined -> cooling',
  'quarantined -> free',
];

const LEASE = [
  'none -> held',
  'none -> lost',
  'none -> unwiring',
  'held -> ready',
  'held -> unwiring',
  'held -> none',
  'ready -> unwiring',
  'ready -> lost',
  'lost -> ready',
  'lost -> unwiring',
  'lost -> none',
  'unwiring -> none',
];

const OPERATION = [
  'none -> flying',
  'flying -> none',
  'flying -> waiting',
  'flying -> settling',
  'waiting -> flying',
  'waiting -> settling',
  'waiting -> none',
  'settling -> waiting',
  'settling -> none',
];

const FAILURES = [
  'throttled',
  'exhausted subnet',
  'exhausted prefix',
  'exhausted eni',
  'exhausted instance',
  'exhausted account',
  'notFound',
  'conflict',
  'parameterMismatch',
  'misconfigured',
  'denied',
  'transient',
  'ambiguous',
];

const VERDICTS = [
  'yes-yes-yes',
  'yes-yes-no, namespace gone',
  'yes-yes-no, namespace there',
  'yes-no-yes',
  'yes-no-no, namespace gone',
  'yes-no-no, namespace there',
  'no-yes-yes, journal lost',
  'no-yes-yes, journal intact',
  'no-yes-no',
  'no-no-yes, journal lost',
];

/** What the simulator cannot show, and why. */
export const UNSHOWN: Readonly<Record<string, string>> = {
  'address quarantined -> cooling': 'between two processes: the state is opened with it',
  'failure nodeGone': 'an instance that is gone has no daemon to tell',
  'failure bug': 'the memory cloud refuses no request as malformed unless the core has a bug',
  'verdict no-no-yes, journal intact':
    'a link whose lease is gone is fenced, and without the routes that name addresses',
  'reason DATAPATH_REPAIRED': 'said in a log, never to a pod',
  'reason CONFIG_INVALID': "the daemon's, before there is a core",
  'reason IFNAME_TAKEN': 'nobody else makes links in a pod here',
};

/** What one seed in a thousand shows: it may be seen, and a fixed set need not. Unit tests of the core have each:
 * drain, sweep-enis, lease (a link that lost its name, an ENI that went in its attach) and quarantine (what a quarantined pod's repeated ADD is told). */
export const SELDOM: readonly string[] = [
  'eni draining -> gone',
  'eni draining -> deleting',
  'eni detaching -> gone',
  'eni attaching -> detaching',
  'eni attaching -> gone',
  'eni deleting -> detaching',
  'address free -> cooling',
  'reason INTERNAL',
];

const named = (kind: string, names: readonly string[]): string[] => names.map((name) => `${kind} ${name}`);

const isShown = (code: ReasonCode): boolean =>
  UNSHOWN[`reason ${code}`] === undefined && !SELDOM.includes(`reason ${code}`);

export const DECLARED: readonly string[] = [
  ...named('eni', ENI),
  ...named('block', BLOCK),
  ...named('address', ADDRESS),
  ...named('lease', LEASE),
  ...named('operation', OPERATION),
  ...named('failure', FAILURES),
  ...named('reason', REASON_CODES.filter(isShown)),
  ...named('verdict', VERDICTS),
];
