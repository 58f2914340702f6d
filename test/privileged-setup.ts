/**
 * Jest's global setup of the tiers that make namespaces: once, before their first test, in the process that runs them.
 * test/run.ts put it into a user namespace if it is not root's.
 */
import { settleInside } from '../src/lab/privilege.ts';

export default settleInside;
