import { LINK_GROUP, NFT_TABLE, PROTOCOL } from '../../../src/datapath/numbering.ts';
import { REAP_GROUP } from '../../../src/kernel/apply.ts';
import { NFT_TABLE as KERNEL_NFT_TABLE } from '../../../src/kernel/kernel.ts';
import { POLICER_TABLE } from '../../../src/kernel/nftables/policer.ts';
import { POD_GROUPS } from '../../../src/kernel/notification.ts';
import { PROTOCOL as KERNEL_PROTOCOL } from '../../../src/kernel/read.ts';

// src/kernel may import only types of src/datapath, so it says these numbers itself.
test("the kernel reads and reaps by the datapath's numbers", () => {
  for (const group of Object.values(LINK_GROUP)) expect(group >>> 16).toBe(POD_GROUPS);
  expect([KERNEL_PROTOCOL, KERNEL_NFT_TABLE, REAP_GROUP]).toEqual([PROTOCOL, NFT_TABLE, LINK_GROUP.reap]);
  expect(POLICER_TABLE.table).toBe(NFT_TABLE);
});
