/** How long things usually take on EC2 (aws-2026.json), for sentences: nothing is decided by it. */

/** From the attach's answer until the link is seen. */
export const LINK_MS = 2_000;
/** From the attach until the link is seen. */
export const ATTACH_MS = 440 + LINK_MS;
/** From the create until the link is seen. */
export const CREATE_MS = 130 + ATTACH_MS;
export const ASSIGN_MS = 300;
